package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// atEveryPoint kills the program at each failpoint in turn, at the first and
// at a later time that it is reached after a start.
func atEveryPoint(ctx context.Context, h *harness, r *row) error {
	specs := slices.Clone(shortPoints)
	if !h.o.short {
		specs = nil
		for _, p := range points {
			specs = append(specs, p, fmt.Sprintf("%s:%d", p, 2+h.rnd.IntN(2)))
		}
	}
	h.rnd.Shuffle(len(specs), func(i, j int) { specs[i], specs[j] = specs[j], specs[i] })
	want := len(specs)
	for try := 0; len(specs) > 0; try++ {
		before := len(specs)
		if _, err := h.trial(ctx, r, func(ctx context.Context, s *set, done <-chan struct{}) (err error) {
			specs, err = s.throughPoints(ctx, specs, done)
			return err
		}); err != nil {
			return err
		}
		if r.times = want - len(specs); len(specs) == before {
			return fmt.Errorf("not reached within a whole set: %s", strings.Join(specs, ", "))
		}
	}
	return nil
}

// throughPoints starts the program again and again, each time with the next
// point, until the deliveries have ended. It returns the points that are left.
func (s *set) throughPoints(ctx context.Context, specs []string, done <-chan struct{}) (left []string, err error) {
	if err := s.now().stop(); err != nil { // the first life had no point
		return specs, err
	}
	for len(specs) > 0 {
		if strings.HasPrefix(specs[0], atRestore) {
			if err := s.stopWithReleased(ctx, done); err != nil {
				return specs, err
			}
		}
		s.witness.fault()
		err := s.begin(ctx, "FAIRWAY_FAILPOINT="+specs[0])
		if errors.Is(err, errKilled) {
			specs = specs[1:]
			continue
		}
		if err != nil {
			return specs, err
		}
		select {
		case <-s.now().exited:
			if !s.now().killed() {
				return specs, fmt.Errorf("fairway up ended by itself: %w\n%s", s.now().err, s.now().tail())
			}
			specs = specs[1:]
		case <-done:
			// This one was not reached; it is the first of the next set.
			return specs, s.now().stop()
		case <-ctx.Done():
			return specs, ctx.Err()
		}
	}
	return nil, nil
}

