package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// Prefix is the path under which the API answers.
const Prefix = "/api/v1/"

// ServerOptions adjust a server; the zero value takes no CloudEvents and is
// otherwise complete.
type ServerOptions struct {
	// Logger hears of failures whose text is kept from the asker. Default:
	// nobody does.
	Logger *slog.Logger
	// MaxBody is the largest request body in bytes. Default: 16 MB.
	MaxBody int64
	// ReadEvents reads the CloudEvents of a request whose body has at most
	// limit bytes. Without it POST events is not offered.
	ReadEvents func(r *http.Request, limit int64) ([]fairway.Event, error)
	// Heartbeat is the time between two signs of life on a watch. Default:
	// 15 s.
	Heartbeat time.Duration
	// Answers keeps answers for requests that are repeated under an
	// Idempotency-Key. Without it the header is refused.
	Answers Answers
}

func (o ServerOptions) withDefaults() ServerOptions {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 16 << 20
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 15 * time.Second
	}
	return o
}

// server answers requests from a Backend.
type server struct {
	b   Backend
	o   ServerOptions
	one keyed // changes of an address, and requests of a key, go one at a time
}

// handler answers one method of one path; what it returns is rendered as a
// problem document, so it must not have written anything then.
type handler func(w http.ResponseWriter, r *http.Request) error

// methods are the handlers of one path by HTTP method.
type methods map[string]handler

// read offers a handler whose answer has an end under GET and HEAD.
func read(h handler) methods { return methods{http.MethodGet: h, http.MethodHead: h} }

// with adds a method.
func (m methods) with(method string, h handler) methods {
	m[method] = h
	return m
}

// allow lists the methods for the header of that name.
func (m methods) allow() string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// NewServer offers b under [Prefix]. Every refusal is a problem document
// (RFC 9457), for unknown paths and methods too. Who may ask is not decided
// here. Streams (watch, logs) end with the request's context, so that whoever
// stops the HTTP server has to end that first.
func NewServer(b Backend, o ServerOptions) http.Handler {
	s := &server{b: b, o: o.withDefaults()}
	mux := http.NewServeMux()
	for path, m := range s.routes() {
		mux.Handle(Prefix+path, s.serve(s.careful(path, m)))
	}
	mux.Handle("/", s.render(unknownPath))
	return mux
}

