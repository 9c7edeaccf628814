package web

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// crowded is a world with many services, as a first page of the board shows
// them: each has two versions in every stage.
func crowded(services int) *world {
	w := newWorld()
	p := &w.projects[0]
	for i := range services - 2 {
		s := fairway.ServiceView{Project: "sockshop", Service: fairway.ServiceName(fmt.Sprintf("service-%05d", i))}
		for n, st := range p.Shipyard.Stages {
			v := fairway.StageView{Stage: st.Name, Namespace: fairway.Namespace(st.Name), Weights: fairway.Weights{fairway.Blue: 100 - 10*n, fairway.Green: 10 * n}, Occupants: map[fairway.Colour]fairway.Occupant{}}
			for k, colour := range []fairway.Colour{fairway.Blue, fairway.Green} {
				o := occupant(fmt.Sprintf("1.%d.%d", i, k), fmt.Sprintf("3f2a9c1d-%04d-%04d-8000-0123456789ab", i, k), []string{fairway.OccupantReleased, fairway.OccupantRejected}[(i+k)%2])
				o.Instance = []string{"ready", "ill", "unknown"}[min((i+k*n)%7, 2)]
				v.Occupants[colour] = o
			}
			s.Stages = append(s.Stages, v)
		}
		p.Services = append(p.Services, s.Service)
		w.services["sockshop"] = append(w.services["sockshop"], s)
		if i%9 == 0 {
			d := w.all[i%2]
			d.ID, d.Service = fairway.DeliveryID(fmt.Sprintf("moving-%05d", i)), s.Service
			d.Stages = nil
			w.all = append(w.all, d)
		}
	}
	w.board.Counts = api.BoardCounts{People: 7, Moving: 6, Failed: 3, Unready: 1}
	w.board.Next = "sockshop/service-00047"
	return w
}

// A page of the board with everything in it stays small.
func TestBoardIsSmall(t *testing.T) {
	t.Parallel()
	a := get(t, newConsole(crowded(api.BoardLimit)), "/")
	if rows := a.find("table.board tbody tr"); len(rows) != api.BoardLimit {
		t.Errorf("%d rows", len(rows))
	}
	t.Logf("%d bytes", a.Body.Len())
	if a.Body.Len() > 300_000 {
		t.Errorf("the page has %d bytes", a.Body.Len())
	}
}

// boardPaths are the pages of the board, deliveries and evaluations.
var boardPaths = []string{"/", "/deliveries", "/deliveries/second-delivery", "/deliveries/third-delivery", "/evaluations/evaluation-1", "/projects/sockshop/commits/3f2a9c1d"}

func TestPagesOfDeliveriesInABrowser(t *testing.T) {
	t.Parallel()
	services := 6
	if os.Getenv("FAIRWAY_SCREENSHOTS") != "" {
		services = api.BoardLimit // axe takes its time over many
	}
	b := browse(t, under(t, crowded(services)).URL)
	b.looked(boardPaths...)
}

// The longest names and reasons there are break no page on a telephone.
func TestLongNamesFitATelephone(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for i := range w.all {
		w.all[i].Artifact.Tag = strings.Repeat("0123456789abcdef", 8)
		w.all[i].Reason = strings.Repeat("x", 200)
	}
	w.services["sockshop"][0].Stages[0].Occupants[fairway.Blue] = occupant(w.all[0].Artifact.Tag, "x", fairway.OccupantReleased)
	b := browse(t, under(t, w).URL)
	b.as(360, false)
	for _, path := range append(boardPaths, "/deliveries/nix") {
		b.open(path)
		if over := b.over(); over > 0 {
			t.Errorf("%s is %d pixels too wide", path, over)
		}
	}
}

