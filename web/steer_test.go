package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func TestTrafficIsSteeredFromADelivery(t *testing.T) {
	t.Parallel()
	w := newWorld()
	h := newConsole(w)
	form := func(pairs ...string) url.Values {
		f := url.Values{"stage": {"staging"}, "reason": {"it is slow"}}
		for i := 0; i < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f
	}
	a := post(t, h, "/deliveries/second-delivery", form("verb", "rollback", "to", " 0.6.0-1 "))
	if a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/deliveries/first-delivery" {
		t.Errorf("roll back: %d %v", a.Code, a.Header())
	}
	if want := (api.Rollback{Project: "sockshop", Service: "carts", Stage: "staging", To: "0.6.0-1", Reason: "it is slow"}); len(w.rollbacks) != 1 || w.rollbacks[0] != want {
		t.Errorf("%+v", w.rollbacks)
	}
	a = post(t, h, "/deliveries/second-delivery", form("verb", "rollback", "to", "9"))
	a.want(t, "#refused", "rollback was refused. no version 9 of carts was released in stage staging; these were: 0.6.0-1")
	if a.Code != http.StatusNotFound {
		t.Errorf("%d", a.Code)
	}
	a = post(t, h, "/deliveries/second-delivery", form("verb", "weights", "blue", "70", "green", "30"))
	a.want(t, "#refused", "0.6.1-2 in green was turned away; use force")
	a = post(t, h, "/deliveries/second-delivery", form("verb", "weights", "blue", "70", "green", "30", "force", "true"))
	if a.Code != http.StatusSeeOther || len(w.splits) != 1 || w.splits[0].Weights[fairway.Green] != 30 || w.splits[0].Weights[fairway.Blue] != 70 || !w.splits[0].Force || w.splits[0].Stage != "staging" || w.splits[0].Reason != "it is slow" {
		t.Errorf("%d %+v", a.Code, w.splits)
	}
	for _, f := range []url.Values{form("verb", "weights", "blue", "70", "green", "40"), form("verb", "weights", "blue", "x", "green", "40"), form("verb", "weights", "blue", "70", "green", "30", "reason", " ")} {
		if a := post(t, h, "/deliveries/second-delivery", f); a.Code != 422 || len(a.find("#refused li")) != 1 {
			t.Errorf("%v: %d, %q", f, a.Code, a.texts("#refused"))
		}
	}
}

func TestCommit(t *testing.T) {
	t.Parallel()
	h := newConsole(newWorld())
	a := get(t, h, "/projects/sockshop/commits/3f2a9c1d")
	a.want(t, "h1", "Configure carts 0.6.1-2 in staging")
	a.want(t, "#diff section h2", "helm-chart/values.yaml +1 −1", "carts/logo.png added")
	a.want(t, "#diff pre span.added", "+ tag: 0.6.1-2 # <b>")
	a.want(t, "#diff pre span.removed", "- tag: 0.5.9-9")
	a.want(t, "#diff pre span.part", "@@ -1,3 +1,3 @@")
	if a := get(t, h, "/projects/sockshop/commits/nix"); a.Code != 404 {
		t.Errorf("an unknown commit: %d", a.Code)
	}
}

func TestOutputIsSent(t *testing.T) {
	t.Parallel()
	h := newConsole(newWorld())
	for path, want := range map[string]string{"/deliveries/second-delivery/log": "second-delivery says hello\n", "/deliveries/second-delivery/log?follow=true": "second-delivery says hello\nand goes on\n"} {
		a := get(t, h, path)
		if a.Code != 200 || a.Body.String() != want || !strings.HasPrefix(a.Header().Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %d %q %v", path, a.Code, a.Body, a.Header())
		}
	}
	if a := get(t, h, "/deliveries/nix/log"); a.Code != 404 {
		t.Errorf("no delivery: %d", a.Code)
	}
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	w := newWorld()
	h := newConsole(w)
	a := get(t, h, "/deliveries")
	a.want(t, "table.list tbody tr", "carts-db 4.2.0-rc.1 sockshop · dev deploy starting", "carts 0.6.2-3 sockshop · staging waiting for approval", "carts 0.6.1-2 sockshop · staging rejected", "carts 0.6.0-1 sockshop · production finished warning")
	a.want(t, "header nav a[aria-current=page]", "Deliveries")
	a.want(t, "nav.tabs a[aria-current]", "All")
	get(t, h, "/deliveries?state=open").want(t, "table.list tbody tr", "carts-db", "carts 0.6.2-3")
	for range 60 {
		w.all = append(w.all, w.all[3])
	}
	a = get(t, h, "/deliveries?project=sockshop&service=carts")
	if rows := a.find("table.list tbody tr"); len(rows) != deliveriesShown {
		t.Errorf("%d rows", len(rows))
	}
	next := a.find("nav.pager a[rel=next]")
	if len(next) != 1 {
		t.Fatalf("%q", a.texts("nav.pager"))
	}
	path, _ := attribute(next[0], "href")
	a = get(t, h, path)
	a.want(t, "nav.pager a[href=/deliveries?project=sockshop&service=carts]", "Newest")
	if got := w.asked[len(w.asked)-1]; got.Before.ID != "first-delivery" || !got.Before.StartedAt.Equal(at(-400)) || got.Service != "carts" || got.Limit != deliveriesShown+1 {
		t.Errorf("asked %+v", got)
	}
	if a := get(t, h, "/deliveries?before=yesterday"); a.Code != 422 {
		t.Errorf("a place that is none: %d", a.Code)
	}
	w.all = nil
	get(t, h, "/deliveries").want(t, "p.empty", "Nothing has been delivered yet")
}
