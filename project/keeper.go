package project

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/sequence"
	"github.com/fairwaycd/fairway/shipyard"
)

const (
	mainBranch   = "main"
	shipyardFile = "shipyard.yaml"
)

// Options are the keeper's collaborators.
type Options struct {
	Git    *git.Store
	Domain string // of the gateway, e.g. localhost
	Logger *slog.Logger
	Now    func() time.Time
	// MayRoute is asked whether pushed weights make sense now. Default: yes.
	MayRoute func(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, stage fairway.StageName, w fairway.Weights) error
	// Store stores what a push means for a service, or for the project under
	// the service [NoService], before the push is acknowledged. The same push
	// may be stored twice. Default: nothing.
	Store func(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, in sequence.Pushed) error
	// Agrees says what in a shipyard that is pushed contradicts what the project
	// has besides it. Default: nothing.
	Agrees func(p fairway.ProjectName, y fairway.Shipyard) error
	// Rendered keeps what was rendered of charts that would render otherwise
	// the next time; nil: they are rendered anew each time.
	Rendered Rendered
	// Runs reports an error when the platform could not run the workload;
	// nothing is started. Nil: it can run all.
	Runs func(fairway.Workload) error
}

// NoService stands for the project itself among its services.
const NoService fairway.ServiceName = "_"

// Keeper keeps projects and services. It is safe for concurrent use.
type Keeper struct {
	Options
	keeping sync.Mutex // one rendering is looked up or stored at a time
	create  sync.Mutex // one project or service is added at a time, since names are checked across projects
	read    *read
}

// New returns a keeper over the repositories.
func New(o Options) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MayRoute == nil {
		o.MayRoute = func(context.Context, fairway.ProjectName, fairway.ServiceName, fairway.StageName, fairway.Weights) error {
			return nil
		}
	}
	if o.Agrees == nil {
		o.Agrees = func(fairway.ProjectName, fairway.Shipyard) error { return nil }
	}
	if o.Store == nil {
		o.Store = func(context.Context, fairway.ProjectName, fairway.ServiceName, sequence.Pushed) error { return nil }
	}
	return &Keeper{Options: o, read: newRead()}
}

// Info is a project as it stands in its repository.
type Info struct {
	Name     fairway.ProjectName
	Shipyard fairway.Shipyard
	Services []fairway.ServiceName
	Commit   string // of main
	// Err says, in the answer of [Keeper.Projects], why the project cannot be
	// read; all but its name is unknown then.
	Err error
}

// Create makes a project from a shipyard document. Doing it again with the
// same document changes nothing; another document under the name is refused.
func (k *Keeper) Create(ctx context.Context, actor string, name fairway.ProjectName, file string, doc []byte, dryRun bool) (Info, error) {
	if file == "" {
		file = shipyardFile
	}
	if err := name.Validate(); err != nil {
		return Info{}, err
	}
	y, err := shipyard.Parse(file, doc)
	if err != nil {
		return Info{}, err
	}
	if y.Registry == "" {
		y.Registry = string(name)
	}
	k.create.Lock()
	defer k.create.Unlock()
	all, err := k.Projects(ctx)
	if err != nil {
		return Info{}, err
	}
	if err := registryIsFree(all, name, y.Registry); err != nil {
		return Info{}, err
	}
	if same, err := k.isThere(ctx, name, doc); err != nil || same {
		if err != nil {
			return Info{}, err
		}
		return k.Project(ctx, name)
	}
	if dryRun {
		return Info{Name: name, Shipyard: y}, nil
	}
	branches := map[string]map[string][]byte{mainBranch: {shipyardFile: doc}}
	for _, s := range y.Stages {
		branches[string(s.Name)] = chartInit(name, s, k.Domain)
	}
	if err := k.Git.Create(ctx, name, branches, k.info(actor, "Create project "+string(name))); err != nil {
		return Info{}, err
	}
	return k.Project(ctx, name)
}

// isThere reports whether the project exists with this shipyard. What its
// deliveries have committed since does not matter.
func (k *Keeper) isThere(ctx context.Context, name fairway.ProjectName, doc []byte) (bool, error) {
	ok, err := k.Git.Exists(ctx, name)
	if err != nil || !ok {
		return false, err
	}
	snap, err := k.Git.Read(ctx, name, mainBranch)
	if err != nil {
		return false, err
	}
	have, _, err := snap.File(shipyardFile)
	return bytes.Equal(have, doc), err
}

func (k *Keeper) info(actor, message string) git.CommitInfo {
	if actor == "" {
		actor = "Fairway"
	}
	return git.CommitInfo{Message: message, Author: actor, When: k.Now()}
}

// registryIsFree refuses a second project with the same registry path: a
// pushed image would belong to both.
func registryIsFree(all []Info, name fairway.ProjectName, registry string) error {
	for _, p := range all {
		if p.Name != name && p.Err == nil && p.Shipyard.Registry == registry {
			return fairway.Invalid("registry", registry, "is the registry of project "+string(p.Name)+" too", "choose another path, such as "+string(name))
		}
	}
	return nil
}

// Projects lists all projects by name. One that cannot be read is listed with
// the error and logged.
func (k *Keeper) Projects(ctx context.Context) ([]Info, error) {
	names, err := k.Git.Projects(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Info, 0, len(names))
	for _, n := range names {
		p, err := k.Project(ctx, n)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			k.Logger.Error("a project cannot be read", "project", n, "error", err)
			p = Info{Name: n, Err: err}
		}
		out = append(out, p)
	}
	return out, nil
}

