package web

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func manage(m *managed) http.Handler {
	return New(m, Options{CSRF: func(context.Context) string { return "tok<en" }, Now: func() time.Time { return noon }})
}

func TestService(t *testing.T) {
	t.Parallel()
	a := get(t, manage(newManaged()), "/projects/sockshop/services/carts")
	a.want(t, "h1", "carts")
	a.want(t, "nav.crumbs a", "Projects", "sockshop")
	a.want(t, "li.stage-now h3", "dev", "staging", "production") // the shipyard's order
	a.want(t, "li#stage-staging .now-places li", "blue 0.6.2-3 100 % released · ready", "green 0.6.1-2 0 % rejected")
	a.want(t, "li#stage-production .held", "0.6.2-3 waiting for approval")
	a.want(t, "li#stage-staging form button", "Split the traffic of staging")
	a.want(t, "li#stage-dev form button", "Roll back dev") // there is nothing to split
	if links := a.find("li#stage-dev a[href=http://carts.dev.localhost:8000/]"); len(links) != 1 {
		t.Errorf("%d links to the service", len(links))
	}
	a.want(t, ".tile .figure-value", "2 a day", "37 min", "8.3 %", "8 min")
	if bars := a.find(".tile svg g"); len(bars) < 40 {
		t.Errorf("%d bars", len(bars))
	}
	a.want(t, ".strip a", "0.6.4 pass 15", "0.6.5 not judged –", "0.6.6 error –", "0.6.7 warning 66", "0.6.8 fail 83", "0.6.9 pass 100")
	a.want(t, "section[aria-labelledby=history] tbody tr", "4.2.0-rc.1 running", "0.6.2-3 waiting", "0.6.1-2 rejected", "0.6.0-1 finished warning")
	a.want(t, "form.deliver select option", "dev (all)", "staging", "production")
	if len(a.find("b")) != 0 {
		t.Error("a reason became markup")
	}
	for path, code := range map[string]int{"/projects/sockshop/services/nix": 404, "/projects/nix/services/carts": 404, "/projects/sockshop/services/carts?since=7d": 200, "/projects/sockshop/services/carts?since=%3Cx": 200} {
		if a := get(t, manage(newManaged()), path); a.Code != code {
			t.Errorf("%s: %d", path, a.Code)
		}
	}
}

// A stage offers the way back to what was released there, and not to what has
// the traffic.
func TestServiceOffersTheWayBack(t *testing.T) {
	t.Parallel()
	m := newManaged()
	end := at(-300)
	for i, tag := range []string{"0.6.0-1", "0.5.9", "0.5.8"} {
		m.all = append(m.all, fairway.Delivery{ID: fairway.DeliveryID(tag), Artifact: fairway.Artifact{Image: "carts", Tag: tag}, Status: fairway.StatusFinished, StartedAt: at(-400 - i), EndedAt: &end,
			Stages: []fairway.StageRecord{{Stage: "production", EndedAt: &end}}})
	}
	m.all[len(m.all)-1].Status = fairway.StatusRejected // it was never released
	get(t, manage(m), "/projects/sockshop/services/carts").want(t, "li#stage-production select option", "0.5.9")
}