// stopWithReleased lets the program run until a delivery has finished, stops
// it in order, and takes away what the platform knew of that delivery, so that
// the next start has to start its versions again by the log alone.
func (s *set) stopWithReleased(ctx context.Context, done <-chan struct{}) error {
	if !s.now().runs() {
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	var finished []fairway.DeliveryID
	err := until(ctx, "a delivery has finished", func() (bool, error) {
		finished = s.witness.about(fairway.TypeDeliveryFinished)
		select {
		case <-done:
			return true, nil
		default:
			return len(finished) > 0, nil
		}
	})
	if err := errors.Join(err, s.now().stop()); err != nil {
		return err
	}
	for _, id := range finished {
		records, err := filepath.Glob(filepath.Join(s.now().ready.Data, "run", "instances", string(id)+"*.json"))
		for _, file := range records {
			err = errors.Join(err, os.Remove(file))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// killSteps are the steps in each of which there are to be at least inStep
// kills, and afterEvent more so soon after an event was stored.
var killSteps = []fairway.Step{fairway.StepConfigure, fairway.StepDeploy, fairway.StepTest, fairway.StepEvaluate,
	fairway.StepApprove, fairway.StepRelease, fairway.StepRollback, fairway.StepRetire}

const (
	inStep    = 3
	soonAfter = 5 * time.Millisecond
)

// randomKills counts kills at random moments.
type randomKills struct {
	rnd        *rand.Rand
	typical    steps
	all, soon  int // there are to be, at least
	times      int
	afterEvent int
	in         map[fairway.Step]int
	moments    []time.Time // of the present set
}

// missing is a step that has too few kills, or none.
func (k *randomKills) missing(least int) []fairway.Step {
	return slices.DeleteFunc(slices.Clone(killSteps), func(s fairway.Step) bool { return k.in[s] >= least })
}

func atRandom(ctx context.Context, h *harness, r *row) error {
	k := &randomKills{rnd: h.rnd, typical: h.typical, all: 50, soon: 10, in: map[fairway.Step]int{}}
	least := inStep
	if h.o.short {
		k.all, k.soon, least = 6, 2, 0
	}
	for tries := 0; k.times < k.all || k.afterEvent < k.soon || len(k.missing(least)) > 0; tries++ {
		if tries == 30 {
			return fmt.Errorf("after %d sets there are too few kills: %s", tries, k)
		}
		k.moments = nil
		f, err := h.trial(ctx, r, k.disturb)
		if err != nil {
			return err
		}
		for _, at := range k.moments {
			for step := range during(f, at) {
				k.in[step]++
			}
		}
		if r.times = k.times; h.o.verbose {
			fmt.Fprintf(h.out, "%d kills so far, %s\n", k.times, k)
		}
	}
	r.note("%s", k)
	return nil
}

func (k *randomKills) String() string {
	text := fmt.Sprintf("%d within %s after an event was stored", k.afterEvent, soonAfter)
	for _, s := range killSteps {
		text += fmt.Sprintf(", %d in %s", k.in[s], s)
	}
	return text
}

// disturb kills the program every now and then: right after an event, or
// somewhere in a step.
func (k *randomKills) disturb(ctx context.Context, s *set, done <-chan struct{}) error {
	for {
		select {
		case <-done:
			return nil
		default:
		}
		var err error
		if k.afterEvent < k.soon && k.rnd.IntN(2) == 0 {
			err = k.killAfterEvent(ctx, s, done)
		} else {
			err = k.killInStep(ctx, s, done)
		}
		if err != nil {
			return err
		}
	}
}

// killAfterEvent lets the program end up to 5 ms after it stored a decision.
func (k *randomKills) killAfterEvent(ctx context.Context, s *set, done <-chan struct{}) error {
	if s.now().runs() {
		s.witness.fault()
		k.killed()
		if err := s.now().kill(); err != nil {
			return err
		}
	}
	// Each shard stores a decision when it is taken over; the first ones are not
	// yet a delivery's.
	err := s.begin(ctx, fmt.Sprintf("FAIRWAY_FAILPOINT=record.after-append:%d+%s", 9+k.rnd.IntN(6), time.Duration(k.rnd.Int64N(int64(soonAfter*9/10)))))
	if err != nil && !errors.Is(err, errKilled) {
		return err
	}
	select {
	case <-s.now().exited:
	case <-done:
		return nil
	}
	s.witness.fault()
	k.killed()
	if late, ok := s.now().lateness(); ok && late <= soonAfter {
		k.afterEvent++
	}
	return s.begin(ctx)
}

// killed notes that the program is killed now.
func (k *randomKills) killed() {
	k.times++
	k.moments = append(k.moments, time.Now())
}

// killInStep waits until the step that lacks kills most begins somewhere, and
// kills the program at a random moment of it.
func (k *randomKills) killInStep(ctx context.Context, s *set, done <-chan struct{}) error {
	wanted := slices.MinFunc(killSteps, func(a, b fairway.Step) int { return k.in[a] - k.in[b] })
	if k.rnd.IntN(3) == 0 {
		wanted = killSteps[k.rnd.IntN(len(killSteps))]
	}
	// Until the event is heard and the signal there, a part of the step is over.
	wait := time.Duration(k.rnd.Int64N(int64(max(time.Millisecond, k.typical[wanted]*2/3))))
	limit, cancel := context.WithTimeout(ctx, 8*time.Second) // then anywhere
	defer cancel()
	if !s.begins(limit, wanted, done) && limit.Err() == nil {
		return nil
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case <-late.C:
	case <-done:
		return nil
	}
	s.witness.fault()
	k.killed()
	if err := s.now().kill(); err != nil {
		return err
	}
	return s.begin(ctx)
}
