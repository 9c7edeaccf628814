package nats

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// The disk fills, JetStream switches itself off, the disk has room again, and
// the server is restarted below the store: all that was acknowledged is there,
// and readers of the queue begin again with what is undecided.
func TestAFullDiskIsHealedInsideTheProcess(t *testing.T) {
	t.Parallel()
	dir := testenv.SmallDisk(t, 60<<20)
	srv, s := openTest(t, dir)
	defer srv.Stop()
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 3 {
		if _, err := s.Publish(ctx, "shop", "carts", fmt.Sprint(i), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	shard := s.Shard("shop", "carts")
	got := make(chan fairway.QueuedInput)
	read := make(chan error, 1)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	take := func(in fairway.QueuedInput) {
		select {
		case got <- in:
		case <-reading.Done():
		}
	}
	go func() { read <- s.Inputs(reading, shard, take) }()
	first := <-got // is not acknowledged

	free := testenv.Fill(t, dir)
	var last uint64
	body := make([]byte, 200<<10)
	rand.Read(body) // cannot be compressed
	for srv.Health() == nil {
		if ctx.Err() != nil {
			t.Fatal("the store did not notice that the disk is full: this test proves nothing")
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		seq, err := s.Append(short, shard, fairway.LogEntry{Project: "shop", Service: "carts", Delivery: "d", Body: body}, last)
		cancel()
		if err == nil {
			last = seq
			continue
		}
		if kind := fairway.KindOf(err); kind != fairway.KindFull && kind != fairway.KindUnavailable {
			t.Fatalf("an append to a full disk: %v", err)
		}
	}
	free()
	if srv.Health() == nil {
		t.Fatal("the store came back by itself: this test proves nothing")
	}
	if err := srv.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	for {
		if err := <-drained(got, read); fairway.IsRetryable(err) {
			break
		}
	}
	// The write that failed may have left a sequence without an entry.
	end, err := s.Last(ctx, shard)
	if err != nil || end < last {
		t.Fatalf("after the restart the log ends at %d (%v), and %d was acknowledged", end, err, last)
	}
	if at, err := s.Append(ctx, shard, fairway.LogEntry{Project: "shop", Service: "carts", Delivery: "d", Body: []byte("x")}, end); err != nil || at != end+1 {
		t.Fatalf("an append after the restart: sequence %d, %v; want %d", at, err, end+1)
	}
	go func() { read <- s.Inputs(reading, shard, take) }()
	for i := range uint64(3) {
		if in := <-got; in.Seq != first.Seq+i {
			t.Fatalf("input %d came after the restart, want %d", in.Seq, first.Seq+i)
		}
	}
	stop()
	<-read
}

// drained lets a reader go on until it has ended.
func drained(got <-chan fairway.QueuedInput, read <-chan error) <-chan error {
	out := make(chan error, 1)
	for {
		select {
		case <-got:
		case err := <-read:
			out <- err
			return out
		}
	}
}
