package app

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fairwaycd/fairway/access"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/cloudevents"
	"github.com/fairwaycd/fairway/git"
	"github.com/fairwaycd/fairway/metrics"
	"github.com/fairwaycd/fairway/web"
)

// handler joins everything that answers on the first port.
func (a *App) handler() http.Handler {
	b := &backend{a}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.readyz)
	calls := api.NewServer(b, api.ServerOptions{Logger: a.o.Logger.With("component", "api"), ReadEvents: cloudevents.Read, Answers: a.answers})
	mux.Handle("/api/v1/", calls)
	mux.Handle("GET /api/v1/watch", a.untilStop(calls))
	mux.Handle("GET /api/v1/deliveries/{id}/logs", a.untilStop(calls))
	mux.Handle("POST "+api.HookPrefix, api.NewHooks(a.hooked, api.ServerOptions{Logger: a.o.Logger.With("component", "registries")}))
	mux.Handle("/git/", a.room(withGitActor(http.StripPrefix("/git", a.git.Handler()))))
	mux.Handle("/v2/", a.reg.Handler())
	mux.Handle("/prometheus/", http.StripPrefix("/prometheus", a.metrics.Handler()))
	mux.Handle("GET /metrics", a.ownMetrics())
	pages := web.New(b, web.Options{Log: a.o.Logger.With("component", "web"), CSRF: access.CSRF, Domain: a.site.domain()})
	mux.Handle("/", pages)
	mux.Handle("GET /live", a.untilStop(pages))
	mux.Handle("GET /deliveries/{id}/log", a.untilStop(pages))
	return a.guard.Wrap(mux, access.Options{Listen: a.listen.Addr().String(), Hosts: a.o.Hosts, Refused: a.refused, Own: api.IsHook, Log: a.o.Logger.With("component", "access")})
}

// withGitActor tells the git server who pushes.
func withGitActor(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(git.WithActor(r.Context(), access.Actor(r.Context()))))
	})
}

// readyz tells whether events are taken, and if not, why.
func (a *App) readyz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	trouble := a.trouble()
	if !a.ready.Load() || len(trouble) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "not ready")
	} else {
		fmt.Fprintln(w, "ready")
	}
	fmt.Fprintln(w, "durability:", a.durability())
	parts := make([]string, 0, len(trouble))
	for part := range trouble {
		parts = append(parts, part)
	}
	slices.Sort(parts)
	if err := a.missed.Load(); err != nil && *err != nil {
		fmt.Fprintf(w, "missed before the start: %s\n", strings.ReplaceAll((*err).Error(), "\n", " "))
	}
	for _, part := range parts {
		fmt.Fprintf(w, "%s: %s\n", part, strings.ReplaceAll(trouble[part].Error(), "\n", " "))
	}
}

func (a *App) durability() string {
	if a.o.Durability == DurabilityProcess {
		return "process (synced once a second: a power cut may lose the last second)"
	}
	return "power (every write is synced before it is acknowledged)"
}

// ownMetrics serves Fairway's own metrics together with the gateway's.
func (a *App) ownMetrics() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), deliveries{a.view}, progress{a}, a.refusals, a.sending, a.spans, subscriptionStates{a.subscriptions})
	return promhttp.HandlerFor(prometheus.Gatherers{reg, a.metrics.Gatherer()}, promhttp.HandlerOpts{})
}

// observeOwn lets the embedded Prometheus scrape Fairway itself.
func (a *App) observeOwn() error {
	if err := a.metrics.TrackEndpoint(metrics.Endpoint{Name: "fairway", Handler: a.ownMetrics()}); err != nil {
		return fmt.Errorf("observe Fairway: %w", err)
	}
	return nil
}
