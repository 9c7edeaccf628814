package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// deliveryPage is what the page of a delivery shows.
type deliveryPage struct {
	fairway.Delivery
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
	Took       string
	Steps      []stepRow
	Evaluation *fairway.Evaluation
	Reports    []fairway.TestReport
}

type stepRow struct {
	fairway.StepRecord
	State string // ok, failed, now
	Took  string
}

type eventRow struct {
	fairway.Event
	Short string // the type without what all types share
	Data  string // indented
}

func (c *console) delivery(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	d, err := c.backend.Delivery(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	events, err := c.backend.DeliveryEvents(ctx, string(d.ID))
	if err != nil {
		return err
	}
	page := deliveryPage{Delivery: d, Took: span(until(d.EndedAt, c.now()).Sub(d.StartedAt)), Decide: needsPerson(d), Abort: !d.Status.Ended()}
	page.Pause = !d.Status.Ended() && !d.Paused && d.Step != fairway.StepRollback
	page.Resume = !d.Status.Ended() && d.Paused
	page.Retry = d.Status.Ended() && d.Status != fairway.StatusFinished
	page.Path = c.path(ctx, d)
	for _, e := range events {
		page.Events = append(page.Events, eventRow{Event: e, Short: shortType(e.Type), Data: indented(e.Data)})
	}
	for _, s := range d.Stages {
		section := stageSection{StageRecord: s, Took: span(until(s.EndedAt, c.now()).Sub(s.EnteredAt))}
		for _, step := range s.Steps {
			section.Steps = append(section.Steps, c.step(step))
		}
		page.Problems = append(page.Problems, c.proofs(ctx, &section, events)...)
		page.Stages = append(page.Stages, section)
	}
	title := string(d.Service) + " " + d.Artifact.Tag
	return c.render(w, r, http.StatusOK, "delivery", view{Title: title, Live: page.Abort, Page: page})
}

// proofs adds the stage's evaluation and test reports. One that cannot be had
// does not take the rest of the page with it: a sentence says so.
func (c *console) proofs(ctx context.Context, s *stageSection, events []fairway.Event) (problems []string) {
	if s.StageRecord.Evaluation != "" {
		e, err := c.backend.Evaluation(ctx, s.StageRecord.Evaluation)
		if err != nil {
			problems = append(problems, "The evaluation in "+string(s.Stage)+" cannot be shown: "+c.told(ctx, err))
		} else {
			s.Evaluation = &e
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

// command passes on a person's word, and shows the delivery again, or the new
// one that it has started.
func (c *console) command(w http.ResponseWriter, r *http.Request) error {
	verb, reason := r.PostFormValue("verb"), strings.TrimSpace(r.PostFormValue("reason"))
	switch verb {
	case "approve", "reject", "abort", "pause", "resume", "retry":
	default:
		return fairway.Invalid("verb", verb, "is nothing that can be done with a delivery", "use approve, reject, abort, pause, resume or retry")
	}
	if reason == "" && verb != "approve" {
		return fairway.Invalid("reason", "", "is missing", "say in a sentence why; it is kept with the delivery")
	}
	id, err := c.obey(r.Context(), verb, r.PathValue("id"), reason)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/deliveries/"+url.PathEscape(string(id)), http.StatusSeeOther)
	return nil
}

// obey does what the verb says and returns the delivery to show.
func (c *console) obey(ctx context.Context, verb, delivery, reason string) (fairway.DeliveryID, error) {
	if verb == "retry" {
		a, err := c.backend.Retry(ctx, api.RetryRequest{Delivery: delivery, Reason: reason})
		return a.Delivery, err
	}
	d, err := c.backend.Command(ctx, api.Command{Verb: verb, Delivery: delivery, Reason: reason})
	return d.ID, err
}
