package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// outcome is what a set of deliveries has come to, without what differs from
// run to run: each line by what it is about.
type outcome map[string]string

// facts are what an outcome is made of, as Fairway tells them.
type facts struct {
	deliveries []fairway.Delivery
	events     map[fairway.DeliveryID][]fairway.Event
}

// again are the events that a repeated start of a step, or a push that is
// looked at again, adds.
var again = []string{fairway.TypeStepRestarted, fairway.TypeDeliveryJoined}

// collect asks Fairway, git, the gateway and the machine.
func (s *set) collect(ctx context.Context) (outcome, facts, error) {
	o, f := outcome{}, facts{events: map[fairway.DeliveryID][]fairway.Event{}}
	c := s.client()
	var err error
	if f.deliveries, err = c.Deliveries(ctx, api.DeliveryFilter{}); err != nil {
		return nil, f, err
	}
	names := map[string]string{} // delivery → PROJECT/SERVICE:TAG
	for i, d := range f.deliveries {
		// Lists leave out the stages of what has ended.
		if f.deliveries[i], err = c.Delivery(ctx, string(d.ID)); err != nil {
			return nil, f, err
		}
		key := service{project: d.Project, name: d.Service}.key(d.Artifact.Tag)
		names[string(d.ID)] = key
		if f.events[d.ID], err = c.DeliveryEvents(ctx, string(d.ID)); err != nil {
			return nil, f, err
		}
		o["delivery "+key] += fmt.Sprintf("%s: %s\n", d.Status, types(f.events[d.ID]))
	}
	plain := func(text string) string {
		for id, key := range names {
			text = strings.ReplaceAll(text, id, key)
		}
		return text
	}
	err = errors.Join(s.collectStages(ctx, o), s.collectCommits(ctx, o, plain), s.collectPrograms(o, plain))
	return o, f, err
}

func types(events []fairway.Event) string {
	var out []string
	for _, e := range events {
		if !slices.Contains(again, e.Type) {
			out = append(out, strings.TrimPrefix(strings.TrimPrefix(e.Type, "sh.keptn.events."), "dev.fairway."))
		}
	}
	return strings.Join(out, " ")
}

// collectStages takes weights, holders, and the digests in every place, as
// they are stored and as the gateway has them.
func (s *set) collectStages(ctx context.Context, o outcome) error {
	services, err := s.client().Services(ctx, "")
	if err != nil {
		return err
	}
	for _, v := range services {
		for _, st := range v.Stages {
			key := fmt.Sprintf("stage %s/%s in %s", v.Project, v.Service, st.Stage)
			o[key] = fmt.Sprintf("weights %s, held by %q", st.Weights, st.Holder)
			for _, colour := range slices.Sorted(maps.Keys(st.Occupants)) {
				at := st.Occupants[colour]
				o[key] += fmt.Sprintf(", %s %s %s %s", colour, at.Artifact.Tag, at.Artifact.Digest, at.State)
			}
		}
	}
	routes, err := s.client().Routes(ctx)
	for _, r := range routes {
		o["route "+r.Host] = r.Weights.String()
	}
	return err
}

// collectCommits takes the messages of all commits, of each service in each
// branch in their order: services of a project are committed side by side.
func (s *set) collectCommits(ctx context.Context, o outcome, plain func(string) string) error {
	for project := range projects {
		dir := filepath.Join(s.now().ready.Data, "git", string(project)+".git")
		git := func(args ...string) (string, error) {
			out, err := exec.CommandContext(ctx, "git", append([]string{"--git-dir", dir}, args...)...).Output()
			if err != nil {
				return "", fmt.Errorf("git %s in %s: %w", strings.Join(args, " "), dir, err)
			}
			return string(out), nil
		}
		branches, err := git("for-each-ref", "--format=%(refname:short)", "refs/heads")
		if err != nil {
			return err
		}
		for _, branch := range strings.Fields(branches) {
			log, err := git("log", "--reverse", "--format=%B%x00", branch)
			if err != nil {
				return err
			}
			for _, message := range strings.Split(log, "\x00") {
				message = plain(commitHash.ReplaceAllString(strings.TrimSpace(message), "HASH"))
				if message == "" {
					continue
				}
				o[fmt.Sprintf("commits of %s in %s %s", s.owner(message), project, branch)] += strings.ReplaceAll(message, "\n", " | ") + "\n"
			}
		}
		if _, err := git("fsck", "--connectivity-only", "--no-dangling"); err != nil {
			return err
		}
	}
	return nil
}

var commitHash = regexp.MustCompile(`\b[0-9a-f]{40}\b`)

// owner is the service that a commit is about.
func (s *set) owner(message string) string {
	for _, v := range s.h.services {
		if strings.Contains(message, string(v.name)) {
			return string(v.name)
		}
	}
	return "the project"
}

// collectPrograms takes what runs on the machine.
func (s *set) collectPrograms(o outcome, plain func(string) string) error {
	running, err := delivered(s.home)
	if err != nil {
		return err
	}
	var all []string
	for _, env := range running {
		all = append(all, fmt.Sprintf("%s version %s", plain(env["FAIRWAY_INSTANCE"]), env["VERSION"]))
	}
	slices.Sort(all)
	o["programs"] = strings.Join(all, "\n")
	return nil
}

// diff says in what the outcome is not as it should be.
func (o outcome) diff(want outcome) (problems []string) {
	all := maps.Clone(o)
	maps.Copy(all, want)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if o[k] != want[k] {
			problems = append(problems, fmt.Sprintf("%s:\n     is: %s\n should: %s", k, strings.TrimSpace(o[k]), strings.TrimSpace(want[k])))
		}
	}
	return problems
}
