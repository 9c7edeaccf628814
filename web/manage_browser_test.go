package web

import (
	"reflect"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func TestProjectPagesInABrowser(t *testing.T) {
	t.Parallel()
	b := browse(t, under(t, newManaged()).URL)
	b.looked(managedPaths...)
}

// fill types into a field in place of what it says.
func (b *browser) fill(selector, text string) {
	b.t.Helper()
	eval[chromedp.Void](b, `document.querySelector("`+selector+`").value = ""`)
	b.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// at waits until the browser shows that page.
func (b *browser) at(path string) {
	b.t.Helper()
	b.until(`location.pathname === "` + path + `"`)
}

// wants waits until the world was asked for that.
func (m *managed) wants(b *browser, want any) {
	b.t.Helper()
	if got := m.last(); !reflect.DeepEqual(got, want) {
		b.t.Errorf("asked for %+v, want %+v", got, want)
	}
}

// Every button of a service's page does what it says.
func TestButtonsOfAService(t *testing.T) {
	t.Parallel()
	m := newManaged()
	b := browse(t, under(t, m).URL)
	const path = "/projects/sockshop/services/carts"

	b.open(path)
	b.press("#change-dev > summary")
	b.fill("#rollback-reason-dev", "it hurts")
	b.press("#change-dev button[value=rollback]")
	b.at("/deliveries/third-delivery")
	m.wants(b, api.Rollback{Project: "sockshop", Service: "carts", Stage: "dev", To: "0.6.1-2", Reason: "it hurts"})

	b.open(path)
	b.press("#change-staging > summary")
	b.fill("#blue-staging", "70")
	b.press("#force-staging")
	b.fill("#weights-reason-staging", "a look")
	b.press("#change-staging button[value=weights]")
	b.until(`location.hash === "#stage-staging"`)
	m.wants(b, api.SetRoute{Project: "sockshop", Service: "carts", Stage: "staging", Weights: fairway.Weights{fairway.Blue: 70, fairway.Green: 30}, Force: true, Reason: "a look"})

	b.open(path)
	b.fill("#tag", "0.7.0")
	b.press("button[value=deliver]")
	b.at("/deliveries/third-delivery")
	m.wants(b, api.SendArtifact{Project: "sockshop", Service: "carts", Image: "127.0.0.1:8080/sockshop/carts", Tag: "0.7.0", Stage: "dev"})

	b.open(path)
	b.press(`nav[aria-label="Time span"] a:nth-child(2)`)
	b.until(`location.search === "?since=7d" && document.querySelector("#dora a[aria-current]").textContent === "7 days"`)

	b.open(path)
	b.press("a.button.danger")
	b.at(path + "/delete")
	b.fill("#name", "carts")
	b.fill("#reason", "no longer needed")
	b.press("button.danger")
	b.at("/projects/sockshop")
	m.wants(b, api.Delete{Project: "sockshop", Service: "carts", Version: "4f1c2d9e0b7a8c35", Reason: "no longer needed"})
	for _, c := range b.complaints() {
		t.Error(c)
	}
}

// Every button of a project's page does what it says.
func TestButtonsOfAProject(t *testing.T) {
	t.Parallel()
	m := newManaged()
	b := browse(t, under(t, m).URL)
	const path = "/projects/sockshop"

	b.open(path)
	b.press("#upstream button[value=sync]")
	b.until(`location.hash === "#upstream"`)
	m.wants(b, api.SyncUpstream{Project: "sockshop"})
	for _, side := range []string{"ours", "theirs"} {
		b.open(path)
		b.fill("#diverged-reason", side+" is newer")
		b.press("#upstream button[value=" + side + "]")
		b.until(`location.hash === "#upstream"`)
		m.wants(b, api.SyncUpstream{Project: "sockshop", Take: side, Reason: side + " is newer"})
	}
	b.open(path)
	b.press("#monitoring .connection:nth-of-type(2) button")
	b.until(`document.querySelector("ul.checked")?.textContent.includes("no series has a label version")`)
	m.wants(b, api.MonitoringName{Kind: "dynatrace"})
	b.open(path)
	b.press("a.button.danger")
	b.at(path + "/delete")
	b.press("a[href$='keep=running']")
	b.until(`location.search === "?keep=running"`)
	for _, c := range b.complaints() {
		t.Error(c)
	}
}

// What is wrong with a form is said while it is filled in, and gone when it is
// mended; what was typed is not lost.
func TestFormsAreCheckedAsYouType(t *testing.T) {
	t.Parallel()
	m := newManaged()
	b := browse(t, under(t, m).URL)

	b.open("/projects/new")
	b.fill("#name", "shop")
	b.until(`document.querySelector("#findings .ok") && document.querySelectorAll("#findings .pipe-stage").length === 3`)
	b.fill("#shipyard", "stagse: []")
	b.until(`document.querySelector("#findings .failed")?.textContent.includes("did you mean stages?")`)
	b.picture("new-project-wrong")
	b.fill("#shipyard", "stages: [{name: dev}]")
	b.until(`document.querySelector("#findings .ok")`)
	b.picture("new-project-right")
	if got := eval[string](b, `document.querySelector("#name").value`); got != "shop" {
		t.Errorf("the name became %q", got)
	}
	for _, v := range b.violations() {
		t.Error(v)
	}
	b.press("button[value=create]")
	b.at("/projects/shop") // which this world has not
	m.wants(b, api.CreateProject{Name: "shop", File: "shipyard.yaml", Shipyard: "stages: [{name: dev}]"})
	b.complaints() // that there is no such page

	b.open("/projects/sockshop")
	b.press("a.button.primary")
	b.at("/projects/sockshop/onboard")
	b.fill("#values", "service: {}")
	b.until(`document.querySelector("#findings .failed")?.textContent.includes("service.name")`)
	b.fill("#values", "service: {name: orders}")
	b.until(`document.querySelector("#findings .ok")`)
	b.press("button[value=onboard]")
	b.at("/projects/sockshop")
	m.wants(b, api.OnboardService{Project: "sockshop", Values: "service: {name: orders}", ValuesFile: "values.yaml"})
	for _, c := range b.complaints() {
		t.Error(c)
	}
}

// A change shows without a reload, and what a person has opened stays open.
func TestProjectPagesFollowChanges(t *testing.T) {
	t.Parallel()
	m := newManaged()
	b := browse(t, under(t, m).URL)
	for path, c := range map[string]struct {
		change func()
		shows  string
	}{
		"/projects/sockshop/services/carts": {func() { m.all[0].Reason = "ready after 1.3 s" }, `document.querySelector("#main").textContent.includes("ready after 1.3 s") && document.querySelector("#change-dev").open`},
		"/projects/sockshop":                {func() { m.state.Condition = fairway.UpstreamInStep }, `document.querySelector("#upstream .mark").textContent === "in step"`},
		"/system":                           {func() { m.system.Tests.Waiting = 77 }, `document.querySelector("#main").textContent.includes("77 wait for their turn")`},
	} {
		b.open(path)
		b.until(`document.getElementById("live").textContent === "live"`)
		if path == "/projects/sockshop/services/carts" {
			b.press("#change-dev > summary")
		}
		m.edit(c.change)
		m.changes <- api.Change{Events: make([]api.StoredEvent, 1)}
		b.until(c.shows)
	}
}

// The longest names that there can be fit a telephone, too.
func TestLongNamesOfProjectsFitATelephone(t *testing.T) {
	t.Parallel()
	m := newManaged()
	tag, name := strings.Repeat("0123456789abcdef", 8), fairway.ServiceName(strings.Repeat("service", 5))
	for i := range m.all {
		m.all[i].Artifact.Tag, m.all[i].Reason = tag, strings.Repeat("x", 200)
	}
	for i, v := range m.services["sockshop"][0].Stages {
		for colour, o := range v.Occupants {
			o.Artifact.Tag = tag
			m.services["sockshop"][0].Stages[i].Occupants[colour] = o
		}
	}
	m.services["sockshop"][0].Service = name
	m.state.URL, m.state.Reason = "https://git.example.com/"+strings.Repeat("path", 40), strings.Repeat("y", 200)
	m.system.Parts[0].Text, m.system.Data = strings.Repeat("z", 200), "/"+strings.Repeat("d", 120)
	b := browse(t, under(t, m).URL)
	b.as(360, false)
	for _, path := range []string{"/projects", "/projects/sockshop", "/projects/sockshop/services/" + string(name), "/system", "/projects/sockshop/delete"} {
		b.open(path)
		if over := b.over(); over > 0 {
			t.Errorf("%s is %d pixels too wide", path, over)
		}
	}
}
