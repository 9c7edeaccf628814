package web

import (
	"net/http"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// deletePage shows what would go, and asks for a reason.
type deletePage struct {
	api.Deletion
	Name     string // of what goes, which has to be typed
	What     string // service, project
	Crumbs   []crumb
	Path     string
	Back     string
	Problems []fairway.Problem
	Reason   string
}

// confirmDelete shows what would go.
func (c *console) confirmDelete(w http.ResponseWriter, r *http.Request) error {
	return c.showDeletion(w, r, http.StatusOK, r.URL.Query().Get("keep") == "running", nil)
}

func (c *console) showDeletion(w http.ResponseWriter, r *http.Request, status int, keep bool, problems []fairway.Problem) error {
	p, s := projectOf(r), serviceOf(r)
	d, err := c.backend.Delete(r.Context(), api.Delete{Project: p, Service: s, KeepRunning: keep, DryRun: true})
	if err != nil {
		return err
	}
	page := deletePage{Deletion: d, Name: string(p), What: "project", Path: projectPath(p) + "/delete", Back: projectPath(p), Problems: problems,
		Reason: field(r, "reason"), Crumbs: []crumb{{"Projects", "/projects"}, {string(p), projectPath(p)}}}
	if s != "" {
		page.Name, page.What, page.Back = string(s), "service", servicePath(p, s)
		page.Path = page.Back + "/delete"
		page.Crumbs = append(page.Crumbs, crumb{string(s), page.Back})
	}
	return c.render(w, r, status, "delete", view{Title: "Delete " + page.Name, Page: page})
}

// delete deletes what was shown, and nothing else: the version that the form
// carries is that of the list on its page.
func (c *console) delete(w http.ResponseWriter, r *http.Request) error {
	p, s := projectOf(r), serviceOf(r)
	name, to := string(p), "/projects"
	if s != "" {
		name, to = string(s), projectPath(p)
	}
	keep := field(r, "keep") == "running"
	var problems []fairway.Problem
	reason, err := reasonOf(r)
	problems = append(problems, fairway.Problems(err)...)
	if typed := field(r, "name"); typed != name {
		problems = append(problems, fairway.Problem{Field: "name", Value: typed, Message: "is not the name", Remedy: "type " + name + " to say that you mean it"})
	}
	if len(problems) == 0 {
		_, err = c.backend.Delete(r.Context(), api.Delete{Project: p, Service: s, KeepRunning: keep, Reason: reason, Version: field(r, "version")})
		switch {
		case err == nil:
			http.Redirect(w, r, to, http.StatusSeeOther)
			return nil
		case fairway.KindOf(err) != fairway.KindConflict:
			return err
		}
		problems = []fairway.Problem{{Message: err.Error()}}
		return c.showDeletion(w, r, http.StatusConflict, keep, problems)
	}
	return c.showDeletion(w, r, http.StatusUnprocessableEntity, keep, problems)
}
