package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// overview are the calls of [Backend] for looking at many things at once, and
// at one thing closely.
type overview interface {
	// Board returns a part of what runs where, of all projects or one.
	Board(ctx context.Context, f BoardFilter) (Board, error)
	// CommitDiff returns what a commit of the project's configuration changed.
	CommitDiff(ctx context.Context, p fairway.ProjectName, commit string) (CommitDiff, error)
}

// The states by which a board can be filtered.
const (
	BoardPeople  = "people"  // something waits for a person: approval, pause, a failure, what is not ready
	BoardMoving  = "moving"  // a delivery is under way
	BoardFailed  = "failed"  // the latest delivery failed or was turned away
	BoardUnready = "unready" // a version that has traffic is not ready
)

// BoardStates lists them.
var BoardStates = []string{BoardPeople, BoardMoving, BoardFailed, BoardUnready}

// BoardLimit is how many services a part of a board holds by default, and
// BoardMost how many at most.
const (
	BoardLimit = 50
	BoardMost  = 500
)

// BoardFilter selects services; empty fields select all.
type BoardFilter struct {
	Project fairway.ProjectName
	// Search are words, each of which stands in the name of the project or
	// service, or in a tag that lives there or is on its way.
	Search string
	State  string // see the Board states
	After  string // a Board's Next or Previous
	Limit  int    // default BoardLimit, at most BoardMost
}

// Problems lists what cannot be.
func (f BoardFilter) Problems() (ps []fairway.Problem) {
	if f.State != "" && !slices.Contains(BoardStates, f.State) {
		ps = append(ps, fairway.Problem{Field: "state", Value: f.State, Message: "is not a state", Remedy: "use one of " + strings.Join(BoardStates, ", ")})
	}
	return ps
}

// Board is a part of what runs where, by project and service.
type Board struct {
	Items []BoardRow `json:"items"`
	Total int        `json:"total"` // services that the filter selects
	From  int        `json:"from"`  // the first item's number among them, from 1 on; 0 if there is none
	// Next and Previous are After of the parts around; HasPrevious tells the
	// part that begins at the start from none.
	Next        string `json:"next,omitempty"`
	Previous    string `json:"previous,omitempty"`
	HasPrevious bool   `json:"hasPrevious,omitempty"`
	// Projects are those of the items, those that cannot be read, and, where
	// nothing is searched, those without services.
	Projects []BoardProject        `json:"projects"`
	Names    []fairway.ProjectName `json:"names"` // of all projects
	Counts   BoardCounts           `json:"counts"`
	// Attention is what waits for a person, the longest first, then what
	// failed, the latest first; at most AttentionMost.
	Attention []Attention `json:"attention"`
}

// AttentionMost is how much a Board's Attention holds.
const AttentionMost = 12

// BoardCounts are numbers of services, whatever the filter's State is.
type BoardCounts struct {
	All     int `json:"all"`
	People  int `json:"people"`
	Moving  int `json:"moving"`
	Failed  int `json:"failed"`
	Unready int `json:"unready"`
}

// BoardProject is a project on a board.
type BoardProject struct {
	Name     fairway.ProjectName `json:"name"`
	Stages   []BoardStage        `json:"stages"` // in the shipyard's order
	Services int                 `json:"services"`
	Git      string              `json:"git,omitempty"`
	Error    string              `json:"error,omitempty"` // why it cannot be read
}

// BoardStage is a stage with how much is on its way there, in all services of
// the project that the filter selects.
type BoardStage struct {
	Name   fairway.StageName `json:"name"`
	Moving int               `json:"moving"`
	Queued int               `json:"queued"`
}

// BoardRow is a service, with all stages of the shipyard in its order.
type BoardRow struct {
	fairway.ServiceView
	// Open are the deliveries under way, the oldest first, without what
	// happened in their stages.
	Open []fairway.Delivery `json:"open,omitempty"`
	// Latest is the delivery that was started last, in the same way.
	Latest *fairway.Delivery `json:"latest,omitempty"`
	// Ready tells by the occupants' Instance whether it answers; of one that
	// is not listed it is not known.
	Ready map[string]bool `json:"ready,omitempty"`
}

// Attention is a delivery that a person should look at.
type Attention struct {
	Why      string           `json:"why"` // approval, paused, failed or unready
	Delivery fairway.Delivery `json:"delivery"`
	// Stage is where the version lives that is not ready.
	Stage fairway.StageName `json:"stage,omitempty"`
}

func (s *server) showBoard(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "project", "search", "state", "after", "limit")
	if err != nil {
		return err
	}
	f := BoardFilter{
		Project: fairway.ProjectName(q.text("project")), Search: q.text("search"), State: q.text("state"),
		After: q.text("after"), Limit: int(q.number("limit", 31)),
	}
	q.problems = append(q.problems, f.Problems()...)
	if err := q.err(); err != nil {
		return err
	}
	page, err := s.b.Board(r.Context(), f)
	return answer(w, http.StatusOK, page, err)
}
