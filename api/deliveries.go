package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// deliveryStatuses are the values of the filter "status".
var deliveryStatuses = []string{
	string(fairway.StatusRunning), string(fairway.StatusWaiting), string(fairway.StatusFinished), string(fairway.StatusFailed),
	string(fairway.StatusRejected), string(fairway.StatusSuperseded), string(fairway.StatusAborted),
}

func (s *server) listDeliveries(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "project", "service", "stage", "status", "open", "limit", "cursor")
	if err != nil {
		return err
	}
	f := DeliveryFilter{
		Project: fairway.ProjectName(q.text("project")),
		Service: fairway.ServiceName(q.text("service")),
		Stage:   fairway.StageName(q.text("stage")),
		Status:  fairway.DeliveryStatus(q.text("status")),
		Open:    q.flag("open"),
		Before:  q.position(),
		Limit:   q.limit(usualLimit, mostLimit),
	}
	if f.Status != "" && !slices.Contains(deliveryStatuses, string(f.Status)) {
		q.add("status", string(f.Status), "is not a status", "use one of "+strings.Join(deliveryStatuses, ", "))
	}
	if err := q.err(); err != nil {
		return err
	}
	ds, err := s.b.Deliveries(r.Context(), f)
	if err != nil {
		return err
	}
	l := listOf(ds)
	if len(ds) >= f.Limit {
		l.Next = PositionOf(ds[len(ds)-1]).cursor()
	}
	return writeJSON(w, http.StatusOK, l)
}

func (s *server) showDelivery(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	d, err := s.b.Delivery(r.Context(), r.PathValue("id"))
	return answer(w, http.StatusOK, d, err)
}

func (s *server) listDeliveryEvents(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	es, err := s.b.DeliveryEvents(r.Context(), r.PathValue("id"))
	return answerList(w, http.StatusOK, es, err)
}

func (s *server) command(w http.ResponseWriter, r *http.Request) error {
	var c Command
	if err := s.decode(w, r, &c); err != nil {
		return err
	}
	if err := fromPath("delivery", &c.Delivery, r.PathValue("id")); err != nil {
		return err
	}
	d, err := s.b.Command(r.Context(), c)
	return answer(w, http.StatusOK, d, err)
}
