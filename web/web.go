package web

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// Options are what the console has to know beside what it asks the backend.
type Options struct {
	// CSRF returns the token that forms carry in the field "csrf". Nil means
	// that none is asked for.
	CSRF func(context.Context) string
	// Domain ends the hosts at the gateway; default localhost.
	Domain string
	// Now tells the time; default time.Now.
	Now func() time.Time
	// Log takes errors that are our fault; default none.
	Log *slog.Logger
}

// console is the handler behind [New].
type console struct {
	backend   api.Backend
	csrf      func(context.Context) string
	domain    string
	now       func() time.Time
	log       *slog.Logger
	templates map[string]*template.Template
}

//go:embed template/*.html
var templateFiles embed.FS

// New returns the console. It guards nothing: put it behind what decides who
// gets in.
func New(b api.Backend, o Options) http.Handler {
	c := &console{backend: b, csrf: o.CSRF, domain: o.Domain, now: o.Now, log: o.Log}
	if c.csrf == nil {
		c.csrf = func(context.Context) string { return "" }
	}
	if c.domain == "" {
		c.domain = "localhost"
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.templates = c.parse(append(managingPages, "board", "deliveries", "delivery", "evaluation", "commit", "error")...)
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", c.page(c.board))
	mux.Handle("GET /deliveries", c.page(c.deliveries))
	mux.Handle("GET /deliveries/{id}", c.page(c.delivery))
	mux.Handle("POST /deliveries/{id}", c.page(c.command))
	mux.Handle("GET /deliveries/{id}/log", c.page(c.output))
	mux.Handle("GET /projects/{project}/commits/{commit}", c.page(c.commit))
	mux.Handle("GET /evaluations/{id}", c.page(c.evaluation))
	mux.Handle("POST /evaluations/{id}", c.page(c.invalidate))
	mux.Handle("GET /evaluations/{id}/json", c.page(c.rawEvaluation))
	c.managing(mux)
	mux.Handle("GET /live", c.page(c.live))
	mux.Handle("GET /assets/{name}", c.page(c.asset))
	mux.Handle("/", c.page(func(_ http.ResponseWriter, r *http.Request) error {
		return fairway.Errorf(fairway.KindNotFound, "there is no page %s", r.URL.Path)
	}))
	return mux
}

// parse reads the templates; each page is the layout with its own parts. A
// mistake in one ends the program at its start, not at its first request.
func (c *console) parse(names ...string) map[string]*template.Template {
	funcs := template.FuncMap{
		"ago":         func(t time.Time) string { return ago(c.now().Sub(t)) },
		"age":         func(t time.Time) string { return short(c.now().Sub(t)) },
		"stamp":       stamp,
		"iso":         func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"number":      number,
		"share":       share,
		"asset":       assetPath,
		"stepName":    stepName,
		"words":       words,
		"commit":      func(hash string) string { return hash[:min(len(hash), 10)] },
		"scripts":     func() []string { return scripts },
		"navigation":  func() []navItem { return navigation },
		"stylesheets": func() []string { return stylesheets },
	}
	maps.Copy(funcs, managingFuncs)
	out := map[string]*template.Template{}
	for _, name := range names {
		t := template.New(name).Funcs(funcs)
		out[name] = template.Must(t.ParseFS(templateFiles, "template/layout.html", "template/parts.html", "template/manage.html", "template/"+name+".html"))
	}
	return out
}

// handler is a page's handler. What it returns is shown by the renderer of
// errors; it has written nothing then.
type handler func(w http.ResponseWriter, r *http.Request) error

func (c *console) page(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			c.fail(w, r, err)
		}
	})
}

// view is what every page's template gets.
type view struct {
	Title   string
	Section string // the entry of the navigation that the page belongs to
	CSRF    string
	Live    bool // loaded again when something changes
	Wide    bool // uses more of a wide screen
	Page    any
}

// render executes the page's template into a buffer, so that a failure in the
// middle shows the error page and not half of the other.
func (c *console) render(w http.ResponseWriter, r *http.Request, status int, name string, v view) error {
	v.CSRF = c.csrf(r.Context())
	v.Section = sectionOf(r.URL.Path)
	var b bytes.Buffer
	if err := c.templates[name].ExecuteTemplate(&b, "layout", v); err != nil {
		return fmt.Errorf("render the page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "private, no-cache")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // whoever asked may have gone
	return nil
}

// statuses is the HTTP status of each kind of error.
var statuses = map[fairway.Kind]int{
	fairway.KindInvalid: http.StatusUnprocessableEntity, fairway.KindNotFound: http.StatusNotFound,
	fairway.KindConflict: http.StatusConflict, fairway.KindRefused: http.StatusConflict,
	fairway.KindUnauthorized: http.StatusUnauthorized, fairway.KindUnavailable: http.StatusServiceUnavailable,
	fairway.KindFull: http.StatusInsufficientStorage,
}

// errorPage is what the error page shows.
type errorPage struct {
	Heading  string
	Message  string
	Problems []fairway.Problem
	Back     string
}

// fail shows an error. The text of one that is our fault goes to the log only.
func (c *console) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody reads the answer
	}
	status, ok := statuses[fairway.KindOf(err)]
	page := errorPage{Message: err.Error(), Problems: fairway.Problems(err), Back: "/"}
	if !ok {
		status = http.StatusInternalServerError
		c.log.ErrorContext(r.Context(), "a page failed", "path", r.URL.Path, "error", err)
		page.Message, page.Problems = "Something went wrong inside Fairway. Its log says what, under this page's path and time.", nil
	}
	if len(page.Problems) > 0 {
		page.Message = ""
	}
	if r.Method == http.MethodPost {
		page.Back = r.URL.Path
	}
	page.Heading = headings[status]
	if err := c.render(w, r, status, "error", view{Title: page.Heading, Page: page}); err != nil {
		c.log.ErrorContext(r.Context(), "the error page failed", "path", r.URL.Path, "error", err)
		http.Error(w, http.StatusText(status), status)
	}
}

var headings = map[int]string{
	http.StatusUnprocessableEntity: "That cannot be right", http.StatusNotFound: "Not found",
	http.StatusConflict: "Not now", http.StatusUnauthorized: "Not logged in",
	http.StatusServiceUnavailable: "Not available", http.StatusInsufficientStorage: "No space left",
	http.StatusInternalServerError: "Our fault",
}
