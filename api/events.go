package api

import (
	"io"
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
	body := &tracked{ReadCloser: http.MaxBytesReader(w, r.Body, s.o.MaxBody)}
	r.Body = body
	es, err := s.o.ReadEvents(r, s.o.MaxBody)
	switch {
	case err != nil && body.err != nil:
		return bodyError(body.err)
	case err != nil && fairway.KindOf(err) == fairway.KindInvalid:
		return withStatus(http.StatusBadRequest, err)
	case err != nil:
		return err
	}
	done, err := s.b.SendEvents(r.Context(), es)
	return answerList(w, http.StatusAccepted, done, err)
}

// tracked remembers why a body could not be read, whatever its reader makes
// of it.
type tracked struct {
	io.ReadCloser
	err error
}

// Read implements io.Reader.
func (t *tracked) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}
