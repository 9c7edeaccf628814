package testrun

import (
	"sync"
	"time"
)

// progressEvery is the shortest time between two calls of Request.Progress.
const progressEvery = 250 * time.Millisecond

// Progress tells how far a test is.
type Progress struct {
	Check    string        // health, functional or performance
	Users    int           // who are at work
	Requests int           // answered or failed so far, in this check
	Errors   int           // of these
	Planned  int           // requests in this check; 0 when its duration decides
	Elapsed  time.Duration // since the check began
	Total    time.Duration // that the check will take; 0 when the number of requests decides
}

// reporter passes progress on, at most every progressEvery, one call at a
// time.
type reporter struct {
	mu   sync.Mutex
	f    func(Progress)
	last time.Time
}

func (r *reporter) report(p Progress) {
	if r.f == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.last) < progressEvery {
		return
	}
	r.last = now
	r.f(p)
}

// every calls report periodically until the returned function is called,
// which waits for the last call to end.
func (r *reporter) every(report func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		// A little longer, so that a late tick does not swallow the next one.
		ticker := time.NewTicker(progressEvery + progressEvery/20)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				report()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}
