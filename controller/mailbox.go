package controller

import (
	"sync"

	"github.com/fairwaycd/fairway/sequence"
)

// mailbox is an unbounded queue: whoever posts never waits, so that an effect
// can end while the shard stores a decision. It is bounded in effect by the
// number of pending effects and deadlines.
type mailbox struct {
	mu    sync.Mutex
	mail  []mail
	ready chan struct{}
}

type mail struct {
	service service
	input   sequence.Input
}

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

func (m *mailbox) put(k service, in sequence.Input) {
	m.mu.Lock()
	m.mail = append(m.mail, mail{k, in})
	m.mu.Unlock()
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() []mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.mail
	m.mail = nil
	return all
}

// waiters are those who wait for the decision on an input that they sent.
type waiters struct {
	mu sync.Mutex
	by map[string]chan sequence.Decision
}

func newWaiters() *waiters { return &waiters{by: map[string]chan sequence.Decision{}} }

func (w *waiters) expect(token string) <-chan sequence.Decision {
	ch := make(chan sequence.Decision, 1)
	w.mu.Lock()
	w.by[token] = ch
	w.mu.Unlock()
	return ch
}

func (w *waiters) forget(token string) {
	w.mu.Lock()
	delete(w.by, token)
	w.mu.Unlock()
}

func (w *waiters) tell(token string, d sequence.Decision) {
	if token == "" {
		return
	}
	w.mu.Lock()
	ch := w.by[token]
	delete(w.by, token)
	w.mu.Unlock()
	if ch != nil {
		ch <- d
	}
}
