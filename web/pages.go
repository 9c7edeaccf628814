package web

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// managing adds the pages of projects, services and the system.
func (c *console) managing(mux *http.ServeMux) {
	for pattern, h := range map[string]handler{
		"GET /projects":                                      c.projectList,
		"GET /projects/new":                                  c.newProject,
		"POST /projects/new":                                 c.createProject,
		"GET /projects/{project}":                            c.project,
		"POST /projects/{project}":                           c.steerProject,
		"GET /projects/{project}/commits":                    c.commits,
		"GET /projects/{project}/onboard":                    c.newService,
		"POST /projects/{project}/onboard":                   c.onboard,
		"GET /projects/{project}/delete":                     c.confirmDelete,
		"POST /projects/{project}/delete":                    c.delete,
		"GET /projects/{project}/services/{service}":         c.service,
		"POST /projects/{project}/services/{service}":        c.steerService,
		"GET /projects/{project}/services/{service}/delete":  c.confirmDelete,
		"POST /projects/{project}/services/{service}/delete": c.delete,
		"GET /system":                                        c.system,
	} {
		mux.Handle(pattern, c.page(h))
	}
}

// managingPages are the names of their templates.
var managingPages = []string{"projects", "newproject", "project", "commits", "onboard", "delete", "service", "system"}

// managingFuncs are what their templates call.
var managingFuncs = template.FuncMap{
	"plural": plural, "size": size, "shortHash": shortHash,
	"count":  func(n any) string { return grouped(fmt.Sprint(n)) },
	"size64": func(n uint64) string { return size(int64(n)) },
	"days":   func(seconds int64) string { return plural(int(seconds/(24*60*60)), "day") },
}

// crumb is a page above this one.
type crumb struct{ Name, Path string }

func projectPath(p fairway.ProjectName) string { return "/projects/" + url.PathEscape(string(p)) }

func servicePath(p fairway.ProjectName, s fairway.ServiceName) string {
	return projectPath(p) + "/services/" + url.PathEscape(string(s))
}

func projectOf(r *http.Request) fairway.ProjectName {
	return fairway.ProjectName(r.PathValue("project"))
}

func serviceOf(r *http.Request) fairway.ServiceName {
	return fairway.ServiceName(r.PathValue("service"))
}

// field returns what a form says, without the blanks around it.
func field(r *http.Request, name string) string { return strings.TrimSpace(r.PostFormValue(name)) }

// reasonOf returns why somebody asks for something.
func reasonOf(r *http.Request) (string, error) {
	if reason := field(r, "reason"); reason != "" {
		return reason, nil
	}
	return "", fairway.Invalid("reason", "", "is missing", "say in a sentence why; it is kept")
}

// shown splits an error of the user's making into what can be shown beside a
// form; ok is false for any other.
func shown(err error) (problems []fairway.Problem, ok bool) {
	problems = fairway.Problems(err)
	switch fairway.KindOf(err) {
	case fairway.KindInvalid, fairway.KindConflict, fairway.KindNotFound, fairway.KindRefused:
		if len(problems) == 0 {
			problems = []fairway.Problem{{Message: err.Error()}}
		}
		return problems, true
	}
	return nil, false
}

// count writes how many there are.
func count(n int) string { return grouped(strconv.Itoa(n)) }

// grouped puts narrow blanks between the thousands of a number of five or more
// digits.
func grouped(digits string) string {
	if len(digits) < 5 {
		return digits
	}
	head := len(digits) % 3
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && i%3 == head {
			b.WriteRune('\u202f')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// size writes a size with the unit that suits it.
func size(n int64) string {
	const k = 1024
	switch {
	case n < k:
		return number(float64(n)) + " B"
	case n < k*k:
		return oneDigit(float64(n)/k) + " KiB"
	case n < k*k*k:
		return oneDigit(float64(n)/k/k) + " MiB"
	}
	return oneDigit(float64(n)/k/k/k) + " GiB"
}

// oneDigit writes a number below 10 with one digit behind the point.
func oneDigit(v float64) string {
	if v < 9.95 {
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// shortHash shortens a commit's hash.
func shortHash(hash string) string { return hash[:min(len(hash), 8)] }

// colours lists the places of a stage in the order in which they are shown.
var colours = []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green}

// lines gives a text of a form, whose lines end as browsers send them, the
// ends that files have.
func lines(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }
