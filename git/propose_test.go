package git

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

// A proposed change is refused, tried or followed as a push is, and stays
// noted until what it causes is stored.
func TestPropose(t *testing.T) {
	t.Parallel()
	var refused, broken error
	var told []Push
	s, err := Open(t.TempDir(), Options{
		Logger:    slog.New(slog.DiscardHandler),
		CheckPush: func(context.Context, Push) error { return refused },
		AfterPush: func(_ context.Context, p Push) error { told = append(told, p); return broken },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	info := CommitInfo{Message: "m", When: time.Unix(1, 0)}
	if err := s.Create(t.Context(), "shop", map[string]map[string][]byte{"main": {"f": []byte("1")}}, info); err != nil {
		t.Fatal(err)
	}
	propose := func(text string, dryRun bool) (Push, bool, error) {
		return s.Propose(WithActor(t.Context(), "eva"), "shop", "main", CommitRequest{Info: info, Edit: func(*Snapshot) (map[string][]byte, error) {
			return map[string][]byte{"f": []byte(text)}, nil
		}}, dryRun)
	}
	want := func(text string, notes int) {
		t.Helper()
		snap, err := s.Read(t.Context(), "shop", "main")
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := snap.File("f"); string(got) != text {
			t.Errorf("main has %q, want %q", got, text)
		}
		left, err := s.Unhandled(t.Context())
		if err != nil || len(left) != notes {
			t.Errorf("%d changes are noted (%v), want %d", len(left), err, notes)
		}
	}
	if _, changed, err := propose("1", false); changed || err != nil || len(told) != 0 {
		t.Errorf("the same content: changed %v, told %v, %v", changed, told, err)
	}
	if _, changed, err := propose("2", true); !changed || err != nil || len(told) != 0 {
		t.Errorf("a dry run: changed %v, told %v, %v", changed, told, err)
	}
	want("1", 0)
	refused = errors.New("no")
	if _, _, err := propose("2", true); !errors.Is(err, refused) {
		t.Errorf("a refused dry run: %v", err)
	}
	if _, _, err := propose("2", false); !errors.Is(err, refused) {
		t.Errorf("a refused change: %v", err)
	}
	want("1", 0)
	refused, broken = nil, errors.New("the log is full")
	if _, _, err := propose("2", false); fairway.KindOf(err) != fairway.KindUnavailable {
		t.Errorf("a change that is stored and not followed: %v", err)
	}
	want("2", 1)
	broken = nil
	p, changed, err := propose("3", false)
	if !changed || err != nil || p.Actor != "eva" || len(told) != 2 || told[1].New != p.New || told[1].Old != p.Old {
		t.Errorf("changed %v, %+v, told %v, %v", changed, p, told, err)
	}
	want("3", 1)
	if _, _, err := s.Commit(t.Context(), "shop", "main", CommitRequest{Info: info, Key: "k", Edit: func(*Snapshot) (map[string][]byte, error) {
		return map[string][]byte{"f": []byte("4")}, nil
	}}); err != nil {
		t.Error(err)
	}
	want("4", 1)
}
