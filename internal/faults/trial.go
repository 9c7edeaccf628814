package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// disturb breaks a set while its deliveries go on, until done is closed. It
// leaves the program running, or not, as it likes.
type disturb func(ctx context.Context, s *set, done <-chan struct{}) error

// trial runs a set of deliveries under a disturbance, and adds to the row what
// came of it. The facts are those at the end.
func (h *harness) trial(ctx context.Context, r *row, f disturb) (end facts, err error) {
	h.sets++
	return h.trialIn(ctx, r, filepath.Join(h.dir, fmt.Sprintf("set-%d", h.sets)), f)
}

// trialIn is trial with the given home.
func (h *harness) trialIn(ctx context.Context, r *row, home string, f disturb) (end facts, err error) {
	r.sets++
	s, err := h.newSet(ctx, home)
	if err != nil {
		return end, err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	if err := s.makeProjects(ctx); err != nil {
		return end, err
	}
	played := make(chan struct{})
	var playErr error
	go func() {
		defer close(played)
		playErr = s.play(ctx)
	}()
	breakErr := f(ctx, s, played)
	if breakErr == nil && !s.now().runs() {
		breakErr = s.begin(ctx)
	}
	<-played
	if err := errors.Join(breakErr, playErr); err != nil {
		return end, err
	}
	if !s.now().runs() {
		if err := s.begin(ctx); err != nil {
			return end, err
		}
	}
	end, problems, err := s.settle(ctx)
	if len(problems) > 0 {
		problems[0] += "\n" + s.now().tail()
	}
	r.lost = append(r.lost, problems...)
	r.resumed = append(r.resumed, s.witness.resumed...)
	return end, err
}

// quiet waits until nothing changes any more in the run without faults.
func (s *set) quiet(ctx context.Context) (o outcome, f facts, err error) {
	same := 0
	err = until(ctx, "nothing changes any more", func() (bool, error) {
		now, facts, err := s.collect(ctx)
		if err != nil {
			return false, err
		}
		if len(now.diff(o)) == 0 {
			same++
		} else {
			same = 0
		}
		o, f = now, facts
		return same > 20, nil
	})
	return o, f, err
}

// end stops the program in order, and leaves nothing of the set.
func (s *set) end(ctx context.Context) error {
	var err error
	if l := s.now(); l != nil && l.runs() {
		err = l.stop()
	}
	s.witness.wg.Wait()
	ctx = context.WithoutCancel(ctx)
	err = errors.Join(err, endDelivered(ctx, s.home))
	if !s.h.o.keep {
		err = errors.Join(err, os.RemoveAll(s.home))
	}
	return err
}
