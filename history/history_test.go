package history_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/blob"
	"github.com/fairwaycd/fairway/history"
)

func open(t testing.TB, dir string) *history.Store {
	t.Helper()
	b, err := blob.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := history.Open(t.Context(), filepath.Join(dir, "index"), b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func evaluation(n int, stage fairway.StageName, v fairway.Verdict) fairway.Evaluation {
	return fairway.Evaluation{ID: fmt.Sprintf("e%04d", n), Verdict: v, EvaluatedAt: time.Unix(int64(n), 0).UTC(),
		Subject: fairway.Subject{Project: "sockshop", Stage: stage, Version: fmt.Sprint(n), Delivery: fairway.DeliveryID(fmt.Sprintf("d%d", n)), Place: fairway.Place{Service: "carts"}}}
}

func put(t testing.TB, s *history.Store, es ...fairway.Evaluation) {
	t.Helper()
	for _, e := range es {
		if err := s.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func ids(t *testing.T, s *history.Store, f fairway.EvaluationFilter) (out string) {
	t.Helper()
	p, err := s.List(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range p.Items {
		out += e.ID + " "
	}
	return out + p.Next
}

func earlier(t *testing.T, s *history.Store, self string, n int, vs ...fairway.Verdict) (out string) {
	t.Helper()
	es, err := s.Earlier(t.Context(), evaluation(0, "staging", "").Subject, self, vs, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		out += e.ID + " "
	}
	return out
}

func TestListsAreReadInPages(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for n := 1; n <= 5; n++ {
		put(t, s, evaluation(n, "staging", fairway.VerdictPass))
	}
	put(t, s, evaluation(6, "dev", fairway.VerdictFail))
	f := fairway.EvaluationFilter{Project: "sockshop", Service: "carts", Stage: "staging", Limit: 2}
	got := ids(t, s, f)
	if got != "e0005 e0004 4" {
		t.Fatal(got)
	}
	put(t, s, evaluation(7, "staging", fairway.VerdictPass)) // moves no page that follows
	f.Before = "4"
	if got = ids(t, s, f); got != "e0003 e0002 2" {
		t.Error(got)
	}
	f.Before = "2"
	if got = ids(t, s, f); got != "e0001 " {
		t.Error(got)
	}
	if got = ids(t, s, fairway.EvaluationFilter{Verdict: fairway.VerdictFail}); got != "e0006 " {
		t.Error(got)
	}
	if _, err := s.List(fairway.EvaluationFilter{Before: "x"}); fairway.KindOf(err) != fairway.KindInvalid {
		t.Error(err)
	}
}

// TestASecondEvaluationOfARunTakesItsPlace, its invalidation included.
func TestASecondEvaluationOfARunTakesItsPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, evaluation(1, "staging", fairway.VerdictPass), evaluation(2, "staging", fairway.VerdictPass))
	if err := s.Invalidate("e0001", fairway.Invalidation{Actor: "ann", Reason: "wrong load"}); err != nil {
		t.Fatal(err)
	}
	put(t, s, evaluation(1, "staging", fairway.VerdictWarning))
	for _, s := range []*history.Store{s, open(t, dir)} {
		if got := ids(t, s, fairway.EvaluationFilter{}); got != "e0002 e0001 " {
			t.Error(got)
		}
		e, err := s.Get(t.Context(), "e0001")
		if err != nil || e.Verdict != fairway.VerdictWarning || e.Invalidated == nil || e.Invalidated.Reason != "wrong load" {
			t.Errorf("%+v %v", e, err)
		}
	}
	if err := s.Invalidate("e0009", fairway.Invalidation{}); fairway.KindOf(err) != fairway.KindNotFound {
		t.Error(err)
	}
}

func TestEarlierOnes(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	put(t, s, evaluation(1, "staging", fairway.VerdictPass), evaluation(2, "staging", fairway.VerdictFail), evaluation(3, "dev", fairway.VerdictPass),
		evaluation(4, "staging", fairway.VerdictPass), evaluation(5, "staging", fairway.VerdictPass))
	if got := earlier(t, s, "e0005", 9, fairway.VerdictPass); got != "e0004 e0001 " {
		t.Error(got)
	}
	if got := earlier(t, s, "", 2, fairway.VerdictPass, fairway.VerdictFail); got != "e0005 e0004 " {
		t.Error(got)
	}
	if err := s.Invalidate("e0004", fairway.Invalidation{Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	if got := earlier(t, s, "e0005", 9, fairway.VerdictPass); got != "e0001 " {
		t.Error(got)
	}
}

// TestWhatACrashCutsOffIsDropped: the step that wrote it is done again.
func TestWhatACrashCutsOffIsDropped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, open(t, dir), evaluation(1, "staging", fairway.VerdictPass), evaluation(2, "staging", fairway.VerdictPass))
	path := filepath.Join(dir, "index")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < 60; cut += 7 {
		if err := os.WriteFile(path, whole[:len(whole)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		if got := ids(t, s, fairway.EvaluationFilter{}); got != "e0001 " {
			t.Errorf("%d bytes less: %s", cut, got)
		}
		put(t, s, evaluation(2, "staging", fairway.VerdictPass))
		if got := ids(t, open(t, dir), fairway.EvaluationFilter{}); got != "e0002 e0001 " {
			t.Errorf("%d bytes less, and again: %s", cut, got)
		}
	}
}

func TestRemovedOnesAreGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, evaluation(1, "staging", fairway.VerdictPass), evaluation(2, "dev", fairway.VerdictPass), evaluation(3, "staging", fairway.VerdictPass))
	if err := s.RemoveDelivery(t.Context(), "d1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "e0001"); fairway.KindOf(err) != fairway.KindNotFound {
		t.Error(err)
	}
	for _, s := range []*history.Store{s, open(t, dir)} {
		if got := ids(t, s, fairway.EvaluationFilter{}); got != "e0003 e0002 " {
			t.Error(got)
		}
	}
}

// TestTheIndexIsMadeAnew from what lies among the blobs.
func TestTheIndexIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, open(t, dir), evaluation(2, "staging", fairway.VerdictPass), evaluation(1, "staging", fairway.VerdictPass))
	if err := os.WriteFile(filepath.Join(dir, "blobs", "test.d.staging.1.json"), []byte(`{"passed": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "index")); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, open(t, dir), fairway.EvaluationFilter{}); got != "e0002 e0001 " {
		t.Error(got)
	}
}