func TestSteeringAService(t *testing.T) {
	t.Parallel()
	const path = "/projects/sockshop/services/carts"
	for name, c := range map[string]struct {
		form url.Values
		want any
		to   string
	}{
		"rollback": {url.Values{"verb": {"rollback"}, "stage": {"production"}, "to": {"0.5.9"}, "reason": {" it hurts "}},
			api.Rollback{Project: "sockshop", Service: "carts", Stage: "production", To: "0.5.9", Reason: "it hurts"}, "/deliveries/third-delivery"},
		"deliver": {url.Values{"verb": {"deliver"}, "image": {"127.0.0.1:8080/sockshop/carts"}, "tag": {"0.7"}, "stage": {"staging"}},
			api.SendArtifact{Project: "sockshop", Service: "carts", Image: "127.0.0.1:8080/sockshop/carts", Tag: "0.7", Stage: "staging"}, "/deliveries/third-delivery"},
		"weights": {url.Values{"verb": {"weights"}, "stage": {"staging"}, "blue": {"70 %"}, "force": {"on"}, "reason": {"a look"}},
			api.SetRoute{Project: "sockshop", Service: "carts", Stage: "staging", Weights: fairway.Weights{fairway.Blue: 70, fairway.Green: 30}, Force: true, Reason: "a look"}, path + "#stage-staging"},
	} {
		m := newManaged()
		a := post(t, manage(m), path, c.form)
		if a.Code != http.StatusSeeOther || a.Header().Get("Location") != c.to {
			t.Errorf("%s: %d %v", name, a.Code, a.Header())
		}
		if !reflect.DeepEqual(m.last(), c.want) {
			t.Errorf("%s: asked for %+v, want %+v", name, m.last(), c.want)
		}
		m.refusal = fairway.Errorf(fairway.KindRefused, "stage production is held")
		if a := post(t, manage(m), path, c.form); a.Code != 409 || len(a.find("main a[href="+path+"]")) != 1 {
			t.Errorf("%s, refused: %d", name, a.Code)
		}
	}
	for _, form := range []url.Values{{"verb": {"rollback"}, "stage": {"dev"}}, {"verb": {"weights"}, "blue": {"10"}}, {"verb": {"weights"}, "blue": {"101"}, "reason": {"x"}}, {"verb": {"weights"}, "blue": {"half"}, "reason": {"x"}}, {"verb": {"nix"}, "reason": {"x"}}, {}} {
		m := newManaged()
		if a := post(t, manage(m), path, form); a.Code != 422 || m.last() != nil {
			t.Errorf("%v: %d, asked %+v", form, a.Code, m.last())
		}
	}
}

func TestProject(t *testing.T) {
	t.Parallel()
	m := newManaged()
	a := get(t, manage(m), "/projects/sockshop")
	a.want(t, "ol.pipeline h3", "dev", "staging", "production")
	a.want(t, "ol.pipe-steps", "Deploy in place of the version before functional tests", "Deploy beside blue/green, without traffic performance tests optional quality gate a warning goes on Release", "Deploy beside blue/green, without traffic Approval a person decides Release")
	a.want(t, "li.pipe-stage p", "namespace dev", "namespace staging · 1 waiting", "namespace production · 1 under way")
	a.want(t, "ul.rules", "a failure brings the version before back", "the version before runs on", "the version before runs on")
	a.want(t, "table.services tbody tr", "carts direct 0.6.2-3 blue 0.6.2-3 · 1 waiting blue 0.6.0-1 under way", "carts-db nothing yet nothing yet nothing yet")
	a.want(t, "section[aria-labelledby=configuration] nav a", "main", "dev", "staging", "production")
	a.want(t, "ol.commits li", "Configure carts 0.6.2-3 in staging 5428bf2c · Fairway · 30 s ago · delivery third", "Give carts more memory <b> It was killed twice. d1a2c8e0 · Ann Sailor")
	a.want(t, "section#upstream .mark", "diverged")
	a.want(t, "section#upstream form button", "Look now", "Ours holds", "Theirs holds")
	a.want(t, "section#monitoring .connection", "prometheus of this project, with a token", "dynatrace of all projects")
	if len(a.find(".tile")) != 4 || len(a.find("b")) != 0 {
		t.Error("figures or markup")
	}
	m.projects[0].Upstream = nil
	get(t, manage(m), "/projects/sockshop").want(t, "section#upstream code", "fairway configure upstream --project sockshop")
	a = get(t, manage(m), "/projects/sockshop?q=db")
	a.want(t, "table.services tbody th", "carts-db")
	get(t, manage(m), "/projects/sockshop?q=zz").want(t, "p.empty", "No service has “zz” in its name")
	if a := get(t, manage(m), "/projects/nix"); a.Code != 404 {
		t.Errorf("an unknown project: %d", a.Code)
	}
	get(t, manage(m), "/projects").want(t, "ul.project-cards li.panel", "sockshop dev staging production 3 services")
	m.projects = nil
	get(t, manage(m), "/projects").want(t, "div.empty a", "Create one here")
}

