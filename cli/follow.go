package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// waitFlags say whether and how long a command follows a delivery.
type waitFlags struct {
	wait    bool
	timeout time.Duration
}

func (w *waitFlags) bind(f *pflag.FlagSet, what string) {
	f.BoolVar(&w.wait, "wait", false, "follow "+what+" to its end; see fairway help exit-codes")
	w.bindTimeout(f)
}

func (w *waitFlags) bindTimeout(f *pflag.FlagSet) {
	f.DurationVar(&w.timeout, "timeout", 0, "stop waiting after this `time`, such as 10m (default: wait for ever)")
}

func (w *waitFlags) check() error {
	switch {
	case w.timeout < 0:
		return usageError(fairway.Invalid("--timeout", w.timeout.String(), "is negative", "write a time such as 10m"))
	case w.timeout > 0 && !w.wait:
		return usageError(fairway.Invalid("--timeout", w.timeout.String(), "has no effect without --wait", "add --wait, or leave it out"))
	}
	return nil
}

// started says that a delivery has started, and follows it if asked to.
func (c *cli) started(cmd *cobra.Command, b api.Backend, id fairway.DeliveryID, w waitFlags) error {
	if id == "" {
		if w.wait {
			return &ExitError{Code: ExitFailed, Err: errors.New("there is no delivery to wait for: the event started none")}
		}
		return nil
	}
	if !w.wait {
		if c.global.quiet {
			c.println(string(id))
			return nil
		}
		c.remark("delivery %s\n  next: fairway watch %s", id, id.Short())
		return nil
	}
	return c.follow(cmd.Context(), b, string(id), w.timeout)
}

// How a followed delivery is looked at: at every change that the server
// reports, and in any case this often, since a report can get lost.
const (
	lookEvery = 2 * time.Second
	// patience is how long a server may be away, e.g. for a restart, before
	// following gives up.
	patience = time.Minute
)

// errTimeout is the cause of a context that --timeout ended.
var errTimeout = errors.New("--timeout")

// follow shows a delivery's progress until it has ended, and returns the exit
// code of that end as an [ExitError], or nil for [ExitOK].
func (c *cli) follow(ctx context.Context, b api.Backend, id string, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, errTimeout)
		defer cancel()
	}
	d, err := b.Delivery(ctx, id)
	if err != nil {
		return c.interrupted(ctx, fairway.Delivery{ID: fairway.DeliveryID(id)}, timeout, err)
	}
	v := c.newProgressView()
	defer v.close()
	v.show(d)
	if !d.Status.Ended() {
		if d, err = c.await(ctx, b, d, v); err != nil {
			v.close()
			return c.interrupted(ctx, d, timeout, err)
		}
	}
	v.close()
	return c.ended(d)
}

// await returns the delivery once it has ended.
func (c *cli) await(ctx context.Context, b api.Backend, d fairway.Delivery, v *progressView) (fairway.Delivery, error) {
	changes := subscribe(ctx, b, d.ID)
	defer changes.stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var awaySince time.Time
	for {
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case v.progress = <-changes.progress:
			v.show(d)
			continue
		case <-changes.events:
		case <-tick.C:
		}
		now, err := b.Delivery(ctx, string(d.ID))
		switch {
		case err == nil:
			awaySince, d = time.Time{}, now
			v.show(d)
		case ctx.Err() != nil || fairway.KindOf(err) != fairway.KindUnavailable:
			return d, err
		case awaySince.IsZero():
			awaySince = c.Now()
			v.note("Fairway does not answer; trying again")
		case c.Now().Sub(awaySince) > patience:
			return d, err
		}
		if d.Status.Ended() {
			return d, nil
		}
	}
}

// interrupted says why following ended before the delivery did.
func (c *cli) interrupted(ctx context.Context, d fairway.Delivery, timeout time.Duration, err error) error {
	if ctx.Err() == nil {
		return err
	}
	what := "delivery " + d.ID.Short()
	if d.Service != "" {
		what = describe(d)
	}
	if errors.Is(context.Cause(ctx), errTimeout) {
		return &ExitError{Code: ExitTimeout, Err: fmt.Errorf("--timeout of %s reached while waiting for %s\nit goes on; follow it with: fairway watch %s", timeout, what, d.ID.Short())}
	}
	return &ExitError{Code: ExitFailed, Err: fmt.Errorf("interrupted while waiting for %s\nit goes on; follow it with: fairway watch %s", what, d.ID.Short())}
}

// describe says where a delivery is, e.g. "delivery 1a2b3c4d of carts 0.6.0-1:
// test in staging: …".
func describe(d fairway.Delivery) string {
	s := fmt.Sprintf("delivery %s of %s %s", d.ID.Short(), d.Service, d.Artifact.Tag)
	if d.Step != "" {
		s += fmt.Sprintf(": %s in %s", d.Step, d.Stage)
	}
	if d.Reason != "" {
		s += ": " + d.Reason
	}
	return s
}

// ended prints the end of a delivery and turns it into an exit code.
func (c *cli) ended(d fairway.Delivery) error {
	code := byStatus[d.Status]
	if d.Status == fairway.StatusFinished && d.Warned {
		code = ExitWarned
	}
	line := fmt.Sprintf("%s %s %s: %s: %s", d.Service, d.Artifact.Tag, d.ID.Short(), endText(d), d.Reason)
	if code == ExitOK {
		c.remark("%s", line)
		return nil
	}
	if code == ExitWarned {
		c.remark("%s", line)
		return &ExitError{Code: code}
	}
	return &ExitError{Code: code, Err: fmt.Errorf("%s\nsee: fairway get delivery %s", line, d.ID.Short())}
}

// endText is the status with what a person must not overlook.
func endText(d fairway.Delivery) string {
	s := string(d.Status)
	if d.Warned {
		s += " with a warning"
	}
	if d.NotJudged {
		s += " (not judged in every stage)"
	}
	return s
}

// subscription tells of changes of one delivery.
type subscription struct {
	events   chan struct{} // something has happened; holds one
	progress chan api.Progress
	stop     func() // ends it and waits
}

// subscribe listens until ctx ends or stop is called. When the connection
// breaks it begins again; what is missed then is found by looking regularly.
func subscribe(ctx context.Context, b api.Backend, id fairway.DeliveryID) subscription {
	ctx, cancel := context.WithCancel(ctx)
	s := subscription{events: make(chan struct{}, 1), progress: make(chan api.Progress)}
	done := make(chan struct{})
	s.stop = func() { cancel(); <-done }
	notify := func(ch api.Change) error {
		for _, e := range ch.Events {
			if e.Context != id {
				continue
			}
			select {
			case s.events <- struct{}{}:
			default: // it is to be looked at already
			}
		}
		for _, p := range ch.Progress {
			if p.Delivery != id {
				continue
			}
			select {
			case s.progress <- p:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	go func() {
		defer close(done)
		again := time.NewTicker(lookEvery)
		defer again.Stop()
		for {
			// Why it broke shows in what the follower asks next.
			_ = b.Watch(ctx, notify)
			select {
			case <-ctx.Done():
				return
			case <-again.C:
			}
		}
	}()
	return s
}
