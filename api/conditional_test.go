package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/cloudevents"
)

// drawer keeps answers in memory.
type drawer struct {
	mu   sync.Mutex
	kept map[string]api.Answer
	fail error
}

func (d *drawer) Answer(_ context.Context, name string) (api.Answer, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, ok := d.kept[name]
	return a, ok, nil
}

func (d *drawer) Keep(_ context.Context, name string, a api.Answer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail == nil {
		d.kept[name] = a
	}
	return d.fail
}

// changing is a Backend whose project and connections change.
type changing struct {
	*memory
	mu      sync.Mutex
	commit  string
	contact time.Time
	url     string
	sent    []api.SendArtifact
}

func (c *changing) Project(_ context.Context, p fairway.ProjectName) (api.Project, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return api.Project{Name: p, Commit: c.commit, Upstream: &fairway.UpstreamState{URL: "https://git", Contact: c.contact}}, nil
}

func (c *changing) UpdateProject(_ context.Context, u api.UpdateProject) (api.ProjectUpdate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commit = u.Shipyard
	return api.ProjectUpdate{}, nil
}

func (c *changing) Monitoring(context.Context, fairway.ProjectName) ([]api.Monitoring, error) {
	if c.url == "" {
		return nil, nil
	}
	return []api.Monitoring{{Kind: "prometheus", URL: c.url}}, nil
}

func (c *changing) ConfigureMonitoring(_ context.Context, x fairway.Connection) (api.Monitoring, error) {
	c.url = x.URL
	return api.MonitoringOf(x), nil
}

func (c *changing) SendArtifact(_ context.Context, a api.SendArtifact) (api.Accepted, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.Tag == "bad" {
		return api.Accepted{}, fairway.Errorf(fairway.KindRefused, "no")
	}
	c.sent = append(c.sent, a)
	return api.Accepted{ID: a.ID, Reason: fmt.Sprint("request ", len(c.sent))}, nil
}

// request asks with headers given as pairs of name and value.
func request(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/api/v1/"+target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestWhatIsTheSameIsNotSentAgain(t *testing.T) {
	t.Parallel()
	c := &changing{memory: newMemory(), commit: "1"}
	h := api.NewServer(c, api.ServerOptions{})
	first := request(h, "GET", "projects/shop", "")
	tag := first.Header().Get("ETag")
	if first.Code != 200 || tag == "" {
		t.Fatalf("%d, ETag %q", first.Code, tag)
	}
	for _, header := range []string{tag, `"other", W/` + tag, "*"} {
		if w := request(h, "GET", "projects/shop", "", "If-None-Match", header); w.Code != 304 || w.Body.Len() > 0 || w.Header().Get("ETag") != tag {
			t.Errorf("If-None-Match %s: %d %q", header, w.Code, w.Body)
		}
	}
	c.contact = when
	if w := request(h, "GET", "projects/shop", "", "If-None-Match", tag); w.Code != 200 {
		t.Errorf("after a change: %d", w.Code)
	}
	if w := request(h, "HEAD", "projects/shop", "", "If-None-Match", `"x"`); w.Code != 200 || w.Header().Get("ETag") == "" {
		t.Errorf("HEAD: %d", w.Code)
	}
}

