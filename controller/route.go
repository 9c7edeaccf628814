package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/sequence"
)

// byHandPatience is how long a version that runs may take to be ready for the
// weights that a person gives it. After a restart it is not known at once.
const byHandPatience = 5 * time.Second

// routeByHand applies the weights that a person has chosen. Nothing may be
// left of them when they cannot be had: git then says again what is in force.
func (w work) routeByHand(ctx context.Context) (sequence.Result, error) {
	if w.e.PutBack {
		reason := fmt.Sprintf("Put the weights of %s back to what is in force", w.service.name)
		return sequence.Result{OK: true, Weights: w.e.Weights, Reason: reason}, w.commitWeights(ctx, w.e.Weights, reason)
	}
	before, _, err := w.c.Traffic.Route(ctx, w.place.Namespace, w.place.Service)
	if err != nil {
		return sequence.Result{}, fmt.Errorf("read the weights in force: %w", err)
	}
	message := fmt.Sprintf("Split traffic of %s %s by hand", w.service.name, w.e.Weights)
	commit, err := w.routePatiently(ctx, message)
	if err == nil {
		// An attempt before this one may have put git back under the same key.
		err = w.commitWeights(ctx, w.e.Weights, message)
	}
	if err == nil {
		return sequence.Result{OK: true, Commit: commit, Weights: w.e.Weights,
			Reason: fmt.Sprintf("traffic of %s in stage %s is split by hand: weights blue/green %s", w.service.name, w.e.Stage, w.e.Weights)}, nil
	}
	// Also when this effort was cancelled, since nobody else puts it back.
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBackTime)
	defer cancel()
	if backErr := w.commitWeights(back, before.Weights, fmt.Sprintf("Put the weights of %s back to what is in force", w.service.name)); backErr != nil {
		return sequence.Result{}, fairway.Retryable(fmt.Errorf("put the weights back in branch %s after they were refused (%w): %w", w.e.Stage, err, backErr))
	}
	if fairway.KindOf(err) == fairway.KindRefused {
		return sequence.Result{Refused: true, Reason: err.Error()}, nil
	}
	return sequence.Result{}, err
}

// putBackTime bounds a commit that is made after its effort has ended.
const putBackTime = 10 * time.Second

// routePatiently commits and applies the weights. While something runs in
// every place that gets some, a refusal is not the last word.
func (w work) routePatiently(ctx context.Context, message string) (commit string, err error) {
	limit, cancel := context.WithTimeout(ctx, byHandPatience)
	defer cancel()
	for {
		commit, err = w.route(ctx, w.e.Weights, message)
		if fairway.KindOf(err) != fairway.KindRefused || limit.Err() != nil || !w.allRun(ctx) {
			return commit, err
		}
		pause(limit, 100*time.Millisecond)
	}
}

// allRun reports whether something runs in every place that gets weight.
func (w work) allRun(ctx context.Context) bool {
	all, err := w.c.Platform.Instances(ctx)
	if err != nil {
		return false
	}
	runs := map[fairway.Place]bool{}
	for _, i := range all {
		runs[i.Place] = true
	}
	for c, share := range w.e.Weights {
		if share > 0 && !runs[fairway.Place{Namespace: w.place.Namespace, Service: w.place.Service, Colour: c}] {
			return false
		}
	}
	return true
}

// commitWeights makes git say the weights, whatever it said before. Without a
// key it is done again when it has to be, and commits nothing when it has not.
func (w work) commitWeights(ctx context.Context, weights fairway.Weights, message string) error {
	ch := w.change()
	ch.Key, ch.Reason = "", message
	if _, err := w.c.Configuration.SetWeights(ctx, ch, weights); err != nil {
		return fmt.Errorf("commit weights %s to branch %s: %w", weights, w.e.Stage, err)
	}
	return nil
}
