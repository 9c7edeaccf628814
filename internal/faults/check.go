package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// settle waits until the set's outcome is that of the run without faults, and
// returns in what it is not when that does not come.
func (s *set) settle(ctx context.Context) (f facts, problems []string, err error) {
	limit, cancel := context.WithTimeout(ctx, patience/3)
	defer cancel()
	waitErr := until(limit, "the outcome is as without a fault", func() (bool, error) {
		var o outcome
		if o, f, err = s.collect(ctx); err != nil {
			return false, err
		}
		problems = o.diff(s.h.reference)
		return len(problems) == 0, nil
	})
	if err == nil && len(problems) == 0 && waitErr != nil {
		err = waitErr
	}
	if err != nil {
		return f, nil, err
	}
	return f, append(problems, s.check(f)...), nil
}

// check holds what the outside saw, in all lives, against what is stored.
func (s *set) check(f facts) (problems []string) {
	complain := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	stored, given, pushed := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, d := range f.deliveries {
		key := service{project: d.Project, name: d.Service}.key(d.Artifact.Tag)
		for _, e := range f.events[d.ID] {
			if stored[e.ID] {
				complain("event %s of %s is there twice", e.ID, key)
			}
			stored[e.ID] = true
			given[key] = given[key] || e.Type == fairway.TypeApprovalGiven
			pushed[key] = pushed[key] || e.Type == fairway.TypeNewArtifact
		}
	}
	s.mu.Lock()
	for what := range s.acked {
		key, push := strings.CutPrefix(what, "push of ")
		if push && !pushed[key] || !push && !given[strings.TrimPrefix(what, "approval of ")] {
			complain("the %s was acknowledged and is lost", what)
		}
	}
	s.mu.Unlock()
	s.witness.mu.Lock()
	for id, e := range s.witness.seen {
		if e.Context != "" && !stored[id] {
			complain("event %s %s of delivery %s was seen and is lost", id, e.Type, e.Context)
		}
	}
	s.witness.mu.Unlock()
	return append(problems, s.checkTraffic(f)...)
}

// checkTraffic looks at who answered where traffic moves after the proof, and
// whether the proof had been stored by then.
func (s *set) checkTraffic(f facts) (problems []string) {
	proved := map[string]time.Time{} // host and version
	for _, d := range f.deliveries {
		for host, p := range provedHosts {
			if !strings.HasPrefix(host, string(d.Service)+".") {
				continue
			}
			for _, e := range f.events[d.ID] {
				if p.by(e) {
					proved[host+" "+d.Artifact.Tag] = e.Time
				}
			}
		}
	}
	s.witness.mu.Lock()
	defer s.witness.mu.Unlock()
	for host, versions := range s.witness.answers {
		for version, first := range versions {
			at, ok := proved[host+" "+version]
			switch {
			case !ok:
				problems = append(problems, fmt.Sprintf("version %s answered for %s and was never proved there", version, host))
			case first.Before(at) && !s.stepped:
				problems = append(problems, fmt.Sprintf("version %s answered for %s %s before it was proved", version, host, at.Sub(first)))
			}
		}
	}
	return problems
}
