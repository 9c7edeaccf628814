package api

import (
	"context"
	"net/http"
	"time"
)

// The states of a part of Fairway.
const (
	PartOK      = "ok"
	PartWarning = "warning" // something there needs a look, and the rest works
	PartTrouble = "trouble" // Fairway is not ready because of it
)

// System is how Fairway itself is: its parts, what waits in it, and the room
// that it takes.
type System struct {
	Status
	Go         string         `json:"go"`     // version that it was built with
	Memory     int64          `json:"memory"` // bytes that the process has from the system
	Parts      []Part         `json:"parts"`
	Inputs     Queue          `json:"inputs"` // what was accepted and is not decided yet
	Tests      Slots          `json:"tests"`
	Steps      Slots          `json:"steps"` // all that are no tests
	Shards     []Shard        `json:"shards"`
	Streams    []Stream       `json:"streams"`
	Disk       Disk           `json:"disk"`
	Storage    []Storage      `json:"storage"` // by directory
	MeasuredAt time.Time      `json:"measuredAt"`
	Kept       Kept           `json:"kept"`
	Counts     map[string]int `json:"deliveries"` // by status
	Projects   int            `json:"projects"`
	Services   int            `json:"services"`
	Sessions   int            `json:"sessions"` // open ones of the console
}

// Part is one part and how it does.
type Part struct {
	Name  string `json:"name"`
	State string `json:"state"` // ok, warning, trouble
	Text  string `json:"text"`
}

// Queue is how full a queue is.
type Queue struct {
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	Limit    int64  `json:"limit"` // bytes at which senders are refused
}

// Slots is how many steps of a kind are at work, and wait for their turn.
type Slots struct {
	Slots   int `json:"slots"` // may work at once
	Busy    int `json:"busy"`
	Waiting int `json:"waiting"`
}

// Shard is a part of the services with a log of its own.
type Shard struct {
	Shard      int    `json:"shard"`
	Services   int    `json:"services"`
	Inputs     int    `json:"inputs"`     // not decided yet
	Deliveries int    `json:"deliveries"` // under way
	Steps      int    `json:"steps"`      // under way, or waiting for their turn
	Sequence   uint64 `json:"sequence"`   // of the log's last record
}

// Stream is a stream or bucket of the event store.
type Stream struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

// Disk is the room on the disk of the data directory, in bytes.
type Disk struct {
	Free    int64 `json:"free"`
	Total   int64 `json:"total"`
	Reserve int64 `json:"reserve"` // below this, images and pushes to git are refused
	Least   int64 `json:"least"`   // below this, everything new is
}

// Storage is what a directory or file of the data directory takes.
type Storage struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Files int    `json:"files"`
}

// Kept is how much of the past is kept.
type Kept struct {
	Deliveries int   `json:"deliveries"` // ended ones
	Seconds    int64 `json:"seconds"`    // that they are kept at most
	Images     int   `json:"images"`     // of each service, besides those that run
}

// system are the calls of [Backend] about Fairway itself.
type system interface {
	// System says how Fairway is. Storage is measured once a minute at most.
	System(ctx context.Context) (System, error)
}

func (s *server) showSystem(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	got, err := s.b.System(r.Context())
	return answer(w, http.StatusOK, got, err)
}

// System implements [Backend].
func (c *Client) System(ctx context.Context) (System, error) {
	return get[System](ctx, c, nil, "system")
}
