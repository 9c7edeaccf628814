package git_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
)

// BenchmarkCommit measures durable commits of one image tag into a values
// file among those of 50 services, with packs being merged.
func BenchmarkCommit(b *testing.B) {
	for _, c := range []struct {
		name              string
		writers, projects int
		noSync            bool
	}{
		{"1writer", 1, 1, false},
		{"16writers/1branch", 16, 1, false},
		{"16writers/16projects", 16, 16, false},
		{"1writer/nosync", 1, 1, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := open(b, b.TempDir(), git.Options{NoSync: c.noSync})
			go s.Maintain(b.Context())
			projects := benchProjects(b, s, c.projects)
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for w := range c.writers {
				wg.Go(func() {
					for n := left.Add(-1); n >= 0; n = left.Add(-1) {
						q := set(fmt.Sprintf("service%d/values.yaml", w), fmt.Sprintf("image: shop/carts:%d\n", n))
						q.Key = fmt.Sprint("delivery/configure/", n)
						if _, changed, err := s.Commit(b.Context(), projects[w%c.projects], "dev", q); err != nil || !changed {
							b.Error(changed, err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

func benchProjects(b *testing.B, s *git.Store, n int) []fairway.ProjectName {
	b.Helper()
	files := map[string][]byte{}
	for i := range 50 {
		files[fmt.Sprintf("service%d/values.yaml", i)] = []byte("image: none\n")
		files[fmt.Sprintf("service%d/perfspec/perfspec.json", i)] = []byte("{}\n")
	}
	var projects []fairway.ProjectName
	for i := range n {
		p := fairway.ProjectName(fmt.Sprint("shop", i))
		if err := s.Create(b.Context(), p, map[string]map[string][]byte{"main": nil, "dev": files}, info("create")); err != nil {
			b.Fatal(err)
		}
		projects = append(projects, p)
	}
	return projects
}

// BenchmarkRead measures one file of a branch's tip.
func BenchmarkRead(b *testing.B) {
	s := open(b, b.TempDir(), git.Options{NoSync: true})
	p := benchProjects(b, s, 1)[0]
	for b.Loop() {
		snap, err := s.Read(b.Context(), p, "dev")
		if err != nil {
			b.Fatal(err)
		}
		if _, ok, err := snap.File("service7/values.yaml"); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
