package git

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// shop opens a store with one project, for tests that look inside.
func shop(t testing.TB, o Options) (*Store, *repo) {
	t.Helper()
	o.NoSync = true
	s, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), "shop", map[string]map[string][]byte{"main": nil}, testInfo); err != nil {
		t.Fatal(err)
	}
	r, err := s.repo(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

var testInfo = CommitInfo{Message: "m", When: time.Unix(1, 0)}

// A panic in one Edit is the panic of the one who passed it; those whose
// commits are joined with it go on.
func TestEditPanics(t *testing.T) {
	t.Parallel()
	s, r := shop(t, Options{})
	request := func(f func() string) CommitRequest {
		return CommitRequest{Info: testInfo, Edit: func(*Snapshot) (map[string][]byte, error) {
			return map[string][]byte{"a": []byte(f())}, nil
		}}
	}
	r.lock <- struct{}{} // so that all wait, and are one batch
	const n = 6
	got := make([]any, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			defer func() { got[i] = recover() }()
			_, _, err := s.Commit(t.Context(), "shop", "main", request(func() string {
				if i == 0 {
					panic("boom")
				}
				return fmt.Sprint(i)
			}))
			if err != nil {
				t.Error(err)
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		r.queueMu.Lock()
		waiting := len(r.queue)
		r.queueMu.Unlock()
		if waiting == n {
			break
		}
	}
	<-r.lock
	wg.Wait()
	for i, v := range got {
		if want := map[bool]any{true: "boom"}[i == 0]; v != want {
			t.Errorf("writer %d ended with the panic %v, want %v", i, v, want)
		}
	}
	if lines, err := s.Log(t.Context(), "shop", "main", 100); err != nil || len(lines) != n {
		t.Errorf("%d commits, error %v", len(lines), err)
	}
}

// A reader that looks into a pack while it is merged into another one finds
// its object there.
func TestReadersOutliveMerges(t *testing.T) {
	t.Parallel()
	s, r := shop(t, Options{CacheSize: 1})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				tip, _ := r.refs.Load().branch("main")
				if _, err := r.object(tip); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 60 {
		q := CommitRequest{Info: testInfo, Edit: func(*Snapshot) (map[string][]byte, error) {
			return map[string][]byte{"a": fmt.Append(nil, i)}, nil
		}}
		if _, _, err := s.Commit(t.Context(), "shop", "main", q); err != nil {
			t.Fatal(err)
		}
		if err := s.Repack(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
}
