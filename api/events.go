package api

import (
	"io"
	"net/http"
	"strconv"

	"github.com/fairwaycd/fairway"
)

func (s *server) listEvents(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "project", "service", "delivery", "type", "after", "limit", "cursor")
	if err != nil {
		return err
	}
	f := EventFilter{
		Project:  fairway.ProjectName(q.text("project")),
		Service:  fairway.ServiceName(q.text("service")),
		Delivery: fairway.DeliveryID(q.text("delivery")),
		Type:     q.text("type"),
		After:    q.number("after", 64),
		Limit:    q.limit(usualEvents, mostEvents),
	}
	q.pageOfEvents(&f)
	if err := q.err(); err != nil {
		return err
	}
	es, err := s.b.Events(r.Context(), f)
	if err != nil {
		return err
	}
	l := listOf(es)
	if n := len(es); n >= f.Limit && f.After > 0 && f.Before == 0 {
		l.Next = cursor("e", "after", strconv.FormatUint(es[n-1].Seq, 10))
	} else if n >= f.Limit {
		l.Next = cursor("e", "before", strconv.FormatUint(es[0].Seq, 10))
	}
	return writeJSON(w, http.StatusOK, l)
}

// How many events a list has: all that are known fit into one.
const (
	usualEvents = 200
	mostEvents  = 5000
)

// pageOfEvents takes over a cursor, which leads back from the newest events,
// or on from those that follow the parameter "after".
func (p *params) pageOfEvents(f *EventFilter) {
	at := p.place("e", 2)
	if at == nil {
		return
	}
	n, err := strconv.ParseUint(at[1], 10, 64)
	if err != nil || at[0] != "after" && at[0] != "before" {
		p.add("cursor", p.text("cursor"), "is not a cursor of this list", "send next of the page before, or leave it out")
	}
	if at[0] == "after" {
		f.After = n
	} else {
		f.Before = n
	}
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
