package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// account prints what happens: whole lines, and on a terminal a last line
// that is overwritten by the progress of the step under way.
type account struct {
	out      io.Writer
	terminal bool
	began    time.Time
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	told     map[string]bool // what need not be said again; follow's goroutine has it

	mu       sync.Mutex
	progress bool // the last line is progress and will be overwritten
	ended    map[fairway.DeliveryID]bool
	news     chan struct{}
}

func newAccount(out io.Writer, terminal bool) *account {
	return &account{out: out, terminal: terminal, began: time.Now(), ended: map[fairway.DeliveryID]bool{}, told: map[string]bool{}, news: make(chan struct{}, 1)}
}

const (
	bold  = "\x1b[1m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	dim   = "\x1b[2m"
	plain = "\x1b[0m"
	wipe  = "\r\x1b[K"
)

func (a *account) paint(colour, text string) string {
	if !a.terminal {
		return text
	}
	return colour + text + plain
}

func (a *account) line(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.progress {
		fmt.Fprint(a.out, wipe)
		a.progress = false
	}
	fmt.Fprintln(a.out, text)
}

func (a *account) stamp() string {
	return a.paint(dim, fmt.Sprintf("%6.1fs", time.Since(a.began).Seconds()))
}

func (a *account) title(format string, args ...any) {
	a.line("")
	a.line(a.stamp() + "  " + a.paint(bold, fmt.Sprintf(format, args...)))
}

func (a *account) note(format string, args ...any) {
	a.line(a.stamp() + "  " + fmt.Sprintf(format, args...))
}

func (a *account) say(format string, args ...any) { a.line(fmt.Sprintf(format, args...)) }

func (a *account) verdict(ok bool, text string) {
	mark := a.paint(green, "ok  ")
	if !ok {
		mark = a.paint(red, "FAIL")
	}
	a.line("  " + mark + "  " + text)
}

// follow prints every event from now on.
func (a *account) follow(ctx context.Context, c *api.Client) {
	ctx, a.cancel = context.WithCancel(ctx)
	a.wg.Go(func() {
		// It ends with ctx; what was missed is in the API all the same.
		_ = c.Watch(ctx, func(ch api.Change) error {
			for _, e := range ch.Events {
				a.event(e.Event)
			}
			for _, p := range ch.Progress {
				a.step(p)
			}
			return nil
		})
	})
}

func (a *account) stop() {
	if a.cancel != nil {
		a.cancel()
		a.wg.Wait()
	}
}

func (a *account) step(p api.Progress) {
	if !a.terminal {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(a.out, "%s%s  %s", wipe, a.stamp(), a.paint(dim, fmt.Sprintf("%-11s %s", p.Stage, p.Text)))
	a.progress = true
}

func (a *account) event(e fairway.Event) {
	var d fairway.EventData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return
	}
	name := strings.TrimPrefix(strings.TrimPrefix(e.Type, "sh.keptn.events."), "dev.fairway.")
	text := fmt.Sprintf("%s  %-9s %-11s %-22s %s", a.stamp(), d.Service, d.Stage, name, e.Reason)
	switch {
	case strings.HasSuffix(e.Type, ".failed"), strings.HasSuffix(e.Type, ".rejected"):
		text = a.paint(red, text)
	case e.Type == fairway.TypeDeliveryFinished:
		text = a.paint(green, text)
	}
	a.line(text)
	a.detail(e, d)
	switch e.Type {
	case fairway.TypeDeliveryFinished, fairway.TypeDeliveryFailed, fairway.TypeDeliveryRejected, fairway.TypeDeliverySuperseded, fairway.TypeDeliveryAborted:
		a.mu.Lock()
		a.ended[e.Context] = true
		a.mu.Unlock()
		select {
		case a.news <- struct{}{}:
		default:
		}
	}
}

// detail prints what a test or gate found.
func (a *account) detail(e fairway.Event, d fairway.EventData) {
	const indent = "                                                        "
	switch e.Type {
	case fairway.TypeTestsFinished:
		var found struct {
			Checks []fairway.Check `json:"checks"`
			Notes  []string        `json:"notes"`
		}
		if json.Unmarshal(d.Detail, &found) != nil {
			return
		}
		for _, c := range found.Checks {
			text := fmt.Sprintf("%s: %d requests, %d errors", c.Name, c.Requests, c.Errors)
			if c.Users > 0 {
				text += fmt.Sprintf(", %d users, %s", c.Users, c.Window.Duration().Round(100*time.Millisecond))
			}
			if l := c.Latency; l != nil {
				text += fmt.Sprintf(", mean %.4f s, p95 %.4f s", l.Mean, l.P95)
			}
			a.line(indent + a.paint(dim, text))
		}
		for _, n := range found.Notes {
			a.line(indent + a.paint(dim, n))
		}
	case fairway.TypeDeploymentFinished:
		var found struct {
			NotRun []string `json:"notRun"`
		}
		if json.Unmarshal(d.Detail, &found) != nil {
			return
		}
		for _, n := range found.NotRun {
			if !a.told[n] {
				a.told[n] = true
				a.line(indent + a.paint(dim, n))
			}
		}
	}
}

// caughtUp waits until the end of the delivery was printed, so that the
// account is in order.
func (a *account) caughtUp(ctx context.Context, d fairway.Delivery) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for {
		a.mu.Lock()
		done := a.ended[d.ID]
		a.mu.Unlock()
		if done {
			return
		}
		select {
		case <-a.news:
		case <-ctx.Done():
			return
		}
	}
}

// pause waits between two questions to the API.
func (a *account) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