func TestAChangeOfSomethingElseIsRefused(t *testing.T) {
	t.Parallel()
	c := &changing{memory: newMemory(), commit: "1"}
	h := api.NewServer(c, api.ServerOptions{})
	tag := request(h, "GET", "projects/shop", "").Header().Get("ETag")
	c.contact = when // which nobody has set
	if w := request(h, "PUT", "projects/shop", `{"shipyard":"2"}`, "If-Match", tag); w.Code != 200 {
		t.Errorf("the state that was looked at: %d %s", w.Code, w.Body)
	}
	w := request(h, "PUT", "projects/shop", `{"shipyard":"3"}`, "If-Match", tag)
	if d := problemOf(t, w); w.Code != 412 || d.Kind != fairway.KindConflict || c.commit != "2" {
		t.Errorf("another state: %d %s, now %s", w.Code, w.Body, c.commit)
	}
	if w := request(h, "PUT", "projects/shop", `{"shipyard":"4"}`); w.Code != 200 || c.commit != "4" {
		t.Errorf("without a condition: %d %s", w.Code, w.Body)
	}
	if w := request(h, "PUT", "monitoring/prometheus", `{"url":"http://p"}`, "If-Match", "*"); w.Code != 412 || c.url != "" {
		t.Errorf("what is not there: %d %s", w.Code, w.Body)
	}
	if w := request(h, "PUT", "projects/shop/services/web", `{}`, "If-Match", tag); w.Code != 422 {
		t.Errorf("a condition that is not looked at: %d %s", w.Code, w.Body)
	}
	var done sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	tag = request(h, "GET", "projects/shop", "").Header().Get("ETag")
	for i := range 8 {
		done.Go(func() {
			w := request(h, "PUT", "projects/shop", fmt.Sprintf(`{"shipyard":"at once %d"}`, i), "If-Match", tag)
			mu.Lock()
			defer mu.Unlock()
			codes[w.Code]++
		})
	}
	done.Wait()
	if codes[200] != 1 || codes[412] != 7 {
		t.Errorf("of eight with the same tag: %v", codes)
	}
}

func TestARepetitionIsAnsweredAsTheFirst(t *testing.T) {
	t.Parallel()
	const target = "projects/shop/services/web/artifacts"
	c := &changing{memory: newMemory()}
	kept := &drawer{kept: map[string]api.Answer{}}
	h := api.NewServer(c, api.ServerOptions{Answers: kept, ReadEvents: cloudevents.Read})
	send := func(body, key string) *httptest.ResponseRecorder {
		return request(h, "POST", target, body, "Idempotency-Key", key)
	}
	first := send(`{"image":"i","tag":"1"}`, "k1")
	again := send(`{"image":"i","tag":"1"}`, "k1")
	if first.Code != 202 || again.Code != 202 || first.Body.String() != again.Body.String() || len(c.sent) != 1 || again.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("first %d %s, again %d %s, sent %d", first.Code, first.Body, again.Code, again.Body, len(c.sent))
	}
	if !strings.HasPrefix(c.sent[0].ID, "key-") {
		t.Errorf("the request's id is %q, not its key", c.sent[0].ID)
	}
	if w := send(`{"image":"i","tag":"2"}`, "k1"); w.Code != 422 || len(c.sent) != 1 {
		t.Errorf("another body: %d %s", w.Code, w.Body)
	}
	if w := send(`{"image":"i","tag":"bad"}`, "k2"); w.Code != 409 {
		t.Errorf("refused: %d", w.Code)
	}
	if w := send(`{"image":"i","tag":"2"}`, "k2"); w.Code != 202 { // nothing was done under it
		t.Errorf("the key of what was refused: %d %s", w.Code, w.Body)
	}
	if w := send(`{"image":"i","tag":"3"}`, strings.Repeat("k", 256)); w.Code != 422 {
		t.Errorf("a long key: %d", w.Code)
	}
	kept.fail = errors.New("disk")
	if w := send(`{"image":"i","tag":"4"}`, "k3"); w.Code != 202 { // it is done all the same
		t.Errorf("an answer that cannot be kept: %d", w.Code)
	}
	kept.fail = nil
	before := len(c.sent)
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() { send(`{"image":"i","tag":"5"}`, "k4") })
	}
	done.Wait()
	if len(c.sent) != before+1 {
		t.Errorf("of eight at once %d were done", len(c.sent)-before)
	}
	if w := request(api.NewServer(c, api.ServerOptions{}), "POST", target, "{}", "Idempotency-Key", "k"); w.Code != 422 {
		t.Errorf("a server that keeps none: %d", w.Code)
	}
}
