package blob

import (
	"testing"

	"github.com/fairwaycd/fairway"
)

func TestPutGet(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"old", "new"} {
		if err := s.Put(t.Context(), "a.staging.1", []byte(body)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), "a.staging.1"); err != nil || string(got) != body {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if _, err := s.Get(t.Context(), "b"); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("a blob that is not there: %v", err)
	}
	if err := s.Put(t.Context(), "../a", nil); fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("a name that leaves the directory: %v", err)
	}
}