func (s *server) routes() map[string]methods {
	events := read(s.listEvents)
	if s.o.ReadEvents != nil {
		events = events.with(http.MethodPost, s.sendEvents)
	}
	return map[string]methods{
		"projects":                                  read(s.listProjects).with(http.MethodPost, s.createProject),
		"projects/{project}":                        read(s.showProject).with(http.MethodPut, s.updateProject).with(http.MethodDelete, s.delete),
		"projects/{project}/upstream":               read(s.showUpstream).with(http.MethodPut, s.configureUpstream).with(http.MethodDelete, s.removeUpstream),
		"projects/{project}/upstream/sync":          {http.MethodPost: s.syncUpstream},
		"projects/{project}/commits/{commit}":       read(s.showCommit),
		"projects/{project}/commits":                read(s.listCommits),
		"projects/{project}/dora":                   read(s.showDora),
		"projects/{project}/services/{s}/dora":      read(s.showDora),
		"projects/{project}/services/{s}":           read(s.showService).with(http.MethodPut, s.updateService).with(http.MethodDelete, s.delete),
		"projects/{project}/services":               read(s.listProjectServices).with(http.MethodPost, s.onboardService),
		"projects/{project}/services/{s}/resources": read(s.listResources).with(http.MethodPut, s.addResources),
		"projects/{project}/services/{s}/artifacts": {http.MethodPost: s.sendArtifact},
		"projects/{project}/services/{s}/rollback":  {http.MethodPost: s.rollBack},
		"projects/{project}/services/{s}/route":     read(s.showRoute).with(http.MethodPut, s.setRoute),
		"projects/{project}/monitoring":             read(s.listMonitoring),
		"projects/{project}/monitoring/{k}":         read(s.showMonitoring).with(http.MethodPut, s.configureMonitoring).with(http.MethodDelete, s.removeMonitoring),
		"projects/{project}/monitoring/{k}/check":   {http.MethodPost: s.checkMonitoring},
		"projects/{project}/monitoring/{k}/install": {http.MethodPost: s.installMonitoring},
		"monitoring":                  read(s.listMonitoring),
		"monitoring/{k}":              read(s.showMonitoring).with(http.MethodPut, s.configureMonitoring).with(http.MethodDelete, s.removeMonitoring),
		"monitoring/{k}/check":        {http.MethodPost: s.checkMonitoring},
		"monitoring/{k}/install":      {http.MethodPost: s.installMonitoring},
		"services":                    read(s.listServices),
		"board":                       read(s.showBoard),
		"deliveries":                  read(s.listDeliveries),
		"deliveries/{id}":             read(s.showDelivery),
		"deliveries/{id}/events":      read(s.listDeliveryEvents),
		"deliveries/{id}/logs":        {http.MethodGet: s.streamLogs},
		"deliveries/{id}/commands":    {http.MethodPost: s.command},
		"deliveries/{id}/retry":       {http.MethodPost: s.retry},
		"evaluations":                 read(s.listEvaluations),
		"evaluations/{id...}":         read(s.showEvaluation),
		"evaluations/{id}/invalidate": {http.MethodPost: s.invalidateEvaluation},
		"reports/{id...}":             read(s.showReport),
		"events":                      events,
		"targets":                     read(s.listTargets),
		"backup":                      {http.MethodGet: s.streamBackup},
		"subscriptions":               read(s.listSubscriptions).with(http.MethodPost, s.addSubscription),
		"subscriptions/{id}":          {http.MethodDelete: aboutSubscription(s, Backend.RemoveSubscription)},
		"subscriptions/{id}/secret":   {http.MethodPost: aboutSubscription(s, Backend.RotateSubscription)},
		"subscriptions/{id}/test":     {http.MethodPost: aboutSubscription(s, Backend.TestSubscription)},
		"subscriptions/{id}/replay":   {http.MethodPost: s.replaySubscription},
		"routes":                      read(s.listRoutes),
		"status":                      read(s.showStatus),
		"system":                      read(s.showSystem),
		"watch":                       {http.MethodGet: s.watch},
		"checks":                      {http.MethodGet: s.listChecks},
		"openapi.json":                read(s.showDocument),

		"projects/{project}/registries":              read(s.listRegistries),
		"projects/{project}/registries/{name}":       {http.MethodPut: s.addRegistry, http.MethodDelete: s.removeRegistry},
		"projects/{project}/registries/{name}/check": {http.MethodPost: s.checkRegistry},
		"registries": read(s.listRegistries),
	}
}

func (s *server) serve(m methods) http.Handler {
	allow := m.allow()
	return s.render(func(w http.ResponseWriter, r *http.Request) error {
		h, ok := m[r.Method]
		if !ok {
			w.Header().Set("Allow", allow)
			return withStatus(http.StatusMethodNotAllowed, fairway.Invalid("method", r.Method, "is not offered for "+r.URL.Path, "use "+allow))
		}
		return h(w, r)
	})
}

// render turns what h returns, or panics with, into a problem document.
func (s *server) render(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				panic(p)
			} else if p != nil {
				s.refuse(w, r, fmt.Errorf("panic: %v", p))
			}
		}()
		if err := h(w, r); err != nil {
			s.refuse(w, r, err)
		}
	})
}

func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		// The asker has left, or the server stops: nothing went wrong.
		err = fairway.Errorf(fairway.KindUnavailable, "Fairway stopped before the request was answered; try again")
	} else if d := DetailsOf(err); d.Status == http.StatusInternalServerError {
		s.o.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	WriteProblem(w, err)
}

func unknownPath(_ http.ResponseWriter, r *http.Request) error {
	return fairway.Errorf(fairway.KindNotFound, "there is no %s; the API begins at %s with board, projects, services, deliveries, evaluations, reports, events, targets, routes, monitoring, registries, status, system and watch", r.URL.Path, Prefix)
}