func TestSteeringAProject(t *testing.T) {
	t.Parallel()
	const path = "/projects/sockshop"
	for name, c := range map[string]struct {
		form url.Values
		want any
	}{
		"sync":   {url.Values{"verb": {"sync"}}, api.SyncUpstream{Project: "sockshop"}},
		"ours":   {url.Values{"verb": {"ours"}, "reason": {"ours is newer"}}, api.SyncUpstream{Project: "sockshop", Take: "ours", Reason: "ours is newer"}},
		"theirs": {url.Values{"verb": {"theirs"}, "reason": {"theirs is"}}, api.SyncUpstream{Project: "sockshop", Take: "theirs", Reason: "theirs is"}},
	} {
		m := newManaged()
		a := post(t, manage(m), path, c.form)
		if a.Code != http.StatusSeeOther || a.Header().Get("Location") != path+"#upstream" || !reflect.DeepEqual(m.last(), c.want) {
			t.Errorf("%s: %d %v, asked for %+v", name, a.Code, a.Header(), m.last())
		}
	}
	m := newManaged()
	a := post(t, manage(m), path, url.Values{"verb": {"check"}, "kind": {"dynatrace"}})
	a.want(t, "ul.checked li", "works the API answers, version 3.4", "fails labels no series has a label version")
	if want := (api.MonitoringName{Kind: "dynatrace"}); m.last() != any(want) { // that of all projects
		t.Errorf("asked for %+v", m.last())
	}
	for _, form := range []url.Values{{"verb": {"ours"}}, {"verb": {"check"}, "kind": {"nix"}}, {"verb": {"nix"}}, {}} {
		m := newManaged()
		if a := post(t, manage(m), path, form); a.Code != 422 || m.last() != nil {
			t.Errorf("%v: %d", form, a.Code)
		}
	}
}

func TestCommitsInPages(t *testing.T) {
	t.Parallel()
	h := manage(newManaged())
	a := get(t, h, "/projects/sockshop/commits?branch=staging")
	a.want(t, "nav.pills a", "main", "dev", "staging", "production")
	a.want(t, "nav.pills a[aria-current=page]", "staging")
	a.want(t, "ol.commits li", "Configure carts", "Give carts more memory")
	a.want(t, "a[href=/projects/sockshop/commits/5428bf2c8e069a7efaa227f30e633d043f75e06b]", "Configure carts")
	older := a.find("p.pager a")
	if len(older) != 1 {
		t.Fatal("no way to older commits")
	}
	to, _ := attribute(older[0], "href")
	get(t, h, to).want(t, "ol.commits li", "Create project sockshop")
	if a := get(t, h, "/projects/sockshop/commits?branch=nix"); a.Code != 404 {
		t.Errorf("an unknown branch: %d", a.Code)
	}
}

func TestCreatingAProject(t *testing.T) {
	t.Parallel()
	const path = "/projects/new"
	m := newManaged()
	h := manage(m)
	get(t, h, path).want(t, "textarea", "stages:")
	wrong := url.Values{"name": {"Sock <Shop>"}, "shipyard": {"stagse:\r\n- name: dev\r\n"}}
	for verb, code := range map[string]int{"check": 200, "create": 422} {
		wrong.Set("verb", verb)
		a := post(t, h, path, wrong)
		a.want(t, "#findings li", "shipyard.yaml:1:1 stagse is not a key of a shipyard; did you mean stages?", "name Sock <Shop> is not a name")
		a.want(t, "textarea", "stagse: - name: dev")
		if a.Code != code || m.last() != nil {
			t.Errorf("%s: %d, asked %+v", verb, a.Code, m.last())
		}
	}
	right := url.Values{"name": {"shop"}, "shipyard": {"stages:\r\n- name: dev\r\n"}, "verb": {"check"}}
	a := post(t, h, path, right)
	a.want(t, "#findings .ok", "Nothing is wrong")
	a.want(t, "#findings ol.pipeline h3", "dev", "staging", "production")
	right.Set("verb", "create")
	if a := post(t, h, path, right); a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/projects/shop" {
		t.Errorf("%d %v", a.Code, a.Header())
	}
	if want := (api.CreateProject{Name: "shop", File: "shipyard.yaml", Shipyard: "stages:\n- name: dev\n"}); m.last() != any(want) {
		t.Errorf("asked for %+v", m.last())
	}
	m.refusal = fairway.Errorf(fairway.KindConflict, "project shop exists with another shipyard")
	post(t, h, path, right).want(t, "#findings li", "project shop exists with another shipyard")
	m.refusal = fairway.Errorf(fairway.KindUnavailable, "Fairway is starting")
	if a := post(t, h, path, right); a.Code != 503 {
		t.Errorf("starting: %d", a.Code)
	}
}

