package controller_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/controller"
	"github.com/fairwaycd/fairway/inmem"
)

// faulty is a log whose calls a test may fail.
type faulty struct {
	fairway.Log
	append func(e fairway.LogEntry) error // before it is stored
	answer func(e fairway.LogEntry) error // after it was stored
	replay func() error
	saved  func(p fairway.ProjectName, s fairway.ServiceName)
}

func (f faulty) Append(ctx context.Context, shard int, e fairway.LogEntry, last uint64) (uint64, error) {
	if f.append != nil {
		if err := f.append(e); err != nil {
			return 0, err
		}
	}
	seq, err := f.Log.Append(ctx, shard, e, last)
	if err == nil && f.answer != nil {
		err = f.answer(e)
	}
	return seq, err
}

func (f faulty) Replay(ctx context.Context, shard int, from uint64, each func(fairway.LogEntry) error) error {
	if f.replay != nil {
		if err := f.replay(); err != nil {
			return err
		}
	}
	return f.Log.Replay(ctx, shard, from, each)
}

func (f faulty) SaveState(ctx context.Context, p fairway.ProjectName, s fairway.ServiceName, b []byte) error {
	if f.saved != nil {
		f.saved(p, s)
	}
	return f.Log.SaveState(ctx, p, s, b)
}

// An append's answer is lost, and the log's tail cannot be read at first: the
// shard is not lost for that, and nothing is wrong afterwards.
func TestATailThatCannotBeReadIsReadAgain(t *testing.T) {
	t.Parallel()
	var armed, unread atomic.Bool
	unread.Store(true)
	timeout := fairway.Retryable(errors.New("timeout"))
	s := start(t, t.TempDir(), inmem.NewWorld(plan()), func(l fairway.Log) fairway.Log {
		return faulty{Log: l,
			answer: func(fairway.LogEntry) error {
				if armed.CompareAndSwap(true, false) {
					return timeout
				}
				return nil
			},
			replay: func() error {
				if unread.CompareAndSwap(true, false) {
					return timeout
				}
				return nil
			}}
	}, nil)
	defer s.stop()
	unread.Store(true)
	armed.Store(true)
	s.onboard(t, "carts")
	if trouble := s.view.Trouble(); len(trouble) != 0 {
		t.Errorf("trouble is left: %v", trouble)
	}
}

// twoShards returns two services that are decided in different shards.
func (s *system) twoShards() (a, b fairway.ServiceName) {
	for i := 0; ; i++ {
		if b = fairway.ServiceName(fmt.Sprint("svc", i)); s.log.Shard("shop", b) != s.log.Shard("shop", "carts") {
			return "carts", b
		}
	}
}

// A shard whose log takes nothing keeps neither the others' snapshots from
// being saved nor its trouble from being seen.
func TestABlockedShardDisturbsNoOther(t *testing.T) {
	t.Parallel()
	var blocked atomic.Bool
	refused := make(chan struct{}, 100)
	saved := make(chan fairway.ServiceName, 100)
	s := start(t, t.TempDir(), inmem.NewWorld(plan()), func(l fairway.Log) fairway.Log {
		return faulty{Log: l,
			append: func(e fairway.LogEntry) error {
				if blocked.Load() && e.Service == "carts" {
					refused <- struct{}{}
					return fairway.Retryable(errors.New("no space left"))
				}
				return nil
			},
			saved: func(_ fairway.ProjectName, s fairway.ServiceName) { saved <- s }}
	}, nil)
	defer s.stop()
	a, b := s.twoShards()
	blocked.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() { s.onboard(t, a) })
	<-refused
	<-refused // its loop is in the middle of a decision
	s.onboard(t, b)
	if got := <-saved; got != b {
		t.Errorf("%s was saved", got)
	}
	if len(s.view.Trouble()) != 1 {
		t.Errorf("trouble is %v, want that of one shard", s.view.Trouble())
	}
	blocked.Store(false)
	wg.Wait()
	if len(s.view.Trouble()) != 0 {
		t.Errorf("trouble is left: %v", s.view.Trouble())
	}
}

// What can never be stored must not be tried for ever.
func TestAResultThatIsTooLargeFailsItsStep(t *testing.T) {
	t.Parallel()
	for _, size := range []int{5 << 20, 9 << 20} { // above a record's limit; above a message's
		w := inmem.NewWorld(direct())
		w.OnTest = func(controller.TestRequest) (fairway.TestReport, error) {
			return fairway.TestReport{Passed: true, Reason: strings.Repeat("x", size)}, nil
		}
		s := start(t, t.TempDir(), w, nil, nil)
		s.onboard(t, "carts")
		s.deliver(t, "carts", "1")
		s.until(t, "the end", s.ended(1))
		d := s.view.Deliveries(controller.DeliveryFilter{})[0]
		if d.Status != fairway.StatusFailed || !strings.Contains(d.Reason, "too large to be stored") {
			t.Errorf("with %d bytes the delivery is %s: %.200s", size, d.Status, d.Reason)
		}
		s.stop()
	}
}

// The log has lost its end, the snapshots have not: what the log says counts,
// and what it lacks is forgotten for good.
func TestSnapshotsBeyondTheLogAreForgotten(t *testing.T) {
	t.Parallel()
	dir, w := t.TempDir(), inmem.NewWorld(plan())
	s := start(t, dir, w, nil, nil)
	s.onboard(t, "carts")
	shard, ctx := s.log.Shard("shop", "carts"), t.Context()
	s.Stop()
	other := fairway.ServiceName("")
	for i := 0; other == "" || s.log.Shard("shop", other) != shard; i++ {
		other = fairway.ServiceName(fmt.Sprint("svc", i))
	}
	for _, save := range []error{
		s.log.SaveState(ctx, "shop", "carts", []byte(`{"seq":900,"state":{"project":"shop","service":"carts","onboarded":false,"inSeq":5000}}`)),
		s.log.SaveState(ctx, "shop", other, fmt.Appendf(nil, `{"seq":901,"state":{"project":"shop","service":%q,"onboarded":true}}`, other)),
		s.log.SaveFloor(ctx, shard, []byte(`{"seq":901,"epoch":7}`)),
	} {
		if save != nil {
			t.Fatal(save)
		}
	}
	for range 2 { // the second start finds what the first has repaired
		s.log.Close()
		s.srv.Stop()
		s = start(t, dir, w, nil, nil)
		if _, ok := s.view.Service("shop", "carts"); !ok {
			t.Error("the service that the log knows is gone")
		}
		if _, ok := s.view.Service("shop", other); ok {
			t.Error("a service is there that the log does not know")
		}
		s.onboard(t, "carts")
		s.Stop()
		if err := s.log.LoadStates(ctx, func(b []byte) error {
			if strings.Contains(string(b), `"seq":90`) {
				t.Errorf("a snapshot is beyond the log still: %s", b)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	s.stop()
}
