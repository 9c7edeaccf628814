package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// reportEvery is how often a step that takes long is mentioned where lines
// cannot be updated.
const reportEvery = 30 * time.Second

// progressView shows the steps of a delivery as they go by: on a terminal as
// one line a step that is updated while it runs, elsewhere as one line when it
// has ended.
type progressView struct {
	c        *cli
	columns  int // of the terminal; 0 when lines cannot be updated
	progress api.Progress
	open     bool // the cursor stands in an updated line
	shown    map[string]bool
	waiting  string    // the last reason to wait that was printed
	reported time.Time // when the running step was last mentioned
}

func (c *cli) newProgressView() *progressView {
	return &progressView{c: c, columns: c.terminal(c.Stdout), shown: map[string]bool{}, reported: c.Now()}
}

// show prints what is new in the delivery.
func (v *progressView) show(d fairway.Delivery) {
	if v.c.global.quiet {
		return
	}
	running, stage := fairway.StepRecord{Step: d.Step, StartedAt: d.UpdatedAt}, d.Stage
	for _, st := range d.Stages {
		for _, s := range st.Steps {
			if s.EndedAt == nil {
				running, stage = s, st.Stage
				continue
			}
			v.finished(st.Stage, s)
		}
	}
	if !d.Status.Ended() {
		v.running(d, stage, running)
	}
}

func (v *progressView) finished(stage fairway.StageName, s fairway.StepRecord) {
	key := fmt.Sprint(stage, s.Step, s.Attempt, s.StartedAt.UnixNano())
	if v.shown[key] {
		return
	}
	v.shown[key] = true
	v.line(v.text(stage, s, *s.EndedAt, s.Outcome, s.Reason))
	v.reported, v.waiting = v.c.Now(), ""
}

// running shows the step under way, in whatever way the output allows.
func (v *progressView) running(d fairway.Delivery, stage fairway.StageName, s fairway.StepRecord) {
	now := v.c.Now()
	reason := d.Reason
	if p := v.progress; p.Stage == stage && p.Step == s.Step && p.Text != "" {
		reason = p.Text
	}
	switch {
	case v.columns > 0:
		v.update(v.text(stage, s, now, "…", reason))
	case d.Status == fairway.StatusWaiting && v.waiting != d.Reason:
		v.waiting = d.Reason
		v.line(v.text(stage, s, now, "waits", d.Reason))
	case now.Sub(v.reported) >= reportEvery:
		v.reported = now
		v.line(v.text(stage, s, now, "…", reason))
	}
}

func (v *progressView) text(stage fairway.StageName, s fairway.StepRecord, end time.Time, outcome, reason string) string {
	painted := v.c.paint(outcome, fmt.Sprintf("%-7s", outcome))
	line := fmt.Sprintf("%-12s %-10s %s %6s", stage, s.Step, painted, short(end.Sub(s.StartedAt)))
	if reason != "" {
		line += "  " + oneLine(reason)
	}
	return line
}

// note prints a remark about the following itself.
func (v *progressView) note(text string) {
	if !v.c.global.quiet {
		v.line(text)
	}
}

// eraseLine puts the cursor at the beginning of an empty line.
const eraseLine = "\r\x1b[K"

// update prints a line that the next one replaces. It must fit into one line
// of the terminal, or it could not be replaced.
func (v *progressView) update(text string) {
	if r := []rune(text); len(r) >= v.columns {
		text = string(r[:v.columns-2]) + "…"
	}
	fmt.Fprint(v.c.Stdout, eraseLine, text)
	v.open = true
}

// line prints a line that stays, in place of the one that is being updated.
func (v *progressView) line(text string) {
	if v.open {
		fmt.Fprint(v.c.Stdout, eraseLine)
		v.open = false
	}
	fmt.Fprintln(v.c.Stdout, text)
}

// close leaves the line that is being updated.
func (v *progressView) close() {
	if v.open {
		fmt.Fprintln(v.c.Stdout)
		v.open = false
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
