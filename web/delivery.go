package web

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// deliveryPage is what the page of a delivery shows.
type deliveryPage struct {
	fairway.Delivery
	Refused  *refusal // why what a person asked for was not done
	Took     string
	Path     []pathStage
	Stages   []stageSection
	Events   []eventRow
	Decide   bool // it waits for approval
	Abort    bool // it has not ended
	Pause    bool // it can be told to begin no further step
	Resume   bool // it is paused
	Retry    bool // it has ended before its last stage was done
	Problems []string
}

// pathStage is a stage on the delivery's way, reached or not.
type pathStage struct {
	Name  fairway.StageName
	State string // done, now, stopped, ahead
}

// stageSection is what happened in one stage.
type stageSection struct {
	fairway.StageRecord
	Project    fairway.ProjectName
	Took       string
	State      string // as of the path
	Steps      []stepRow
	Evaluation *evaluationPage
	Reports    []fairway.TestReport
	Traffic    *trafficForm // nil where there is nothing to steer
}

type stepRow struct {
	fairway.StepRecord
	State string // ok, failed, now
	Took  string
	// From and Width are its part of the stage's time, in percent.
	From, Width float64
}

type eventRow struct {
	fairway.Event
	Short string // the type without what all types share
	Data  string // indented
}

func (c *console) delivery(w http.ResponseWriter, r *http.Request) error {
	return c.showDelivery(w, r, http.StatusOK, nil)
}

// showDelivery renders the page, with what was refused at its top.
func (c *console) showDelivery(w http.ResponseWriter, r *http.Request, status int, refused *refusal) error {
	ctx := r.Context()
	d, err := c.backend.Delivery(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	events, err := c.backend.DeliveryEvents(ctx, string(d.ID))
	if err != nil {
		return err
	}
	page := deliveryPage{Delivery: d, Refused: refused, Took: span(until(d.EndedAt, c.now()).Sub(d.StartedAt)), Decide: needsPerson(d), Abort: !d.Status.Ended()}
	page.Pause = !d.Status.Ended() && !d.Paused && d.Step != fairway.StepRollback
	page.Resume = !d.Status.Ended() && d.Paused
	page.Retry = d.Status.Ended() && d.Status != fairway.StatusFinished
	page.Path = c.path(ctx, d)
	for _, e := range slices.Backward(events) {
		page.Events = append(page.Events, eventRow{Event: e, Short: shortType(e.Type), Data: indented(e.Data)})
	}
	traffic := c.traffic(ctx, d)
	for i, s := range d.Stages {
		section := c.section(s)
		section.Project, section.State, section.Traffic = d.Project, page.Path[i].State, traffic[s.Stage]
		page.Problems = append(page.Problems, c.proofs(ctx, &section, events)...)
		page.Stages = append(page.Stages, section)
	}
	slices.Reverse(page.Stages)
	title := string(d.Service) + " " + d.Artifact.Tag
	return c.render(w, r, status, "delivery", view{Title: title, Live: true, Page: page})
}

// section puts a stage's steps onto its line of time.
func (c *console) section(s fairway.StageRecord) stageSection {
	end := until(s.EndedAt, c.now())
	out := stageSection{StageRecord: s, Took: span(end.Sub(s.EnteredAt))}
	total := max(end.Sub(s.EnteredAt).Seconds(), 1e-3)
	for _, step := range s.Steps {
		row := c.step(step)
		row.From = min(max(100*step.StartedAt.Sub(s.EnteredAt).Seconds()/total, 0), 99)
		row.Width = min(max(100*until(step.EndedAt, c.now()).Sub(step.StartedAt).Seconds()/total, 1), 100-row.From)
		out.Steps = append(out.Steps, row)
	}
	return out
}

// proofs adds the stage's evaluation and test reports. One that cannot be had
// does not take the rest of the page with it: a sentence says so.
func (c *console) proofs(ctx context.Context, s *stageSection, events []fairway.Event) (problems []string) {
	if s.StageRecord.Evaluation != "" {
		e, err := c.backend.Evaluation(ctx, s.StageRecord.Evaluation)
		if err != nil {
			problems = append(problems, "The evaluation in "+string(s.Stage)+" cannot be shown: "+c.told(ctx, err))
		} else {
			page := judged(e, nil)
			s.Evaluation = &page
		}
	}
	for _, id := range reports(s.Stage, events) {
		report, err := c.backend.TestReport(ctx, id)
		if err != nil {
			problems = append(problems, "A test report of "+string(s.Stage)+" cannot be shown: "+c.told(ctx, err))
			continue
		}
		s.Reports = append(s.Reports, report)
	}
	return problems
}

// told returns an error's text for people; one that is our fault is logged.
func (c *console) told(ctx context.Context, err error) string {
	if fairway.KindOf(err) == fairway.KindInternal {
		c.log.ErrorContext(ctx, "a part of a page failed", "error", err)
		return "Fairway's log says why"
	}
	return err.Error()
}

// reports returns the names of the test reports that the stage's events give.
func reports(stage fairway.StageName, events []fairway.Event) []string {
	var out []string
	for _, e := range events {
		if e.Type != fairway.TypeTestsFinished {
			continue
		}
		var data struct {
			Stage  fairway.StageName `json:"stage"`
			Detail struct {
				Report string `json:"report"`
			} `json:"detail"`
		}
		if err := json.Unmarshal(e.Data, &data); err != nil || data.Stage != stage || data.Detail.Report == "" {
			continue
		}
		if !slices.Contains(out, data.Detail.Report) {
			out = append(out, data.Detail.Report)
		}
	}
	return out
}

// path lists the stages that the delivery has passed, is in, and has ahead.
func (c *console) path(ctx context.Context, d fairway.Delivery) []pathStage {
	var names []fairway.StageName
	for _, s := range d.Stages {
		names = append(names, s.Stage)
	}
	if p, err := c.backend.Project(ctx, d.Project); err == nil && !d.Status.Ended() {
		for i, s := range p.Shipyard.Stages {
			if len(names) == 0 || s.Name == names[len(names)-1] {
				for _, s := range p.Shipyard.Stages[min(i+min(len(names), 1), len(p.Shipyard.Stages)):] {
					names = append(names, s.Name)
				}
				break
			}
		}
	}
	var out []pathStage
	for i, name := range names {
		state := "done"
		switch {
		case i >= len(d.Stages):
			state = "ahead"
		case i < len(d.Stages)-1 || d.Status == fairway.StatusFinished:
		case d.Status.Ended():
			state = "stopped"
		default:
			state = "now"
		}
		out = append(out, pathStage{Name: name, State: state})
	}
	return out
}

func (c *console) step(s fairway.StepRecord) stepRow {
	row := stepRow{StepRecord: s, State: s.Outcome, Took: span(until(s.EndedAt, c.now()).Sub(s.StartedAt))}
	if s.EndedAt == nil {
		row.State = "now"
	}
	return row
}

func until(end *time.Time, now time.Time) time.Time {
	if end != nil {
		return *end
	}
	return now
}

func shortType(t string) string {
	for _, prefix := range []string{"sh.keptn.events.", "dev.fairway."} {
		t = strings.TrimPrefix(t, prefix)
	}
	return t
}

func indented(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	b, err := json.MarshalIndent(raw, "", "  ")
	if err != nil {
		return string(raw)
	}
	return string(b)
}
