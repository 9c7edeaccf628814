package app

import (
	"context"
	"fmt"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
)

// Retention says how much of the past is kept. The zero value means the
// defaults.
type Retention struct {
	Deliveries int           // ended ones, with their events, reports and evaluations; default 100 000
	For        time.Duration // they are kept at most; default 90 days
	Images     int           // of each service, besides those that run; default 10
	// Pushed is how long an image stays in any case once it was pushed or asked
	// for; default 30 min. A push that takes longer may find its first layers
	// gone, and its client sends them again.
	Pushed time.Duration
	// Every is the time between two rounds; default 1 min. Images are looked
	// at in every tenth round, and in the first.
	Every time.Duration
}

func (r Retention) withDefaults() Retention {
	if r.Deliveries == 0 {
		r.Deliveries = 100_000
	}
	if r.For == 0 {
		r.For = 90 * 24 * time.Hour
	}
	if r.Images == 0 {
		r.Images = 10
	}
	if r.Pushed == 0 {
		r.Pushed = 30 * time.Minute
	}
	if r.Every == 0 {
		r.Every = time.Minute
	}
	return r
}

func (r Retention) problems() (ps []fairway.Problem) {
	add := func(field, value, remedy string) {
		ps = append(ps, fairway.Problem{Field: field, Value: value, Message: "is too little", Remedy: remedy})
	}
	if r.Deliveries < 10 {
		add("keep-deliveries", fmt.Sprint(r.Deliveries), "keep at least 10")
	}
	if r.For < time.Hour {
		add("keep-for", r.For.String(), "keep them for at least 1h")
	}
	if r.Pushed < time.Minute {
		add("keep-pushed", r.Pushed.String(), "keep them for at least 1m")
	}
	if r.Images < 1 {
		add("keep-images", fmt.Sprint(r.Images), "keep at least 1")
	}
	return ps
}

// Bounds of one round, so that it disturbs nothing: what is left over waits
// for the next one.
const (
	mostExpired  = 500
	imagesEvery  = 10
	secondRounds = 4 // a second, when a round did not get to the end
)

// retain lets go of the past until ctx ends.
func (a *App) retain(ctx context.Context) {
	r := a.o.Retention
	for round := 0; ; round++ {
		wait := r.Every
		more, err := a.expire(ctx)
		if more {
			wait = min(wait, time.Second/secondRounds)
		}
		a.retained(ctx, "old deliveries could not be forgotten", err)
		if round%imagesEvery == 0 && !more {
			a.retained(ctx, "old answers could not be removed", a.answers.expire(ctx))
			a.retained(ctx, "old images could not be removed", a.dropImages(ctx))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (a *App) retained(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		a.o.Logger.Warn(what+"; the next round tries again", "error", err)
	}
}

// expire forgets ended deliveries with all that lies beside the log. more says
// that there are others.
func (a *App) expire(ctx context.Context) (more bool, err error) {
	r := a.o.Retention
	n, err := a.control.Expire(ctx, controller.Expiry{Keep: r.Deliveries, For: r.For, Most: mostExpired}, func(d fairway.Delivery) error {
		for _, st := range d.Stages {
			names := []string{}
			if st.Evaluation != "" { // also when it is not listed
				names = append(names, st.Evaluation)
			}
			for _, step := range st.Steps {
				names = append(names, fmt.Sprintf("test.%s.%s.%d", d.ID, st.Stage, step.Attempt))
			}
			for _, name := range names {
				if err := a.blobs.Remove(ctx, name); err != nil {
					return err
				}
			}
		}
		return a.history.RemoveDelivery(ctx, d.ID)
	})
	if n > 0 {
		a.o.Logger.Info("old deliveries were forgotten", "count", n)
	}
	return n == mostExpired, err
}

// dropImages removes images that nothing needs from the registry, and what was
// unpacked of them.
func (a *App) dropImages(ctx context.Context) error {
	w := a.view.Images(a.o.Retention.Images)
	var dropped []fairway.Artifact
	report, err := a.reg.Collect(ctx, func(repo, tag, digest string) bool {
		if w.Digests[digest] {
			return true
		}
		name := repo + ":" + tag
		if tag == "" || w.Tags[name] || !w.Known[name] {
			return tag != ""
		}
		dropped = append(dropped, fairway.Artifact{Image: repo, Tag: tag})
		return false
	})
	for _, image := range dropped {
		if err := a.log.Unsee(ctx, image); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	pruned, err := a.images.Prune(ctx, func(digest string) bool {
		return w.Digests[digest] || a.view.Images(a.o.Retention.Images).Digests[digest]
	})
	if report.Tags+report.Manifests+pruned > 0 {
		a.o.Logger.Info("old images were removed", "tags", report.Tags, "manifests", report.Manifests, "unpacked", pruned)
	}
	return err
}

// startRetention begins to let go of the past, and returns what ends that.
func (a *App) startRetention(ctx context.Context) func(context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); a.retain(ctx) }()
	return func(context.Context) error { cancel(); <-done; return nil }
}
