package project

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/shipyard"
)

// Update is a new shipyard for a project that exists.
type Update struct {
	Actor, Reason string // Reason may be empty
	Project       fairway.ProjectName
	File          string // of the shipyard, for messages
	Shipyard      []byte
	DryRun        bool
}

// Updated says what an update changes; no changes: the shipyard was there.
type Updated struct {
	Info    Info
	Changes []string
}

// UpdateProject replaces the shipyard on main, checked and followed as a push
// of it. It holds for deliveries that start later. [fairway.KindInvalid] lists
// every problem, [fairway.KindNotFound] the projects that there are.
func (k *Keeper) UpdateProject(ctx context.Context, u Update) (Updated, error) {
	if u.File == "" {
		u.File = shipyardFile
	}
	y, err := shipyard.Parse(u.File, u.Shipyard)
	if err != nil {
		return Updated{}, err
	}
	if y.Registry == "" {
		y.Registry = string(u.Project)
	}
	if ok, err := k.Git.Exists(ctx, u.Project); err != nil || !ok {
		if err == nil {
			err = k.noProject(ctx, u.Project)
		}
		return Updated{}, err
	}
	message := "Update the shipyard"
	if u.Reason != "" {
		message += "\n\n" + u.Reason
	}
	p, changed, err := k.Git.Propose(git.WithActor(ctx, u.Actor), u.Project, mainBranch, git.CommitRequest{
		Info: k.info(u.Actor, message),
		Edit: func(*git.Snapshot) (map[string][]byte, error) {
			return map[string][]byte{shipyardFile: u.Shipyard}, nil
		},
	}, u.DryRun)
	if err != nil {
		return Updated{}, err
	}
	var done Updated
	if changed {
		done.Changes = shipyardChanges(u.Project, p.Before(), y)
	}
	if u.DryRun {
		done.Info = Info{Name: u.Project, Shipyard: y, Commit: p.Old}
		return done, nil
	}
	done.Info, err = k.Project(ctx, u.Project)
	return done, err
}

// shipyardChanges lists what the new shipyard makes different, one line each.
func shipyardChanges(p fairway.ProjectName, before *git.Snapshot, now fairway.Shipyard) []string {
	doc, _, err := before.File(shipyardFile)
	if err != nil {
		return []string{"the shipyard that stood there could not be read"}
	}
	was, err := shipyard.Parse(shipyardFile, doc)
	if err != nil {
		return []string{"the shipyard that stood there was wrong"}
	}
	if was.Registry == "" {
		was.Registry = string(p)
	}
	list := changedKeys("", fieldsOf(fairway.Shipyard{Registry: was.Registry, Tags: was.Tags}), fieldsOf(fairway.Shipyard{Registry: now.Registry, Tags: now.Tags}))
	for _, s := range now.Stages {
		old, _, ok := was.Stage(s.Name)
		if !ok {
			list = append(list, fmt.Sprintf("stage %s is new", s.Name))
			continue
		}
		list = append(list, changedKeys("stage "+string(s.Name)+": ", fieldsOf(old.WithDefaults()), fieldsOf(s.WithDefaults()))...)
	}
	var kept, order []fairway.StageName
	for _, s := range was.Stages {
		if _, _, ok := now.Stage(s.Name); !ok {
			list = append(list, fmt.Sprintf("stage %s goes", s.Name))
			continue
		}
		kept = append(kept, s.Name)
	}
	for _, s := range now.Stages {
		if slices.Contains(kept, s.Name) {
			order = append(order, s.Name)
		}
	}
	if !slices.Equal(kept, order) {
		list = append(list, "the stages come in the order "+now.StageNames())
	}
	if len(list) == 0 {
		list = append(list, "the text alone; it says the same")
	}
	return list
}

// fieldsOf returns the keys that are set, with their values as JSON.
func fieldsOf(v any) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	if text, err := json.Marshal(v); err == nil {
		_ = json.Unmarshal(text, &fields) // an object is what a struct becomes
	}
	return fields
}

func changedKeys(prefix string, was, now map[string]json.RawMessage) []string {
	all := maps.Clone(was)
	maps.Copy(all, now)
	var list []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if string(was[key]) != string(now[key]) {
			list = append(list, fmt.Sprintf("%s%s was %s and is %s", prefix, key, orNone(was[key]), orNone(now[key])))
		}
	}
	return list
}

func orNone(v json.RawMessage) string {
	if len(v) == 0 {
		return "not set"
	}
	return string(v)
}