func TestOnboardingAService(t *testing.T) {
	t.Parallel()
	const path = "/projects/sockshop/onboard"
	m := newManaged()
	h := manage(m)
	get(t, h, path).want(t, "textarea#values", "service:")
	a := post(t, h, path, url.Values{"verb": {"onboard"}, "values": {"service: {}"}, "deployment": {"kind: X"}})
	a.want(t, "#findings li", "values.yaml service.name is missing name the service")
	a.want(t, "textarea#deployment", "kind: X")
	if a.Code != 422 || len(a.find("details#templates[open]")) != 1 {
		t.Errorf("%d, or what was typed is hidden", a.Code)
	}
	a = post(t, h, path, url.Values{"verb": {"check"}, "values": {"service: {name: carts}"}})
	a.want(t, "#findings .ok", "Nothing is wrong")
	a.want(t, "#findings p.notice", "a stateful template under blue/green")
	a.want(t, "#findings details li", "dev:helm-chart/templates/carts-deployment.yaml")
	for values, to := range map[string]string{"service: {name: carts}": "/projects/sockshop", "service: {name: carts, image: x}": "/deliveries/third-delivery"} {
		a = post(t, h, path, url.Values{"verb": {"onboard"}, "values": {values}, "deployment": {"a"}, "kubernetesService": {"b"}})
		if a.Code != http.StatusSeeOther || a.Header().Get("Location") != to {
			t.Errorf("%s: %d %v", values, a.Code, a.Header())
		}
		if want := (api.OnboardService{Project: "sockshop", Values: values, ValuesFile: "values.yaml", Deployment: "a", KService: "b"}); !reflect.DeepEqual(m.last(), want) {
			t.Errorf("asked for %+v", m.last())
		}
	}
	if a := get(t, h, "/projects/nix/onboard"); a.Code != 404 {
		t.Errorf("an unknown project: %d", a.Code)
	}
}

func TestDeleting(t *testing.T) {
	t.Parallel()
	for path, c := range map[string]struct {
		name, to string
		want     api.Delete
	}{
		"/projects/sockshop/services/carts/delete": {"carts", "/projects/sockshop", api.Delete{Project: "sockshop", Service: "carts"}},
		"/projects/sockshop/delete":                {"sockshop", "/projects", api.Delete{Project: "sockshop"}},
	} {
		m := newManaged()
		h := manage(m)
		a := get(t, h, path)
		a.want(t, "section.gone li", "blue 0.6.2-3 in staging, with 100 % of the traffic", "delivery 4.2.0-rc.1 , under way in dev, is aborted", "4 images in sockshop/carts", "its files on dev , staging")
		version, _ := attribute(a.find("input[name=version]")[0], "value")
		form := url.Values{"version": {version}, "name": {c.name}, "reason": {" no longer needed "}}
		for missing, said := range map[string]string{"reason": "reason is missing", "name": "is not the name"} {
			less := url.Values{}
			for k, v := range form {
				if k != missing {
					less[k] = v
				}
			}
			if a := post(t, h, path, less); a.Code != 422 || m.last() != nil || !strings.Contains(strings.Join(a.texts("div.notice li"), ""), said) {
				t.Errorf("%s without %s: %d %q", path, missing, a.Code, a.texts("div.notice li"))
			}
		}
		a = post(t, h, path, form)
		c.want.Version, c.want.Reason = version, "no longer needed"
		if a.Code != http.StatusSeeOther || a.Header().Get("Location") != c.to || m.last() != any(c.want) {
			t.Errorf("%s: %d %v, asked for %+v", path, a.Code, a.Header(), m.last())
		}
		form.Set("version", "an older one")
		if a := post(t, h, path, form); a.Code != 409 || len(a.find("input[name=version]")) != 1 {
			t.Errorf("%s, changed meanwhile: %d", path, a.Code)
		}
		get(t, h, path+"?keep=running").want(t, "form input[name=keep]", "")
		form.Set("version", version)
		form.Set("keep", "running")
		post(t, h, path, form)
		if c.want.KeepRunning = true; m.last() != any(c.want) {
			t.Errorf("%s, keeping what runs: asked for %+v", path, m.last())
		}
	}
	if a := get(t, manage(newManaged()), "/projects/nix/delete"); a.Code != 404 {
		t.Errorf("an unknown project: %d", a.Code)
	}
}

