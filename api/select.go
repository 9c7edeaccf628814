package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/fairwaycd/fairway"
)

// WatchFilter selects what a watch brings; empty fields select all. Type is
// the type of events, and leaves out progress.
type WatchFilter struct {
	Project  fairway.ProjectName
	Service  fairway.ServiceName
	Delivery fairway.DeliveryID
	Type     string
}

func watchFilter(r *http.Request) (WatchFilter, error) {
	q, err := query(r, "project", "service", "delivery", "type")
	if err != nil {
		return WatchFilter{}, err
	}
	return WatchFilter{
		Project: fairway.ProjectName(q.text("project")), Service: fairway.ServiceName(q.text("service")),
		Delivery: fairway.DeliveryID(q.text("delivery")), Type: q.text("type"),
	}, q.err()
}

// Selects reports whether an event is selected. What names no service is of no
// project's.
func (f WatchFilter) Selects(e fairway.Event) bool {
	if f.Delivery != "" && e.Context != f.Delivery || f.Type != "" && e.Type != f.Type {
		return false
	}
	if f.Project == "" && f.Service == "" {
		return true
	}
	var d fairway.EventData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return false
	}
	return (f.Project == "" || d.Project == f.Project) && (f.Service == "" || d.Service == f.Service)
}

// selection sends the selected part of changes. A watcher is told the numbers
// of what it is not sent, so that it need not be looked through again.
type selection struct {
	find  func(id string) (fairway.Delivery, error)
	only  WatchFilter
	out   *stream
	begun bool
}

func (s *selection) send(c Change) error {
	var id uint64
	if n := len(c.Events); n > 0 {
		id = c.Events[n-1].Seq
	}
	var part Change
	for _, e := range c.Events {
		if s.only.Selects(e.Event) {
			part.Events = append(part.Events, e)
		}
	}
	part.Progress = slices.DeleteFunc(slices.Clone(c.Progress), func(p Progress) bool { return !s.concerns(p) })
	if s.begun && len(part.Events) == 0 && len(part.Progress) == 0 {
		if id == 0 {
			return nil
		}
		return s.out.write(fmt.Appendf(nil, "id: %d\n\n", id))
	}
	s.begun = true
	return s.out.sendAs(part, id)
}

// concerns reports whether progress is selected.
func (s *selection) concerns(p Progress) bool {
	f := s.only
	if f.Type != "" || f.Delivery != "" && p.Delivery != f.Delivery {
		return false
	}
	if f.Project == "" && f.Service == "" {
		return true
	}
	d, err := s.find(string(p.Delivery))
	return err == nil && (f.Project == "" || d.Project == f.Project) && (f.Service == "" || d.Service == f.Service)
}
