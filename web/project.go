package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

const (
	// commitsShown is how many commits of main the page of a project shows,
	// and commitsListed how many a page of their list has.
	commitsShown  = 6
	commitsListed = 50
	// servicesListed is how many services of a project its page lists.
	servicesListed = 50
)

// projectsPage lists all projects.
type projectsPage struct {
	Projects []projectLine
}

type projectLine struct {
	api.Project
	Path string
}

func (c *console) projectList(w http.ResponseWriter, r *http.Request) error {
	all, err := c.backend.Projects(r.Context())
	if err != nil {
		return err
	}
	var page projectsPage
	for _, p := range all {
		page.Projects = append(page.Projects, projectLine{p, projectPath(p.Name)})
	}
	return c.render(w, r, http.StatusOK, "projects", view{Title: "Projects", Live: true, Page: page})
}

// projectPage is what the page of a project shows.
type projectPage struct {
	api.Project
	Path       string
	Crumbs     []crumb
	Pipeline   []pipeStage
	Branches   []string
	Commits    []api.Commit
	Services   []projectService
	Search     string
	Total      int
	More       int
	Monitoring []monitored
	Dora       doraPanel
	Problems   []string
}

// pipeStage is a stage of the shipyard as it is drawn.
type pipeStage struct {
	fairway.Stage
	Steps   []pipeStep
	Rules   []string // what it does when something goes wrong, and after
	Moving  int      // services of which a delivery is under way there
	Waiting int      // deliveries that queue
}

// pipeStep is something that a version has to go through.
type pipeStep struct{ Kind, Name, Note string }

// projectService is a service in the list of a project.
type projectService struct {
	Name   fairway.ServiceName
	Path   string
	Stages []serviceVersion
	fairway.ServiceView
}

// serviceVersion is what has the traffic of a stage.
type serviceVersion struct {
	Stage   fairway.StageName
	Tag     string
	Colour  fairway.Colour
	Share   string
	Holder  fairway.DeliveryID
	Waiting int
}

// monitored is a connection to a monitoring system, and what came of a check.
type monitored struct {
	api.Monitoring
	Checked []fairway.Checked
}

func (c *console) project(w http.ResponseWriter, r *http.Request) error {
	return c.showProject(w, r, nil)
}

// showProject renders the page, with what came of checks of monitoring systems
// by kind.
func (c *console) showProject(w http.ResponseWriter, r *http.Request, checked map[string][]fairway.Checked) error {
	ctx, name := r.Context(), projectOf(r)
	p, err := c.backend.Project(ctx, name)
	if err != nil {
		return err
	}
	page := projectPage{Project: p, Path: projectPath(name), Crumbs: []crumb{{"Projects", "/projects"}}, Search: strings.TrimSpace(r.URL.Query().Get("q"))}
	views, err := c.backend.Services(ctx, name)
	if err != nil {
		return err
	}
	page.Branches = append(page.Branches, fairway.MainBranch)
	for _, s := range p.Shipyard.Stages {
		page.Pipeline = append(page.Pipeline, pipeOf(s.WithDefaults(), views))
		page.Branches = append(page.Branches, string(s.Name))
	}
	c.addServices(&page, views)
	problem := func(what string, err error) {
		if err != nil {
			page.Problems = append(page.Problems, what+" cannot be shown: "+c.told(ctx, err))
		}
	}
	commits, err := c.backend.Commits(ctx, api.CommitFilter{Project: name, Limit: commitsShown})
	problem("Commits", err)
	page.Commits = commits.Items
	connections, err := c.backend.Monitoring(ctx, name)
	problem("Monitoring", err)
	for _, m := range connections {
		page.Monitoring = append(page.Monitoring, monitored{m, checked[m.Kind]})
	}
	page.Dora = c.figures(ctx, api.DoraFilter{Project: name}, r.URL.Query().Get("since"), page.Path)
	return c.render(w, r, http.StatusOK, "project", view{Title: string(name), Live: checked == nil, Page: page})
}

// addServices lists the services whose names have what is searched for.
func (c *console) addServices(page *projectPage, views []fairway.ServiceView) {
	for _, v := range views {
		if !strings.Contains(string(v.Service), page.Search) {
			continue
		}
		if page.Total++; page.Total > servicesListed {
			page.More++
			continue
		}
		row := projectService{Name: v.Service, Path: servicePath(page.Name, v.Service), ServiceView: v}
		for _, stage := range page.Shipyard.Stages {
			x := serviceVersion{Stage: stage.Name}
			if i := slices.IndexFunc(v.Stages, func(s fairway.StageView) bool { return s.Stage == stage.Name }); i >= 0 {
				s := v.Stages[i]
				x.Holder, x.Waiting = s.Holder, len(s.Queue)
				if lead, ok := s.Weights.Leader(); ok {
					x.Tag, x.Colour = s.Occupants[lead].Artifact.Tag, lead
					if s.Weights[lead] < 100 {
						x.Share = share(s.Weights, lead)
					}
				}
			}
			row.Stages = append(row.Stages, x)
		}
		page.Services = append(page.Services, row)
	}
}

