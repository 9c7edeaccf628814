package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// deliveriesShown is how many deliveries a page of the list has.
const deliveriesShown = 50

// deliveriesPage is what the list of deliveries shows.
type deliveriesPage struct {
	Filter   api.DeliveryFilter
	Projects []fairway.ProjectName
	Tabs     []tab
	State    string // of the tabs
	Rows     []deliveryRow
	Newest   string // path of the list's beginning; empty where that is shown
	Next     string
	Filtered bool
}

type deliveryRow struct {
	fairway.Delivery
	Took string
}

func (c *console) deliveries(w http.ResponseWriter, r *http.Request) error {
	ctx, q := r.Context(), r.URL.Query()
	page := deliveriesPage{State: q.Get("state"), Filter: api.DeliveryFilter{
		Project: fairway.ProjectName(q.Get("project")), Service: fairway.ServiceName(strings.TrimSpace(q.Get("service"))), Stage: fairway.StageName(q.Get("stage")), Limit: deliveriesShown + 1,
	}}
	if page.State == "open" {
		page.Filter.Open = true
	} else {
		page.Filter.Status = fairway.DeliveryStatus(page.State)
	}
	var err error
	if page.Filter.Before, err = position(q.Get("before")); err != nil {
		return err
	}
	projects, err := c.backend.Projects(ctx)
	if err != nil {
		return err
	}
	for _, p := range projects {
		page.Projects = append(page.Projects, p.Name)
	}
	found, err := c.backend.Deliveries(ctx, page.Filter)
	if err != nil {
		return err
	}
	if len(found) > deliveriesShown {
		found = found[:deliveriesShown]
		page.Next = page.path(page.State, placeOf(found[len(found)-1]))
	}
	if page.Filter.Before != (api.Position{}) {
		page.Newest = page.path(page.State, "")
	}
	for _, d := range found {
		page.Rows = append(page.Rows, deliveryRow{d, span(until(d.EndedAt, c.now()).Sub(d.StartedAt))})
	}
	for _, t := range []tab{{Name: "All"}, {Name: "Under way", State: "open"}, {Name: "Finished", State: string(fairway.StatusFinished)}, {Name: "Failed", State: string(fairway.StatusFailed)},
		{Name: "Rejected", State: string(fairway.StatusRejected)}, {Name: "Superseded", State: string(fairway.StatusSuperseded)}, {Name: "Aborted", State: string(fairway.StatusAborted)}} {
		t.Path, t.Current = page.path(t.State, ""), t.State == page.State
		page.Tabs = append(page.Tabs, t)
	}
	page.Filtered = page.Filter.Project != "" || page.Filter.Service != "" || page.Filter.Stage != ""
	return c.render(w, r, http.StatusOK, "deliveries", view{Title: "Deliveries", Live: true, Wide: true, Page: page})
}

// path is the list's address with its filter.
func (p deliveriesPage) path(state, before string) string {
	q := url.Values{}
	for _, x := range [][2]string{{"project", string(p.Filter.Project)}, {"service", string(p.Filter.Service)}, {"stage", string(p.Filter.Stage)}, {"state", state}, {"before", before}} {
		if x[1] != "" {
			q.Set(x[0], x[1])
		}
	}
	if len(q) == 0 {
		return "/deliveries"
	}
	return "/deliveries?" + q.Encode()
}

// placeOf and position write and read a place in the list.
func placeOf(d fairway.Delivery) string {
	return d.StartedAt.UTC().Format(time.RFC3339Nano) + "_" + string(d.ID)
}

func position(s string) (p api.Position, err error) {
	if s == "" {
		return p, nil
	}
	at, id, ok := strings.Cut(s, "_")
	if p.StartedAt, err = time.Parse(time.RFC3339Nano, at); err != nil || !ok {
		return p, fairway.Invalid("before", s, "is no place in the list", "begin at /deliveries")
	}
	p.ID = fairway.DeliveryID(id)
	return p, nil
}
