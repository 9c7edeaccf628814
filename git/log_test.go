package git_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/git"
)

func TestLogGoesOn(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), git.Options{})
	create(t, s, "sockshop")
	for i := range 5 {
		q := set("file", fmt.Sprint(i))
		q.Info = info(fmt.Sprintf("Change %d\n\nSince it was asked for.", i))
		q.Info.Author = "ann"
		if i%2 == 0 {
			q.Key, q.Info.Trailers = fmt.Sprint("key", i), [][2]string{{git.DeliveryTrailer, fmt.Sprint("delivery", i)}}
		}
		commit(t, s, "dev", q)
	}
	var subjects []string
	after := ""
	for {
		lines, more, err := s.LogAfter(t.Context(), "sockshop", "dev", after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			subjects = append(subjects, l.Subject+" "+string(l.Delivery))
			if l.Subject[:6] == "Change" && (l.Body() != "Since it was asked for." || l.Author != "ann" || len(l.Parents) != 1) {
				t.Errorf("%+v, body %q", l, l.Body())
			}
		}
		if !more {
			break
		}
		after = lines[len(lines)-1].Hash
	}
	want := []string{"Change 4 delivery4", "Change 3 ", "Change 2 delivery2", "Change 1 ", "Change 0 delivery0"}
	if len(subjects) < 6 || !slices.Equal(subjects[:5], want) {
		t.Errorf("%q", subjects)
	}
	tip := tips(t, s)["dev"]
	if _, _, err := s.LogAfter(t.Context(), "sockshop", "main", tip, 2); fairway.KindOf(err) != fairway.KindNotFound {
		t.Errorf("behind a commit of another branch: %v", err)
	}
}