// Project returns one project; KindNotFound lists those that exist.
func (k *Keeper) Project(ctx context.Context, name fairway.ProjectName) (Info, error) {
	ok, err := k.Git.Exists(ctx, name)
	if err != nil {
		return Info{}, err
	}
	if !ok {
		return Info{}, k.noProject(ctx, name)
	}
	y, commit, err := k.shipyardOf(ctx, name)
	if err != nil {
		return Info{}, err
	}
	p := Info{Name: name, Shipyard: y, Commit: commit}
	for _, s := range y.Stages {
		services, err := k.servicesOf(ctx, name, s.Name)
		if err != nil {
			return Info{}, err
		}
		if !slices.Equal(services, p.Services) { // as they are, almost always
			p.Services = slices.Concat(p.Services, services)
			slices.Sort(p.Services)
			p.Services = slices.Compact(p.Services)
		}
	}
	return p, nil
}

func (k *Keeper) noProject(ctx context.Context, name fairway.ProjectName) error {
	names, err := k.Git.Projects(ctx)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fairway.Errorf(fairway.KindNotFound, "there is no project %s, and no other; make it with: fairway create project %s --shipyard shipyard.yaml", name, name)
	}
	return fairway.Errorf(fairway.KindNotFound, "there is no project %s; %s", name, fairway.Instead(name, "there are", names))
}

func (k *Keeper) shipyardOf(ctx context.Context, name fairway.ProjectName) (fairway.Shipyard, string, error) {
	snap, err := k.Git.Read(ctx, name, mainBranch)
	if err != nil {
		return fairway.Shipyard{}, "", err
	}
	k.read.mu.Lock()
	have := k.read.yards[name]
	k.read.mu.Unlock()
	if have.commit == snap.Commit {
		return have.yard, have.commit, nil
	}
	doc, ok, err := snap.File(shipyardFile)
	if err != nil {
		return fairway.Shipyard{}, "", err
	}
	if !ok {
		return fairway.Shipyard{}, "", fairway.Errorf(fairway.KindInvalid, "branch main of project %s has no %s", name, shipyardFile)
	}
	y, err := shipyard.Parse(shipyardFile, doc)
	if err != nil {
		return fairway.Shipyard{}, "", err
	}
	if y.Registry == "" {
		y.Registry = string(name)
	}
	k.read.mu.Lock()
	k.read.yards[name] = yardAt{snap.Commit, y}
	k.read.mu.Unlock()
	return y, snap.Commit, nil
}

// Owner returns the project and service that an image of Fairway's registry
// belongs to: repository REGISTRY/SERVICE, as the project's shipyard says. ok
// is false when nobody wants the tag. A project that cannot be read matters
// only when no other has the service: then it may be the owner, and its error
// is returned.
func (k *Keeper) Owner(ctx context.Context, repository, tag string) (p fairway.ProjectName, s fairway.ServiceName, ok bool, err error) {
	dir, name := path.Split(repository)
	s = fairway.ServiceName(name)
	names, err := k.Git.Projects(ctx)
	if err != nil {
		return "", "", false, err
	}
	var unread []error
	for _, p := range names {
		y, has, err := k.owns(ctx, p, strings.TrimSuffix(dir, "/"), s)
		if err != nil {
			unread = append(unread, fmt.Errorf("project %s cannot be read and may be the owner of %s: %w", p, repository, err))
		}
		if has {
			return p, s, wanted(y, tag), nil
		}
	}
	return "", "", false, errors.Join(unread...)
}

// owns reports whether the project has the registry path and the service.
func (k *Keeper) owns(ctx context.Context, p fairway.ProjectName, registry string, s fairway.ServiceName) (fairway.Shipyard, bool, error) {
	y, _, err := k.shipyardOf(ctx, p)
	if err != nil || y.Registry != registry {
		return y, false, err
	}
	for _, stage := range y.Stages {
		services, err := k.servicesOf(ctx, p, stage.Name)
		if err != nil {
			return y, false, err
		}
		if slices.Contains(services, s) {
			return y, true, nil
		}
	}
	return y, false, nil
}

// wanted reports whether the shipyard's patterns take the tag; by default all
// but latest, which moves.
func wanted(y fairway.Shipyard, tag string) bool {
	if len(y.Tags) == 0 {
		return tag != "latest"
	}
	return slices.ContainsFunc(y.Tags, func(pattern string) bool {
		ok, err := path.Match(pattern, tag)
		return err == nil && ok
	})
}

// unknownService says that the project lacks the service, and what it has.
func unknownService(p fairway.ProjectName, s fairway.ServiceName, have []fairway.ServiceName) error {
	return fairway.Errorf(fairway.KindNotFound, "project %s has no service %s; %s; add it with: fairway onboard service %s --project %s --values FILE", p, s, fairway.Instead(s, "it has", have), s, p)
}

func unknownStage(p fairway.ProjectName, s fairway.StageName, y fairway.Shipyard) error {
	return fairway.Errorf(fairway.KindNotFound, "project %s has no stage %s; %s", p, s, fairway.Instead(s, "it has", y.Names()))
}

// changeFailed adds which stage a change was for.
func changeFailed(stage fairway.StageName, err error) error {
	return fmt.Errorf("stage %s: %w", stage, err)
}

// UnknownService says that the project lacks the service, and what it has.
func UnknownService(i Info, s fairway.ServiceName) error {
	return unknownService(i.Name, s, i.Services)
}

// UnknownStage says that the project lacks the stage, and what it has.
func UnknownStage(i Info, s fairway.StageName) error {
	return unknownStage(i.Name, s, i.Shipyard)
}
