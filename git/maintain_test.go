package git_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
)

func packCount(t testing.TB, dir string) (n int, size int64) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "sockshop.git/objects/pack/*.pack"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			n++
			size += info.Size()
		}
	}
	return n, size
}

// values is a values file of many services, of which one changes at a time.
func values(services, version int) string {
	var b strings.Builder
	for i := range services {
		v := 0
		if i == version%services {
			v = version
		}
		fmt.Fprintf(&b, "service%d:\n  image: registry.example.org/shop/service%d@sha256:%x\n", i, i, sha256.Sum256([]byte{byte(i), byte(v)}))
	}
	return b.String()
}

// Everything stays readable while packs are merged under readers and writers.
func TestMaintain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{NoSync: true, CacheSize: 1})
	create(t, s, "sockshop")
	ctx, cancel := context.WithCancel(t.Context())
	var loops, readers sync.WaitGroup
	loops.Go(func() { s.Maintain(ctx) })
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				log, err := s.Log(ctx, "sockshop", "dev", 10)
				if err != nil {
					t.Error(err)
					return
				}
				for _, l := range log {
					snap, err := s.Read(ctx, "sockshop", l.Hash)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := snap.Files(""); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	const n = 120
	hashes := make([]string, n)
	for i := range n {
		hashes[i] = commit(t, s, "dev", set("helm-chart/values.yaml", values(20, i)))
	}
	close(stop)
	readers.Wait()
	cancel()
	loops.Wait()
	packs, size := packCount(t, dir)
	t.Logf("%d packs of %d bytes for %d commits", packs, size, n)
	if packs > 100 {
		t.Errorf("%d packs are left", packs)
	}
	for i, h := range hashes {
		if got := file(t, s, h, "helm-chart/values.yaml"); got != values(20, i) {
			t.Fatalf("commit %d is damaged", i)
		}
	}
	fsck(t, dir)
	again := open(t, dir, git.Options{})
	if got := file(t, again, "dev", "helm-chart/values.yaml"); got != values(20, n-1) {
		t.Error("after a restart the tip is another one")
	}
	c := newClient(t, serve(t, s), "-b", "dev")
	c.ok("fsck", "--full", "--strict")
	if got := c.count(); got != fmt.Sprint(n+2) {
		t.Errorf("the clone has %s commits", got)
	}
}

// A merged history takes little room, and its deltas go to clients as they are.
func TestRepackStoresDifferences(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{NoSync: true})
	create(t, s, "sockshop")
	for i := range 100 {
		commit(t, s, "dev", set("helm-chart/values.yaml", values(100, i)))
	}
	_, before := packCount(t, dir)
	for range 2 { // the second time there is nothing to do
		if err := s.Repack(t.Context(), "sockshop"); err != nil {
			t.Fatal(err)
		}
	}
	packs, after := packCount(t, dir)
	t.Logf("%d bytes became %d", before, after)
	if packs != 1 || after*5 > before {
		t.Errorf("%d packs with %d bytes, %d before", packs, after, before)
	}
	fsck(t, dir)
	commit(t, s, "dev", set("helm-chart/values.yaml", values(100, 100)))
	if err := s.Repack(t.Context(), "sockshop"); err != nil {
		t.Fatal(err)
	}
	fsck(t, dir)
	if err := s.Repack(t.Context(), "nosuch"); fairway.KindOf(err) != fairway.KindNotFound {
		t.Error(err)
	}
	for i, l := range mustLog(t, s, "dev", 100) {
		if got := file(t, s, l.Hash, "helm-chart/values.yaml"); got != values(100, 100-i) {
			t.Fatalf("commit %d is damaged", i)
		}
	}
	c := newClient(t, "--single-branch", "-b", "dev", serve(t, s))
	c.ok("fsck", "--full", "--strict")
}

// Nobody runs Maintain: the number of packs stays bounded all the same.
func TestWritersMergeWhenNobodyElseDoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, git.Options{NoSync: true})
	create(t, s, "sockshop")
	for i := range 230 {
		commit(t, s, "dev", set("a", fmt.Sprint(i)))
	}
	if packs, _ := packCount(t, dir); packs > 201 {
		t.Errorf("%d packs", packs)
	}
	fsck(t, dir)
}

func mustLog(t testing.TB, s *git.Store, branch string, n int) []git.CommitLine {
	t.Helper()
	lines, err := s.Log(t.Context(), "sockshop", branch, n)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}
