package web

import (
	"net/http"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func TestBoard(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.board.Counts = api.BoardCounts{People: 1, Moving: 2}
	w.services["sockshop"][0].Stages[0].Occupants[fairway.Blue] = fairway.Occupant{
		Artifact: fairway.Artifact{Image: "sockshop/carts", Tag: "0.6.0-1"}, Delivery: "first-delivery", Instance: "ill", State: fairway.OccupantReleased, Since: at(-7200)}
	a := get(t, newConsole(w), "/")
	if a.Code != 200 || a.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", a.Code, a.Header())
	}
	a.want(t, "table.board thead th", "Service", "dev 1 moving", "staging 1 moving", "production") // the shipyard's order
	a.want(t, "table.board tbody th", "carts", "carts-db")
	a.want(t, "td[data-stage=staging] li", "blue 0.6.2-3 released 100 % 1 min", "green 0.6.1-2 rejected 0 %")
	a.want(t, "td[data-stage=production] li.released", "blue 0.6.0-1 not ready 100 % 2 h")
	a.want(t, "td[data-stage=dev] li", "direct 0.6.2-3 released 100 %")
	a.want(t, "td[data-stage=dev] p.quiet", "no version yet")
	a.want(t, "td[data-stage=staging] p.going", "waiting for approval 0.6.2-3 staging asks for a person")
	a.want(t, "td[data-stage=dev] p.going", "deploy 4.2.0-rc.1 starting carts-db in dev")
	if links := a.find("td[data-stage=production] a[href=http://carts.production.localhost:8000/]"); len(links) != 1 {
		t.Errorf("%d links to the service", len(links))
	}
	a.want(t, "section[aria-labelledby=people] li.approval", "approval carts 0.6.2-3 sockshop · staging 5 s ago staging asks for a person")
	a.want(t, "li.approval a[href=/deliveries/third-delivery#decide]", "carts 0.6.2-3")
	a.want(t, "section[aria-labelledby=under-way] li", "deploy carts-db 4.2.0-rc.1 sockshop · dev")
	a.want(t, "section[aria-labelledby=under-way] [data-progress=running-delivery]", "starting carts-db in dev")
	a.want(t, "nav.tabs a", "All services 2", "Need people 1", "Moving 2", "Failed 0", "Not ready 0")
	a.want(t, "nav.tabs a[aria-current]", "All services")
	a.want(t, "header nav a[aria-current=page]", "Board")
	if len(a.find("b")) != 0 {
		t.Error("a reason became markup")
	}
	a.want(t, "footer", "power cut")
	if len(a.find("section.notice")) != 0 {
		t.Error("it tells of trouble where there is none")
	}
}

// The queue behind a stage is named, and shortened where it is long.
func TestBoardShowsWhatWaitsForAStage(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, tag := range []string{"1", "2", "3", "4", "5"} {
		w.all = append(w.all, fairway.Delivery{ID: fairway.DeliveryID("w" + tag), Project: "sockshop", Service: "carts", Stage: "production", Step: fairway.StepQueue,
			Status: fairway.StatusWaiting, Artifact: fairway.Artifact{Tag: "9." + tag}})
	}
	get(t, newConsole(w), "/").want(t, "td[data-stage=production] p.queue", "waiting: 9.1 , 9.2 , 9.3 and 2 more")
}

func TestBoardInTroubleAndEmpty(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.status.Ready, w.status.Trouble, w.status.Durability = false, map[string]string{"log": "the disk is full"}, "process"
	w.projects, w.all = nil, nil
	a := get(t, newConsole(w), "/")
	a.want(t, "section.notice", "not ready")
	a.want(t, "section.notice li", "log: the disk is full")
	a.want(t, "p.empty", "fairway create project")
	a.want(t, "footer", "crash of the process only")

	w = newWorld()
	w.projects = append(w.projects, api.Project{Name: "broken", Error: "the object 1a2b3c4d is missing"})
	get(t, newConsole(w), "/").want(t, "section[aria-labelledby=project-broken] p.failed", "This project cannot be read: the object 1a2b3c4d is missing")

	w = newWorld()
	w.services, w.all = nil, nil
	a = get(t, newConsole(w), "/")
	a.want(t, "section p.empty", "fairway onboard service NAME --project sockshop")
	a.want(t, "li.calm", "Nothing waits for a person", "Nothing is being delivered")
}

// What is looked for stands in the address, and every link keeps it.
func TestBoardIsSearchedByTheBackend(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.board.Next, w.board.HasPrevious = "sockshop/carts", true
	a := get(t, newConsole(w), "/?project=sockshop&q=car+0.6&state=moving&after=sockshop%2Fa")
	if want := (api.BoardFilter{Project: "sockshop", Search: "car 0.6", State: "moving", After: "sockshop/a"}); len(w.boards) != 1 || w.boards[0] != want {
		t.Errorf("asked %+v", w.boards)
	}
	a.want(t, "nav.tabs a[aria-current]", "Moving")
	a.want(t, "nav.tabs a[href=/?project=sockshop&q=car+0.6&state=failed]", "Failed")
	a.want(t, "nav.tabs a[href=/?state=moving]", "Clear search")
	a.want(t, "nav.pager a[href=/?after=sockshop%2Fcarts&project=sockshop&q=car+0.6&state=moving]", "Next")
	a.want(t, "nav.pager a[href=/?project=sockshop&q=car+0.6&state=moving]", "Previous")
	a.want(t, "form.search option[selected]", "sockshop")
	values := map[string]string{}
	for _, n := range a.find("form.search input") {
		name, _ := attribute(n, "name")
		values[name], _ = attribute(n, "value")
	}
	if values["q"] != "car 0.6" || values["state"] != "moving" {
		t.Errorf("the form has %v", values)
	}
	if a := get(t, newConsole(w), "/?project=nix"); a.Code != http.StatusNotFound {
		t.Errorf("an unknown project: %d", a.Code)
	}
}
