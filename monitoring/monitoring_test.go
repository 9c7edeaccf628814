package monitoring

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

func TestStore(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "monitoring.json")
	open := func() *Store {
		t.Helper()
		s, err := Open(file)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	all := fairway.Connection{Kind: fairway.KindPrometheus, URL: "http://all"}
	own := fairway.Connection{Kind: fairway.KindPrometheus, Project: "shop", URL: "http://own", Token: "s3cret", Headers: map[string]fairway.Secret{"X": "h34der"}}
	for _, c := range []fairway.Connection{own, {Kind: fairway.KindPrometheus, URL: "http://old"}, all} {
		if err := s.Put(c); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, s := range []*Store{s, open()} {
		if c, ok := s.For(fairway.KindPrometheus, "shop"); !ok || c.URL != own.URL || c.Token != own.Token || c.Headers["X"] != "h34der" {
			t.Errorf("of the project: %v, %t", c, ok)
		}
		if c, ok := s.For(fairway.KindPrometheus, "other"); !ok || c.URL != all.URL {
			t.Errorf("of another project: %v, %t", c, ok)
		}
		if _, ok := s.For(fairway.KindDynatrace, "shop"); ok || len(s.All()) != 2 {
			t.Errorf("there are %v", s.All())
		}
	}
	if _, err := s.Remove(fairway.KindPrometheus, "shop"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(fairway.KindPrometheus, "shop"); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("removed twice: %v", err)
	}
	if c, ok := open().For(fairway.KindPrometheus, "shop"); !ok || c.URL != all.URL {
		t.Errorf("after that: %v, %t", c, ok)
	}
	if err := os.WriteFile(file, []byte(`[{"token": "s3cret", `), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a damaged file: %v", err)
	}
}
