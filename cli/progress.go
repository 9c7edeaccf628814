package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// reportEvery is how often a step that takes long is mentioned where lines
// cannot be updated.
const reportEvery = 30 * time.Second

// progressView shows the steps of a delivery as they go by: on a terminal as
// one line a step that is updated while it runs, elsewhere as one line when it
// has ended.
type progressView struct {
	c        *cli
	live     bool // lines can be updated
	open     bool // the cursor stands in an updated line
	shown    map[string]bool
	waiting  string    // the last reason to wait that was printed
	reported time.Time // when the running step was last mentioned
}

func (c *cli) newProgressView() *progressView {
	return &progressView{c: c, live: c.terminal(c.Stdout), shown: map[string]bool{}, reported: c.Now()}
}

// show prints what is new in the delivery; text is how far the running step
// is, if that is known.
func (v *progressView) show(d fairway.Delivery, text string) {
	if v.c.global.quiet {
		return
	}
	var running *fairway.StepRecord
	var stage fairway.StageName
	for _, st := range d.Stages {
		for i, s := range st.Steps {
			if s.EndedAt == nil {
				running, stage = &st.Steps[i], st.Stage
				continue
			}
			v.finished(d.ID, st.Stage, s)
		}
	}
	if running != nil && !d.Status.Ended() {
		v.running(d, stage, *running, text)
	}
}

func (v *progressView) finished(id fairway.DeliveryID, stage fairway.StageName, s fairway.StepRecord) {
	key := fmt.Sprint(stage, s.Step, s.Attempt, s.StartedAt.UnixNano())
	if v.shown[key] {
		return
	}
	v.shown[key] = true
	v.line(v.text(stage, s, s.EndedAt.Sub(s.StartedAt), s.Outcome, s.Reason))
	v.reported, v.waiting = v.c.Now(), ""
}

// running shows the step under way, in whatever way the output allows.
func (v *progressView) running(d fairway.Delivery, stage fairway.StageName, s fairway.StepRecord, text string) {
	now := v.c.Now()
	reason := first(text, d.Reason)
	switch {
	case v.live:
		fmt.Fprintf(v.c.Stdout, "\r\x1b[K%s", v.text(stage, s, now.Sub(s.StartedAt), "…", reason))
		v.open = true
	case d.Status == fairway.StatusWaiting && v.waiting != d.Reason:
		v.waiting = d.Reason
		v.line(v.text(stage, s, now.Sub(s.StartedAt), "waits", d.Reason))
	case now.Sub(v.reported) >= reportEvery:
		v.reported = now
		v.line(v.text(stage, s, now.Sub(s.StartedAt), "…", reason))
	}
}

func (v *progressView) text(stage fairway.StageName, s fairway.StepRecord, took time.Duration, outcome, reason string) string {
	line := fmt.Sprintf("%-12s %-10s %-7s %6s", stage, s.Step, outcome, short(took))
	if reason != "" {
		line += "  " + oneLine(reason)
	}
	return v.c.paint(outcome, line)
}

// note prints a remark about the following itself.
func (v *progressView) note(text string) {
	if !v.c.global.quiet {
		v.line(text)
	}
}

// line prints a line that stays, in place of the one that is being updated.
func (v *progressView) line(text string) {
	if v.open {
		fmt.Fprint(v.c.Stdout, "\r\x1b[K")
		v.open = false
	}
	fmt.Fprintln(v.c.Stdout, text)
}

// close ends the line that is being updated.
func (v *progressView) close() {
	if v.open {
		fmt.Fprintln(v.c.Stdout)
		v.open = false
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
