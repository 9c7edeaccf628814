package api

import (
	"errors"
	"net/http"

	"github.com/fairwaycd/fairway"
)

func (s *server) listEvents(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "project", "service", "delivery", "type", "after", "limit")
	if err != nil {
		return err
	}
	f := EventFilter{
		Project:  fairway.ProjectName(q.text("project")),
		Service:  fairway.ServiceName(q.text("service")),
		Delivery: fairway.DeliveryID(q.text("delivery")),
		Type:     q.text("type"),
		After:    q.number("after", 64),
		Limit:    int(q.number("limit", 31)),
	}
	if err := q.err(); err != nil {
		return err
	}
	es, err := s.b.Events(r.Context(), f)
	return answerList(w, http.StatusOK, es, err)
}

// sendEvents answers 202 once the events are stored, never before.
func (s *server) sendEvents(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, s.o.MaxBody)
	es, err := s.o.ReadEvents(r, s.o.MaxBody)
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return bodyError(err)
	case err != nil && fairway.KindOf(err) == fairway.KindInvalid:
		return withStatus(http.StatusBadRequest, err)
	case err != nil:
		return err
	}
	done, err := s.b.SendEvents(r.Context(), es)
	return answerList(w, http.StatusAccepted, done, err)
}
