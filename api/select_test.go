package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// mixed is a Backend that tells of several projects at once.
type mixed struct {
	*memory
	changes chan api.Change
}

func (m *mixed) Watch(ctx context.Context, f func(api.Change) error) error {
	if err := f(api.Change{}); err != nil {
		return err
	}
	for {
		select {
		case c := <-m.changes:
			if err := f(c); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *mixed) Delivery(_ context.Context, id string) (fairway.Delivery, error) {
	return fairway.Delivery{ID: fairway.DeliveryID(id), Project: "shop", Service: "web"}, nil
}

func TestAWatchBringsWhatIsSelected(t *testing.T) {
	t.Parallel()
	event := func(seq uint64, project, service, delivery, kind string) api.StoredEvent {
		return api.StoredEvent{Seq: seq, Event: fairway.Event{Context: fairway.DeliveryID(delivery), Type: kind, Data: json.RawMessage(fmt.Sprintf(`{"project":%q,"service":%q}`, project, service))}}
	}
	change := api.Change{
		Events:   []api.StoredEvent{event(5, "shop", "web", "d1", "a"), event(6, "shop", "db", "d2", "b"), event(7, "other", "web", "d3", "a"), {Seq: 8, Event: fairway.Event{Type: "c", Data: json.RawMessage(`"text"`)}}},
		Progress: []api.Progress{{Delivery: "d1", Text: "p"}},
	}
	for q, want := range map[string]string{
		"":                         "5 6 7 8 p",
		"?project=shop":            "5 6 p",
		"?project=shop&service=db": "6",
		"?service=web":             "5 7 p",
		"?delivery=d1":             "5 p",
		"?type=a":                  "5 7",
		"?project=none":            "",
	} {
		t.Run(q, func(t *testing.T) {
			t.Parallel()
			m := &mixed{memory: newMemory(), changes: make(chan api.Change, 1)}
			s := httptest.NewServer(api.NewServer(m, api.ServerOptions{}))
			defer s.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/v1/watch"+q, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.Client().Do(r)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatal(resp, err)
			}
			defer resp.Body.Close()
			m.changes <- change
			var got []string
			for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
				if lines.Text() == "id: 8" && want == "" {
					return // the number comes alone
				}
				data, ok := strings.CutPrefix(lines.Text(), "data: ")
				if !ok {
					continue
				}
				var c api.Change
				if err := json.Unmarshal([]byte(data), &c); err != nil {
					t.Fatal(err)
				}
				for _, e := range c.Events {
					got = append(got, fmt.Sprint(e.Seq))
				}
				for _, p := range c.Progress {
					got = append(got, p.Text)
				}
				if len(got) > 0 {
					break
				}
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("brought %q, want %q", text, want)
			}
		})
	}
}
