package web

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"slices"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

const (
	// servicesShown is how many services of each project the board shows when
	// it shows several projects.
	servicesShown = 50
	// endedShown is how many ended deliveries the board shows.
	endedShown = 15
	// lookedAt is how many deliveries are looked at to find those.
	lookedAt = 100
)

// boardPage is what the board shows.
type boardPage struct {
	Status   api.Status
	Only     fairway.ProjectName // the project that was asked for, or empty
	Projects []projectView
	UnderWay []fairway.Delivery
	Ended    []endedDelivery
}

// projectView is a project's table.
type projectView struct {
	api.Project
	Rows []serviceRow
	More int // services that are not shown
}

// serviceRow is a service's line in it, with a cell for each stage.
type serviceRow struct {
	Service fairway.ServiceName
	Cells   []cell
}

// cell is a service in a stage.
type cell struct {
	fairway.StageView
	Known  bool   // the service is in the stage
	URL    string // at the gateway; empty while nothing is released
	Places []place
	Bar    []segment // how the traffic is split
}

// segment is a colour's part of the traffic, in percent.
type segment struct {
	Colour fairway.Colour
	From   int
	Width  int
}

// place is one version in a cell.
type place struct {
	fairway.Occupant
	Colour fairway.Colour
	Share  string
}

type endedDelivery struct {
	fairway.Delivery
	Took string
}

func (c *console) board(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	status, err := c.backend.Status(ctx)
	if err != nil {
		return err
	}
	page := boardPage{Status: status, Only: fairway.ProjectName(r.URL.Query().Get("project"))}
	if page.Projects, err = c.projects(ctx, page.Only, status); err != nil {
		return err
	}
	if page.UnderWay, err = c.backend.Deliveries(ctx, api.DeliveryFilter{Project: page.Only, Open: true, Limit: lookedAt}); err != nil {
		return err
	}
	waitingFirst(page.UnderWay)
	recent, err := c.backend.Deliveries(ctx, api.DeliveryFilter{Project: page.Only, Limit: lookedAt})
	if err != nil {
		return err
	}
	page.Ended = ended(recent)
	title := "Board"
	if page.Only != "" {
		title = string(page.Only)
	}
	return c.render(w, r, http.StatusOK, "board", view{Title: title, Live: true, Wide: true, Page: page})
}

// projects returns the tables of all projects, or of the one asked for.
func (c *console) projects(ctx context.Context, only fairway.ProjectName, status api.Status) ([]projectView, error) {
	var projects []api.Project
	if only != "" {
		p, err := c.backend.Project(ctx, only)
		if err != nil {
			return nil, err
		}
		projects = append(projects, p)
	} else {
		var err error
		if projects, err = c.backend.Projects(ctx); err != nil {
			return nil, err
		}
	}
	out := make([]projectView, 0, len(projects))
	for _, p := range projects {
		if p.Error != "" { // there is nothing to ask about
			out = append(out, projectView{Project: p})
			continue
		}
		services, err := c.backend.Services(ctx, p.Name)
		if err != nil {
			return nil, err
		}
		v := projectView{Project: p}
		if len(projects) > 1 && len(services) > servicesShown {
			v.More = len(services) - servicesShown
			services = services[:servicesShown]
		}
		for _, s := range services {
			v.Rows = append(v.Rows, c.row(p.Shipyard, s, status))
		}
		out = append(out, v)
	}
	return out, nil
}

// row puts a service's stages into the shipyard's order.
func (c *console) row(y fairway.Shipyard, s fairway.ServiceView, status api.Status) serviceRow {
	row := serviceRow{Service: s.Service}
	for _, stage := range y.Stages {
		i := slices.IndexFunc(s.Stages, func(v fairway.StageView) bool { return v.Stage == stage.Name })
		if i < 0 {
			row.Cells = append(row.Cells, cell{StageView: fairway.StageView{Stage: stage.Name}})
			continue
		}
		row.Cells = append(row.Cells, c.cell(s, s.Stages[i], status))
	}
	return row
}

func (c *console) cell(s fairway.ServiceView, v fairway.StageView, status api.Status) cell {
	out := cell{StageView: v, Known: true}
	from := 0
	for _, colour := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
		if o, ok := v.Occupants[colour]; ok {
			out.Places = append(out.Places, place{Occupant: o, Colour: colour, Share: share(v.Weights, colour)})
		}
		if width := v.Weights[colour]; width > 0 {
			out.Bar = append(out.Bar, segment{Colour: colour, From: from, Width: width})
			from += width
		}
	}
	if _, port, err := net.SplitHostPort(status.Gateway); err == nil && v.Weights != nil {
		out.URL = "http://" + net.JoinHostPort(fairway.ServiceHost(v.Namespace, s.Service, c.domain), port) + "/"
	}
	return out
}

// waitingFirst puts what waits for a person before what goes on by itself, and
// the newest first.
func waitingFirst(ds []fairway.Delivery) {
	waits := func(d fairway.Delivery) int {
		if needsPerson(d) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(ds, func(a, b fairway.Delivery) int {
		return cmp.Or(cmp.Compare(waits(a), waits(b)), b.StartedAt.Compare(a.StartedAt))
	})
}

// needsPerson reports whether the delivery waits for a word of a person.
func needsPerson(d fairway.Delivery) bool {
	return d.Step == fairway.StepApprove && !d.Status.Ended()
}

// ended picks the deliveries that have ended, the latest first.
func ended(ds []fairway.Delivery) []endedDelivery {
	var out []endedDelivery
	for _, d := range ds {
		if d.EndedAt != nil {
			out = append(out, endedDelivery{Delivery: d, Took: span(d.EndedAt.Sub(d.StartedAt))})
		}
	}
	slices.SortStableFunc(out, func(a, b endedDelivery) int { return b.EndedAt.Compare(*a.EndedAt) })
	return out[:min(len(out), endedShown)]
}
