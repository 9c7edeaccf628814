package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

var _ fairway.Log = (*Store)(nil)

func openTest(t *testing.T, dir string) (*Server, *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	srv, err := StartServer(ctx, ServerOptions{Dir: dir, Logger: slog.New(slog.DiscardHandler), Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := srv.Connect()
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(ctx, nc, StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return srv, s
}

func TestAppendIsFencedAndReplayedInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv, s := openTest(t, dir)
	ctx := t.Context()
	var last uint64
	for i := range 300 {
		e := fairway.LogEntry{Project: "shop", Service: "carts", Delivery: fairway.DeliveryID(fmt.Sprint("d", i%3)), Body: []byte(fmt.Sprint(i))}
		seq, err := s.Append(ctx, 2, e, last)
		if err != nil {
			t.Fatal(err)
		}
		last = seq
	}
	if _, err := s.Append(ctx, 2, fairway.LogEntry{Project: "shop", Service: "carts"}, last-1); !errors.Is(err, fairway.ErrFenced) {
		t.Fatalf("an append behind another one: %v, want ErrFenced", err)
	}
	s.Close()
	srv.Stop()
	srv, s = openTest(t, dir)
	defer srv.Stop()
	defer s.Close()
	if got, err := s.Last(ctx, 2); err != nil || got != last {
		t.Fatalf("after a restart the last sequence is %d (%v), want %d", got, err, last)
	}
	n := 0
	if err := s.Replay(ctx, 2, 1, func(e fairway.LogEntry) error {
		if string(e.Body) != fmt.Sprint(n) {
			return fmt.Errorf("entry %d holds %s", n, e.Body)
		}
		n++
		return nil
	}); err != nil || n != 300 {
		t.Fatalf("replayed %d: %v", n, err)
	}
	n = 0
	if err := s.History(ctx, "shop", "carts", "d1", func(fairway.LogEntry) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	if shardOf("shop", "carts") == 2 && n != 100 {
		t.Errorf("history has %d entries, want 100", n)
	}
}

func TestInputsComeAgainUntilAcknowledged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv, s := openTest(t, dir)
	for i := range 3 {
		if _, err := s.Publish(t.Context(), "shop", "carts", fmt.Sprint("id", i), []byte(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	read := func(s *Store, ack bool) (bodies string) {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Inputs(ctx, shardOf("shop", "carts"), func(in fairway.QueuedInput) {
			bodies += string(in.Body)
			if ack {
				if err := in.Ack(); err != nil {
					t.Error(err)
				}
			}
			if len(bodies) == 3 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		return bodies
	}
	if got := read(s, false); got != "012" {
		t.Fatalf("read %q", got)
	}
	s.Close()
	srv.Stop()
	srv, s = openTest(t, dir)
	defer srv.Stop()
	defer s.Close()
	if got := read(s, true); got != "012" {
		t.Fatalf("after a restart read %q", got)
	}
}

func TestSnapshotsAndSeenTags(t *testing.T) {
	t.Parallel()
	srv, s := openTest(t, t.TempDir())
	defer srv.Stop()
	defer s.Close()
	ctx := t.Context()
	if err := s.SaveState(ctx, "shop", "carts", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveState(ctx, "shop", "carts", []byte("new")); err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := s.LoadStates(ctx, func(b []byte) error { got = append(got, string(b)); return nil }); err != nil || fmt.Sprint(got) != "[new]" {
		t.Fatalf("states %v, %v", got, err)
	}
	a := fairway.Artifact{Image: "x/carts", Tag: "1", Digest: "sha256:1"}
	if d, _, err := s.Seen(ctx, a); err != nil || d != "" {
		t.Fatalf("seen %q, %v", d, err)
	}
	for _, want := range []bool{false, true} {
		if err := s.MarkSeen(ctx, a, want); err != nil {
			t.Fatal(err)
		}
		if d, wanted, err := s.Seen(ctx, a); err != nil || d != a.Digest || wanted != want {
			t.Fatalf("seen %q, wanted %v, %v", d, wanted, err)
		}
	}
}

// A reader that stays behind counts against the stream's limit of consumers:
// people who look at deliveries would end all reading for minutes.
func TestReadingLeavesNoConsumersBehind(t *testing.T) {
	t.Parallel()
	srv, s := openTest(t, t.TempDir())
	defer srv.Stop()
	defer s.Close()
	ctx := t.Context()
	shard := shardOf("shop", "cart")
	if _, err := s.Append(ctx, shard, fairway.LogEntry{Project: "shop", Service: "cart", Delivery: "d", Body: []byte("x")}, 0); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		n := 0
		if err := s.History(ctx, "shop", "cart", "d", func(fairway.LogEntry) error { n++; return nil }); err != nil || n != 1 {
			t.Fatal(n, err)
		}
	}
	st, err := s.js.Stream(ctx, logName(shard))
	if err != nil {
		t.Fatal(err)
	}
	if n := st.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers are left", n)
	}
}

// How far the queue was read is written in place; torn, it must not keep the
// next start from reading what nobody has decided.
func TestATornConsumerDoesNotStopTheQueue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv, s := openTest(t, dir)
	shard := shardOf("shop", "cart")
	one := func(s *Store, ack bool) (body string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := s.Inputs(ctx, shard, func(in fairway.QueuedInput) {
			if body == "" {
				body = string(in.Body)
			}
			if ack && string(in.Body) == "decided" {
				if err := in.Ack(); err != nil {
					t.Error(err)
				}
			}
			cancel()
		})
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		return body
	}
	for _, body := range []string{"decided", "undecided"} {
		if _, err := s.Publish(t.Context(), "shop", "cart", body, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	one(s, true)
	s.Close()
	srv.Stop()
	states, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "IN", "obs", "*", "o.dat"))
	if err != nil || len(states) == 0 {
		t.Fatal("no state of a consumer is stored", err)
	}
	for _, file := range states {
		if err := os.WriteFile(file, []byte("\x16\x02torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	srv, s = openTest(t, dir)
	defer srv.Stop()
	defer s.Close()
	if got := one(s, false); got != "undecided" {
		t.Errorf("the queue gives %q", got)
	}
}