// Every button of a delivery's page does what it says, with the reason that
// was typed.
func TestButtonsInABrowser(t *testing.T) {
	t.Parallel()
	w := newWorld()
	b := browse(t, under(t, w).URL)
	for i, verb := range []string{"approve", "reject", "pause", "abort"} {
		b.open("/deliveries/third-delivery")
		b.press(`#decide button[value=` + verb + `]`) // without a reason the browser asks for one
		if got := w.said(); len(got) != i {
			t.Fatalf("%s without a reason: %+v", verb, got)
		}
		eval[any](b, `document.getElementById("reason").value = "because of `+verb+`"; window.old = true; 0`)
		b.press(`#decide button[value=` + verb + `]`)
		b.until(`!window.old && document.readyState === "complete"`)
		if got := w.said(); !slices.Equal(got[i:], []api.Command{{Verb: verb, Delivery: "third-delivery", Reason: "because of " + verb}}) {
			t.Fatalf("%s: %+v", verb, got)
		}
	}
	b.open("/deliveries/second-delivery")
	// The weights keep their sum, and what is refused is said.
	eval[any](b, `document.querySelector("#traffic-staging").open = true; const g = document.querySelector("#traffic-staging [name=green]"); g.value = 30; g.dispatchEvent(new Event("input", {bubbles: true})); document.querySelector("#traffic-staging [name=reason]").value = "a try"; 0`)
	b.until(`document.querySelector("#traffic-staging [name=blue]").value === "70"`)
	b.press(`#traffic-staging button[value=weights]`)
	b.until(`document.getElementById("refused")?.textContent.includes("turned away")`)
	b.until(`document.getElementById("live").textContent === "live"`) // which leaves the refusal
	b.until(`document.getElementById("refused")?.textContent.includes("turned away")`)
	b.complaints() // the browser writes every 409 to its console
	// Commits and output are shown in place.
	b.open("/deliveries/second-delivery")
	eval[any](b, `document.getElementById("commit-staging").open = true; document.getElementById("follow").open = true; 0`)
	b.until(`document.querySelector("#commit-staging .diff .added")?.textContent.includes("tag: 0.6.1-2")`)
	b.until(`document.querySelector("#follow pre").textContent === "second-delivery says hello\nand goes on\n"`)
	b.open("/evaluations/evaluation-1")
	eval[any](b, `document.getElementById("reason").value = "the load was wrong"; window.old = true; 0`)
	b.press(`form.decide button`)
	b.until(`!window.old && document.readyState === "complete"`)
	if said := b.complaints(); len(said) != 0 || len(w.invalidated) != 1 {
		t.Errorf("%q, invalidated %+v", said, w.invalidated)
	}
}

// The board is searched while one types, and follows what happens meanwhile
// without taking away what is typed.
func TestBoardFollowsAndIsSearchedInABrowser(t *testing.T) {
	t.Parallel()
	w := crowded(20)
	b := browse(t, under(t, w).URL)
	b.open("/")
	b.until(`document.getElementById("live").textContent === "live"`)
	eval[any](b, `const q = document.getElementById("q"); q.focus(); q.value = "service 0001"; q.dispatchEvent(new Event("input", {bubbles: true})); 0`)
	b.until(`location.search === "?q=service+0001" && document.querySelector(".tabs .clear")`)
	began := time.Now()
	w.mu.Lock()
	w.services["sockshop"][0].Stages[1].Weights = fairway.Weights{fairway.Single: 37}
	w.mu.Unlock()
	w.changes <- api.Change{Events: make([]api.StoredEvent, 1)}
	b.until(`document.querySelector("#row-sockshop-carts .weight").textContent === "37 %"`)
	t.Logf("a change was to be seen after %s", time.Since(began))
	if eval[string](b, `document.activeElement.id + " " + document.activeElement.value`) != "q service 0001" {
		t.Error("what was typed is gone")
	}
	w.changes <- api.Change{Progress: []api.Progress{{Delivery: "running-delivery", Text: "120 of 500"}}}
	b.until(`document.querySelector("[data-progress=running-delivery]").textContent === "120 of 500"`)
	// An element that stays keeps the focus when the page changes around it.
	eval[any](b, `document.querySelector("#row-sockshop-carts-db a").focus(); 0`)
	w.mu.Lock()
	w.services["sockshop"] = w.services["sockshop"][1:]
	w.mu.Unlock()
	w.changes <- api.Change{Events: make([]api.StoredEvent, 1)}
	b.until(`!document.getElementById("row-sockshop-carts")`)
	if eval[string](b, `document.activeElement.textContent`) != "carts-db" {
		t.Error("the focus is gone")
	}
	for _, c := range b.complaints() {
		t.Errorf("the page complains: %s", c)
	}
}
