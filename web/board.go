package web

import (
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

const (
	// peopleShown and movingShown are how much the board shows above its tables
	// of what needs people and of what is under way.
	peopleShown = 6
	movingShown = 6
	// lookedAt is how many are looked at to find those.
	lookedAt = 60
	// queueShown is how many waiting versions a cell names.
	queueShown = 3
)

// boardPage is what the board shows.
type boardPage struct {
	api.Board
	Status api.Status
	Filter api.BoardFilter
	Tabs   []tab
	Moving []fairway.Delivery
	Tables []boardTable
	Pager  pager
	Clear  string // the board without search and project; empty where it is that
	// MorePeople and MoreMoving lead to all of which only some are shown.
	MorePeople, MoreMoving string
}

// tab is a choice of what a list shows.
type tab struct {
	Name    string
	Count   int
	Path    string
	Current bool
	State   string
}

// pager leads through the parts of a list.
type pager struct {
	From, To, Total int
	Previous, Next  string // paths; empty where there is none
}

// boardTable is a project's part of the board.
type boardTable struct {
	api.BoardProject
	Rows []boardRow
}

// boardRow is a service's line in it, with a cell for each stage.
type boardRow struct {
	Service fairway.ServiceName
	Failed  *fairway.Delivery // its latest delivery, where that failed
	Cells   []cell
}

// cell is a service in a stage.
type cell struct {
	fairway.StageView
	Service fairway.ServiceName
	URL     string // at the gateway; empty while nothing is released
	Places  []place
	Bar     []segment // how the traffic is split
	Moving  []fairway.Delivery
	Queue   []fairway.Delivery
	More    int // waiting versions that are not named
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
	Weight int
	Split  bool   // the stage has weights
	Health string // ready, not ready, or empty where it is not known
}

func (c *console) board(w http.ResponseWriter, r *http.Request) error {
	ctx, q := r.Context(), r.URL.Query()
	page := boardPage{Filter: api.BoardFilter{
		Project: fairway.ProjectName(q.Get("project")), Search: q.Get("q"), State: q.Get("state"), After: q.Get("after"),
	}}
	var err error
	if page.Status, err = c.backend.Status(ctx); err != nil {
		return err
	}
	if page.Board, err = c.backend.Board(ctx, page.Filter); err != nil {
		return err
	}
	open, err := c.backend.Deliveries(ctx, api.DeliveryFilter{Project: page.Filter.Project, Open: true, Limit: lookedAt})
	if err != nil {
		return err
	}
	if page.Moving = moving(open); len(page.Moving) > movingShown {
		page.Moving, page.MoreMoving = page.Moving[:movingShown], deliveriesPage{Filter: api.DeliveryFilter{Project: page.Filter.Project}}.path("open", "")
	}
	if len(page.Attention) > peopleShown {
		page.Attention, page.MorePeople = page.Attention[:peopleShown], boardPath(api.BoardFilter{Project: page.Filter.Project, State: api.BoardPeople})
	}
	page.Tabs = boardTabs(page.Filter, page.Counts)
	page.Tables = c.tables(page.Board, page.Status)
	page.Pager = boardPager(page.Filter, page.Board)
	if page.Filter.Search != "" || page.Filter.Project != "" {
		page.Clear = boardPath(api.BoardFilter{State: page.Filter.State})
	}
	title := "Board"
	if page.Filter.Project != "" {
		title = string(page.Filter.Project) + " · Board"
	}
	return c.render(w, r, http.StatusOK, "board", view{Title: title, Live: true, Wide: true, Page: page})
}

// boardPath is the board's address with a filter.
func boardPath(f api.BoardFilter) string {
	q := url.Values{}
	for _, p := range [][2]string{{"project", string(f.Project)}, {"q", f.Search}, {"state", f.State}, {"after", f.After}} {
		if p[1] != "" {
			q.Set(p[0], p[1])
		}
	}
	if len(q) == 0 {
		return "/"
	}
	return "/?" + q.Encode()
}

func boardTabs(f api.BoardFilter, n api.BoardCounts) []tab {
	var out []tab
	for _, t := range []tab{{Name: "All services", Count: n.All}, {Name: "Need people", Count: n.People, State: api.BoardPeople},
		{Name: "Moving", Count: n.Moving, State: api.BoardMoving}, {Name: "Failed", Count: n.Failed, State: api.BoardFailed}, {Name: "Not ready", Count: n.Unready, State: api.BoardUnready}} {
		t.Current = f.State == t.State
		t.Path = boardPath(api.BoardFilter{Project: f.Project, Search: f.Search, State: t.State})
		out = append(out, t)
	}
	return out
}

func boardPager(f api.BoardFilter, b api.Board) pager {
	p := pager{From: b.From, To: max(b.From+len(b.Items)-1, 0), Total: b.Total}
	at := func(after string) string { f.After = after; return boardPath(f) }
	if b.Next != "" {
		p.Next = at(b.Next)
	}
	if b.HasPrevious {
		p.Previous = at(b.Previous)
	}
	return p
}

// moving leaves out what waits for a person, which is shown beside it, and
// what waits for its stage; the newest come first.
func moving(open []fairway.Delivery) []fairway.Delivery {
	open = slices.DeleteFunc(open, func(d fairway.Delivery) bool { return needsPerson(d) || d.Paused || d.Step == fairway.StepQueue })
	slices.SortStableFunc(open, func(a, b fairway.Delivery) int { return b.StartedAt.Compare(a.StartedAt) })
	return open
}

// needsPerson reports whether the delivery waits for a word of a person.
func needsPerson(d fairway.Delivery) bool {
	return d.Step == fairway.StepApprove && !d.Status.Ended()
}

// tables puts the board's rows into tables, one for each project.
func (c *console) tables(b api.Board, status api.Status) []boardTable {
	out := make([]boardTable, len(b.Projects))
	for i, p := range b.Projects {
		out[i].BoardProject = p
		for _, item := range b.Items {
			if item.Project == p.Name {
				out[i].Rows = append(out[i].Rows, c.row(p, item, status))
			}
		}
	}
	return out
}

func (c *console) row(p api.BoardProject, item api.BoardRow, status api.Status) boardRow {
	row := boardRow{Service: item.Service}
	if d := item.Latest; d != nil && (d.Status == fairway.StatusFailed || d.Status == fairway.StatusRejected) {
		row.Failed = d
	}
	for _, stage := range p.Stages {
		v := fairway.StageView{Stage: stage.Name}
		if i := slices.IndexFunc(item.Stages, func(v fairway.StageView) bool { return v.Stage == stage.Name }); i >= 0 {
			v = item.Stages[i]
		}
		row.Cells = append(row.Cells, c.cell(item, v, status))
	}
	return row
}

func (c *console) cell(item api.BoardRow, v fairway.StageView, status api.Status) cell {
	out := cell{StageView: v, Service: item.Service}
	from := 0
	for _, colour := range []fairway.Colour{fairway.Single, fairway.Blue, fairway.Green} {
		if o, ok := v.Occupants[colour]; ok {
			p := place{Occupant: o, Colour: colour, Weight: v.Weights[colour], Split: v.Weights != nil}
			if ready, known := item.Ready[o.Instance]; known && ready {
				p.Health = "ready"
			} else if known {
				p.Health = "not ready"
			}
			out.Places = append(out.Places, p)
		}
		if width := v.Weights[colour]; width > 0 {
			out.Bar = append(out.Bar, segment{Colour: colour, From: from, Width: width})
			from += width
		}
	}
	for _, d := range item.Open {
		switch {
		case d.Stage != v.Stage:
		case d.Step == fairway.StepQueue && len(out.Queue) == queueShown:
			out.More++
		case d.Step == fairway.StepQueue:
			out.Queue = append(out.Queue, d)
		default:
			out.Moving = append(out.Moving, d)
		}
	}
	out.URL = c.gatewayURL(v, item.Service, status)
	return out
}

// gatewayURL is where the service answers in the stage; empty while nothing
// is released there.
func (c *console) gatewayURL(v fairway.StageView, s fairway.ServiceName, status api.Status) string {
	_, port, err := net.SplitHostPort(status.Gateway)
	if err != nil || v.Weights == nil {
		return ""
	}
	return "http://" + net.JoinHostPort(fairway.ServiceHost(v.Namespace, s, c.domain), port) + "/"
}