func TestSystem(t *testing.T) {
	t.Parallel()
	m := newManaged()
	a := get(t, manage(m), "/system")
	a.want(t, "p.lead .mark", "ready")
	a.want(t, ".tile .figure-value", "2", "12", "2 of 2", "5 of 64", "40 GiB", "71 MiB")
	a.want(t, "section[aria-labelledby=parts] tbody tr", "disk trouble the disk that holds", "upstreams warning", "event store ok", "decisions ok")
	a.want(t, "section[aria-labelledby=storage] tbody tr", "images as pushed registry 5.3 GiB 4211", "images unpacked", "events and states", "metrics", "set aside", "evaluations", "configuration")
	a.want(t, "section[aria-labelledby=targets] tbody tr", "orders http://127.0.0.1:40002/metrics connection refused down", "carts http://127.0.0.1:40001/metrics 0.6.2-3 up")
	if rows := a.find("section[aria-labelledby=shards] tbody tr"); len(rows) != 16 {
		t.Errorf("%d rows of shards and streams", len(rows))
	}
	m.system.Ready = false
	get(t, manage(m), "/system").want(t, "p.lead .mark", "not ready")
}

// Every form carries the token, and every page works without what its policy
// forbids.
func TestEveryFormCarriesTheToken(t *testing.T) {
	t.Parallel()
	h := manage(newManaged())
	forms := 0
	for _, path := range managedPaths {
		a := get(t, h, path)
		if a.Code != 200 {
			t.Errorf("%s: %d", path, a.Code)
		}
		if len(a.find("[style]"))+len(a.find("[onclick]"))+len(a.find("style")) != 0 {
			t.Errorf("%s has styles or scripts in the page", path)
		}
		for _, f := range a.find("form[method=post]") {
			forms++
			inner := answer{root: f}
			token := inner.find("input[name=csrf]")
			if len(token) != 1 {
				t.Errorf("%s: a form without the token", path)
			} else if v, _ := attribute(token[0], "value"); v != "tok<en" {
				t.Errorf("%s: the token is %q", path, v)
			}
		}
		var ids []string
		for _, n := range a.find("[id]") {
			id, _ := attribute(n, "id")
			if slices.Contains(ids, id) {
				t.Errorf("%s: the id %s is given twice", path, id)
			}
			ids = append(ids, id)
		}
	}
	if forms < 10 {
		t.Errorf("only %d forms were found", forms)
	}
}

func TestSizesAndCounts(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 71 << 20: "71 MiB", 9 << 30: "9 GiB", 250 << 30: "250 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int]string{7: "7", 1234: "1234", 12345: "12\u202f345", 100000: "100\u202f000", 1234567: "1\u202f234\u202f567"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	for v, want := range map[float64]string{0: "none", 2: "2 a day", 0.5: "3.5 a week", 0.1: "3 a month"} {
		if got := frequency(v); got != want {
			t.Errorf("frequency(%v) = %q, want %q", v, got, want)
		}
	}
	for n, want := range map[int]string{0: "0 deliveries", 1: "1 delivery", 2: "2 deliveries"} {
		if got := plural(n, "delivery"); got != want {
			t.Errorf("plural(%d) = %q", n, got)
		}
	}
}
