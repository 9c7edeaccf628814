package controller

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// Record is one stored decision.
type Record struct {
	Epoch  uint64          `json:"epoch"`  // of the owner that wrote it
	Number uint64          `json:"number"` // of the owner's records; with Epoch it identifies the record
	Reason string          `json:"reason"`
	Events []fairway.Event `json:"events,omitempty"`
	Ended  []Row           `json:"ended,omitempty"`
	State  *sequence.State `json:"state,omitempty"` // nil in a take-over record
}

func (r Record) encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic("controller: record cannot be encoded: " + err.Error())
	}
	return b
}

func decodeRecord(e fairway.LogEntry) (Record, error) {
	var r Record
	if err := json.Unmarshal(e.Body, &r); err != nil {
		return r, fmt.Errorf("record %d of %s/%s cannot be read: %w", e.Seq, e.Project, e.Service, err)
	}
	return r, nil
}

// EventsOf returns the events of a stored decision, in order.
func EventsOf(e fairway.LogEntry) ([]fairway.Event, error) {
	r, err := decodeRecord(e)
	return r.Events, err
}

// DeliveriesOf returns the deliveries of the service that a decision is about
// as they were after it, open ones and those that ended by it, and when it was
// made.
func DeliveriesOf(e fairway.LogEntry) (all []fairway.Delivery, at time.Time, err error) {
	r, err := decodeRecord(e)
	if err != nil || r.State == nil {
		return nil, at, err
	}
	for _, x := range r.State.Open {
		all = append(all, x.Delivery)
	}
	for _, x := range r.Ended {
		all = append(all, x.Delivery)
	}
	return all, r.State.UpdatedAt, nil
}

// snapshot is a state and the log sequence that it includes.
type snapshot struct {
	Seq   uint64          `json:"seq"`
	State *sequence.State `json:"state"`
}

func loadSnapshot(into map[service]*snapshot, b []byte) error {
	var s snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a snapshot cannot be read: %w", err)
	}
	into[service{s.State.Project, s.State.Service}] = &s
	return nil
}

// floor is how far a shard's snapshots reach.
type floor struct {
	Seq   uint64 `json:"seq"`
	Epoch uint64 `json:"epoch"`
}

// envelope is an input in the queue.
type envelope struct {
	Token string         `json:"token,omitempty"` // of whoever waits for the decision
	Input sequence.Input `json:"input"`
}
