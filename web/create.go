package web

import (
	"net/http"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// newProjectPage is the form of a new project, and what is wrong with what it
// says.
type newProjectPage struct {
	Crumbs   []crumb
	Name     string
	Shipyard string
	Findings findings
}

// findings are what a dry run said about a form.
type findings struct {
	Checked  bool
	Problems []fairway.Problem
	Warnings []string
	Files    []string    // that would be written
	Pipeline []pipeStage // that it would be
}

// sampleShipyard stands in the empty form.
const sampleShipyard = `stages:
  - name: dev
    test_strategy: functional
  - name: staging
    deployment_strategy: blue_green_service
    test_strategy: performance
  - name: production
    deployment_strategy: blue_green_service
    approval: manual
`

func (c *console) newProject(w http.ResponseWriter, r *http.Request) error {
	return c.render(w, r, http.StatusOK, "newproject", view{Title: "New project",
		Page: newProjectPage{Crumbs: []crumb{{"Projects", "/projects"}}, Shipyard: sampleShipyard}})
}

// createProject creates the project, or, with the verb "check", says what
// would come of it. The page asks so after every change of the form.
func (c *console) createProject(w http.ResponseWriter, r *http.Request) error {
	page := newProjectPage{Crumbs: []crumb{{"Projects", "/projects"}}, Name: field(r, "name"), Shipyard: lines(r.PostFormValue("shipyard"))}
	check := field(r, "verb") == "check"
	p, err := c.backend.CreateProject(r.Context(), api.CreateProject{Name: fairway.ProjectName(page.Name), File: "shipyard.yaml", Shipyard: page.Shipyard, DryRun: check})
	if err == nil && !check {
		http.Redirect(w, r, projectPath(p.Name), http.StatusSeeOther)
		return nil
	}
	if page.Findings, err = found(err); err != nil {
		return err
	}
	if len(page.Findings.Problems) == 0 {
		for _, s := range p.Shipyard.Stages {
			page.Findings.Pipeline = append(page.Findings.Pipeline, pipeOf(s.WithDefaults(), nil))
		}
	}
	return c.render(w, r, statusOf(page.Findings, check), "newproject", view{Title: "New project", Page: page})
}

// found turns what a dry run said into findings; an error that is not the
// user's is returned.
func found(err error) (findings, error) {
	if err == nil {
		return findings{Checked: true}, nil
	}
	problems, ok := shown(err)
	if !ok {
		return findings{}, err
	}
	return findings{Checked: true, Problems: problems}, nil
}

// statusOf is the answer's status: a check is answered, whatever it found.
func statusOf(f findings, check bool) int {
	if len(f.Problems) > 0 && !check {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

// onboardPage is the form of a new service.
type onboardPage struct {
	Project    fairway.ProjectName
	Crumbs     []crumb
	Path       string
	Values     string
	Deployment string
	KService   string
	Findings   findings
}

// sampleValues stand in the empty form.
const sampleValues = `service:
  name: carts
  port: 8080
`

func (c *console) newOnboardPage(r *http.Request) onboardPage {
	p := projectOf(r)
	return onboardPage{Project: p, Path: projectPath(p) + "/onboard", Crumbs: []crumb{{"Projects", "/projects"}, {string(p), projectPath(p)}}}
}

func (c *console) newService(w http.ResponseWriter, r *http.Request) error {
	if _, err := c.backend.Project(r.Context(), projectOf(r)); err != nil {
		return err
	}
	page := c.newOnboardPage(r)
	page.Values = sampleValues
	return c.render(w, r, http.StatusOK, "onboard", view{Title: "Onboard a service", Page: page})
}

// onboard onboards the service, or says what would come of it.
func (c *console) onboard(w http.ResponseWriter, r *http.Request) error {
	page := c.newOnboardPage(r)
	page.Values, page.Deployment, page.KService = lines(r.PostFormValue("values")), lines(r.PostFormValue("deployment")), lines(r.PostFormValue("kubernetesService"))
	check := field(r, "verb") == "check"
	done, err := c.backend.OnboardService(r.Context(), api.OnboardService{Project: page.Project, Values: page.Values, ValuesFile: "values.yaml",
		Deployment: page.Deployment, KService: page.KService, DryRun: check})
	if err == nil && !check {
		to := projectPath(page.Project)
		if done.Delivery != "" {
			to = "/deliveries/" + string(done.Delivery)
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	}
	if page.Findings, err = found(err); err != nil {
		return err
	}
	if len(page.Findings.Problems) == 0 {
		page.Findings.Files, page.Findings.Warnings = done.Files, done.Warnings
	}
	return c.render(w, r, statusOf(page.Findings, check), "onboard", view{Title: "Onboard a service", Page: page})
}