// pipeOf draws a stage.
func pipeOf(s fairway.Stage, views []fairway.ServiceView) pipeStage {
	out := pipeStage{Stage: s, Steps: pipeSteps(s)}
	for _, v := range views {
		if i := slices.IndexFunc(v.Stages, func(x fairway.StageView) bool { return x.Stage == s.Name }); i >= 0 {
			out.Waiting += len(v.Stages[i].Queue)
			if v.Stages[i].Holder != "" {
				out.Moving++
			}
		}
	}
	if s.DeploymentStrategy == fairway.Direct {
		out.Rules = append(out.Rules, map[fairway.OnFailure]string{
			fairway.OnFailureRollback: "a failure brings the version before back", fairway.OnFailureKeep: "a failure changes nothing that runs",
		}[s.OnFailure])
	} else {
		out.Rules = append(out.Rules, map[fairway.Previous]string{
			fairway.PreviousKeep: "the version before runs on until its place is needed", "0": "the version before is stopped at once",
		}[s.Previous])
		if out.Rules[0] == "" {
			out.Rules[0] = "the version before runs on for " + string(s.Previous)
		}
	}
	switch s.Supersede {
	case fairway.SupersedeAlways:
		out.Rules = append(out.Rules, "a newer version replaces one that waits, also for a person")
	case fairway.SupersedeNever:
		out.Rules = append(out.Rules, "every version has its turn")
	}
	return out
}

// pipeSteps lists what a version goes through in a stage, in order.
func pipeSteps(s fairway.Stage) []pipeStep {
	release := pipeStep{"release", "Release", "all traffic moves"}
	var out []pipeStep
	if s.DeploymentStrategy == fairway.BlueGreen {
		out = append(out, pipeStep{"deploy", "Deploy beside", "blue/green, without traffic"})
	} else {
		out = append(out, pipeStep{"deploy", "Deploy", "in place of the version before"})
	}
	first := s.Release == fairway.ReleaseBeforeTests
	if first {
		release.Note = "traffic moves before the tests, and back when they fail"
		out = append(out, release)
	}
	if s.TestStrategy != fairway.NoTests {
		out = append(out, pipeStep{"test", string(s.TestStrategy) + " tests", ""})
	}
	if s.Gate != fairway.GateOff {
		note := map[fairway.OnWarning]string{fairway.OnWarningPromote: "a warning goes on", fairway.OnWarningApprove: "a warning asks a person", fairway.OnWarningStop: "a warning stops"}[s.OnWarning]
		out = append(out, pipeStep{"gate", string(s.Gate) + " quality gate", note})
	}
	if s.Approval == fairway.ApprovalManual {
		out = append(out, pipeStep{"approve", "Approval", "a person decides"})
	}
	if s.DeploymentStrategy == fairway.BlueGreen && !first {
		out = append(out, release)
	}
	return out
}

// steerProject does what a form of the project's page asks for.
func (c *console) steerProject(w http.ResponseWriter, r *http.Request) error {
	ctx, name := r.Context(), projectOf(r)
	switch verb := field(r, "verb"); verb {
	case "sync":
		return c.syncUpstream(w, r, api.SyncUpstream{Project: name})
	case "ours", "theirs":
		reason, err := reasonOf(r)
		if err != nil {
			return err
		}
		return c.syncUpstream(w, r, api.SyncUpstream{Project: name, Take: verb, Reason: reason})
	case "check":
		kind := field(r, "kind")
		found, err := c.checkMonitoring(ctx, name, kind)
		if err != nil {
			return err
		}
		return c.showProject(w, r, map[string][]fairway.Checked{kind: found})
	default:
		return fairway.Invalid("verb", verb, "is nothing that can be done with a project", "use sync, ours, theirs or check")
	}
}

func (c *console) syncUpstream(w http.ResponseWriter, r *http.Request, q api.SyncUpstream) error {
	if _, err := c.backend.SyncUpstream(r.Context(), q); err != nil {
		return err
	}
	http.Redirect(w, r, projectPath(q.Project)+"#upstream", http.StatusSeeOther)
	return nil
}

// checkMonitoring asks the connection of that kind that the project's gates ask.
func (c *console) checkMonitoring(ctx context.Context, p fairway.ProjectName, kind string) ([]fairway.Checked, error) {
	all, err := c.backend.Monitoring(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.Kind == kind {
			return c.backend.CheckMonitoring(ctx, api.MonitoringName{Kind: m.Kind, Project: m.Project})
		}
	}
	return nil, fairway.Invalid("kind", kind, "is not connected to project "+string(p), "choose one of the list")
}

// commitsPage is a part of a branch's history.
type commitsPage struct {
	Project  fairway.ProjectName
	Path     string
	Crumbs   []crumb
	Branch   string
	Branches []branchTab
	Commits  []api.Commit
	Next     string
	Git      string
}

type branchTab struct {
	Name, Path string
	Chosen     bool
}

func (c *console) commits(w http.ResponseWriter, r *http.Request) error {
	ctx, name := r.Context(), projectOf(r)
	p, err := c.backend.Project(ctx, name)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	page := commitsPage{Project: name, Path: projectPath(name), Branch: q.Get("branch"), Git: p.Git,
		Crumbs: []crumb{{"Projects", "/projects"}, {string(name), projectPath(name)}}}
	if page.Branch == "" {
		page.Branch = fairway.MainBranch
	}
	of := func(values ...string) string {
		v := url.Values{"branch": {values[0]}}
		if len(values) > 1 {
			v.Set("before", values[1])
		}
		return page.Path + "/commits?" + v.Encode()
	}
	for _, b := range append([]string{fairway.MainBranch}, stageNames(p.Shipyard)...) {
		page.Branches = append(page.Branches, branchTab{b, of(b), b == page.Branch})
	}
	got, err := c.backend.Commits(ctx, api.CommitFilter{Project: name, Branch: page.Branch, Before: q.Get("before"), Limit: commitsListed})
	if err != nil {
		return err
	}
	if page.Commits = got.Items; got.Next != "" {
		page.Next = of(page.Branch, got.Next)
	}
	return c.render(w, r, http.StatusOK, "commits", view{Title: "Commits of " + string(name), Live: q.Get("before") == "", Page: page})
}

func stageNames(y fairway.Shipyard) []string {
	var out []string
	for _, s := range y.Stages {
		out = append(out, string(s.Name))
	}
	return out
}
