package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func newConsole(w *world) http.Handler {
	return New(w, Options{CSRF: func(context.Context) string { return "tok<en" }, Now: func() time.Time { return noon }})
}

// answer is a page, parsed.
type answer struct {
	*httptest.ResponseRecorder
	root *html.Node
}

func get(t *testing.T, h http.Handler, path string) answer {
	t.Helper()
	return ask(t, h, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
}

func ask(t *testing.T, h http.Handler, r *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	root, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return answer{w, root}
}

// find returns the nodes that a selector names: steps separated by spaces,
// each TAG.CLASS, TAG#ID or TAG[KEY=VALUE] with every part optional.
func (a answer) find(selector string) []*html.Node {
	nodes := []*html.Node{a.root}
	for step := range strings.FieldsSeq(selector) {
		var next []*html.Node
		seen := map[*html.Node]bool{}
		for _, n := range nodes {
			for d := range n.Descendants() {
				if d.Type == html.ElementNode && !seen[d] && matches(d, step) {
					seen[d] = true
					next = append(next, d)
				}
			}
		}
		nodes = next
	}
	return nodes
}

func matches(n *html.Node, step string) bool {
	if rest, condition, ok := strings.Cut(step, "["); ok {
		key, value, hasValue := strings.Cut(strings.TrimSuffix(condition, "]"), "=")
		got, has := attribute(n, key)
		if !has || hasValue && got != value {
			return false
		}
		step = rest
	}
	if tag, id, ok := strings.Cut(step, "#"); ok {
		got, _ := attribute(n, "id")
		return got == id && (tag == "" || n.Data == tag)
	}
	tag, class, ok := strings.Cut(step, ".")
	if tag != "" && n.Data != tag {
		return false
	}
	if !ok {
		return true
	}
	classes, _ := attribute(n, "class")
	return strings.Contains(" "+classes+" ", " "+class+" ")
}

func attribute(n *html.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// texts returns what the nodes of a selector say.
func (a answer) texts(selector string) []string {
	var out []string
	for _, n := range a.find(selector) {
		out = append(out, text(n))
	}
	return out
}

func (a answer) want(t *testing.T, selector string, texts ...string) {
	t.Helper()
	got := a.texts(selector)
	if len(got) != len(texts) {
		t.Errorf("%s: %d of %d: %q", selector, len(got), len(texts), got)
		return
	}
	for i, want := range texts {
		if !strings.Contains(got[i], want) {
			t.Errorf("%s, number %d: %q lacks %q", selector, i+1, got[i], want)
		}
	}
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	h := newConsole(newWorld())
	a := get(t, h, "/deliveries/second-delivery")
	a.want(t, "h1", "carts 0.6.1-2 rejected")
	a.want(t, "p.lead", slowWhy)
	a.want(t, "ol.path li", "dev done", "staging stopped")
	a.want(t, "section.stage h2", "staging green 1 min 30 s", "dev 20.0 s")
	a.want(t, "#section-dev ol.steps li", "configure 40 ms ok", "deploy 2.0 s ok ready after 1.3 s", "test attempt 2 16.0 s", "release")
	a.want(t, "#section-staging ol.steps li", "test 1 min 10 s ok", "evaluate 10.0 s failed "+slowWhy, "roll back")
	a.want(t, ".proof h3", "Gate fail", "Tests passed")
	a.want(t, ".proof a[href=/evaluations/evaluation-1]", "All it rests on")
	a.want(t, ".proof tbody tr", "health passed 1 0", "performance 10 users passed 500 0 1.0041 s 1.01 s 1.2 s errors 0 %")
	a.want(t, "ol.events summary", "delivery.rejected", "tests-finished", "2026-05-04 11:56:40 new-artifact pushed")
	if pre := a.find("ol.events pre"); len(pre) != 2 || !strings.Contains(text(pre[1]), `"project": "sockshop"`) {
		t.Errorf("data of events: %d", len(pre))
	}
	a.want(t, ".commits a[href=/projects/sockshop/commits/3f2a9c1d]", "The commit 3f2a9c1d")
	a.want(t, "#section-staging figure.failed figcaption", "ResponseTime_Backend 0 of 100 failed")
	a.want(t, "#section-staging figure.error figcaption", "Errors")
	a.want(t, "#section-staging svg.plot", "0.9997")
	a.want(t, "#traffic-staging summary", "Traffic in staging: blue 0.6.2-3 100 %, green 0.6.1-2 0 %")
	a.want(t, "#traffic-staging button", "Set weights", "Roll back staging")
	a.want(t, "#traffic-dev button", "Roll back dev")

	a = get(t, h, "/deliveries/third-delivery")
	a.want(t, "ol.path li", "dev done", "staging now", "production ahead")
	a.want(t, "form#decide button", "Approve", "Reject", "Pause", "Abort")
	if token := a.find("form#decide input[name=csrf]"); len(token) != 1 {
		t.Error("the form has no token")
	} else if v, _ := attribute(token[0], "value"); v != "tok<en" {
		t.Errorf("the token is %q", v)
	}
	a.want(t, "ol.steps li.now", "waiting for approval 5.0 s now")
	a = get(t, h, "/deliveries/running-delivery")
	a.want(t, "form#decide button", "Pause", "Abort")
	a.want(t, "ol.path li", "dev ahead", "staging ahead", "production ahead")
}

func TestDeliveryWithoutItsProofsIsShownAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.all[2].Stages[1].Evaluation = "gone"
	w.events[1].Data = []byte(`{"stage":"staging","detail":{"report":"lost"}}`)
	a := get(t, newConsole(w), "/deliveries/second-delivery")
	a.want(t, "p.notice", "there is no evaluation gone", "there is no report lost")
	a.want(t, "section.stage h2", "staging", "dev")
}

func post(t *testing.T, h http.Handler, path string, form url.Values) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return ask(t, h, r)
}

func TestCommands(t *testing.T) {
	t.Parallel()
	w := newWorld()
	h := newConsole(w)
	for _, c := range []struct{ verb, reason string }{{"approve", ""}, {"reject", "too slow"}, {"abort", "a mistake"}, {"pause", "lunch"}, {"resume", "eaten"}} {
		a := post(t, h, "/deliveries/third-delivery", url.Values{"verb": {c.verb}, "reason": {" " + c.reason + " "}})
		if a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/deliveries/third-delivery" {
			t.Errorf("%s: %d %v", c.verb, a.Code, a.Header())
		}
		if got := w.commands[len(w.commands)-1]; got != (api.Command{Verb: c.verb, Delivery: "third-delivery", Reason: c.reason}) {
			t.Errorf("%s: %+v", c.verb, got)
		}
	}
	for _, form := range []url.Values{{"verb": {"reject"}}, {"verb": {"abort"}, "reason": {"  "}}, {"verb": {"delete"}, "reason": {"x"}}, {"verb": {"pause"}}, {"verb": {"resume"}}, {"verb": {"retry"}}, {}} {
		if a := post(t, h, "/deliveries/third-delivery", form); a.Code != 422 {
			t.Errorf("%v: %d", form, a.Code)
		}
	}
	a := post(t, h, "/deliveries/second-delivery", url.Values{"verb": {"approve"}})
	a.want(t, "#refused", "approve was refused. the delivery has ended already")
	if a.Code != 409 || len(w.commands) != 5 {
		t.Errorf("%d, %d commands", a.Code, len(w.commands))
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	w := newWorld()
	h := newConsole(w)
	get(t, h, "/deliveries/second-delivery").want(t, "form#decide button", "Retry in staging")
	a := post(t, h, "/deliveries/second-delivery", url.Values{"verb": {"retry"}, "reason": {" the sandbox is back "}})
	if a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/deliveries/third-delivery" {
		t.Errorf("%d %v", a.Code, a.Header())
	}
	if want := (api.RetryRequest{Delivery: "second-delivery", Reason: "the sandbox is back"}); len(w.retries) != 1 || w.retries[0] != want {
		t.Errorf("%+v", w.retries)
	}
	a = post(t, h, "/deliveries/third-delivery", url.Values{"verb": {"retry"}, "reason": {"again"}})
	a.want(t, "#refused", "retry was refused. the delivery is under way; abort it first")
	if v, _ := attribute(a.find("form#decide input[name=reason]")[0], "value"); v != "again" {
		t.Errorf("what was written is lost: %q", v)
	}
	if a.Code != 409 || len(w.retries) != 1 {
		t.Errorf("%d, %d retries", a.Code, len(w.retries))
	}
}

func TestWhatCanBeDoneWithADelivery(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit    func(*fairway.Delivery)
		buttons []string
	}{
		"paused":         {func(d *fairway.Delivery) { d.Paused, d.Step = true, fairway.StepDeploy }, []string{"Resume", "Abort"}},
		"going":          {func(d *fairway.Delivery) { d.Step, d.Status = fairway.StepTest, fairway.StatusRunning }, []string{"Pause", "Abort"}},
		"going back":     {func(d *fairway.Delivery) { d.Step, d.Status = fairway.StepRollback, fairway.StatusRunning }, []string{"Abort"}},
		"finished":       {func(d *fairway.Delivery) { d.Status = fairway.StatusFinished }, nil},
		"failed":         {func(d *fairway.Delivery) { d.Status = fairway.StatusFailed }, []string{"Retry in staging"}},
		"superseded":     {func(d *fairway.Delivery) { d.Status = fairway.StatusSuperseded }, []string{"Retry in staging"}},
		"paused, waited": {func(d *fairway.Delivery) { d.Paused = true }, []string{"Approve", "Reject", "Resume", "Abort"}},
	} {
		w := newWorld()
		i := slices.IndexFunc(w.all, func(d fairway.Delivery) bool { return d.ID == "third-delivery" })
		c.edit(&w.all[i])
		a := get(t, newConsole(w), "/deliveries/third-delivery")
		if got := a.texts("form#decide button"); !slices.Equal(got, c.buttons) {
			t.Errorf("%s: buttons %q, want %q", name, got, c.buttons)
		}
		if w.all[i].Paused {
			a.want(t, "h1 .paused", "paused")
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	h := newConsole(newWorld())
	for _, path := range []string{"/nix", "/deliveries/nix", "/evaluations/nix", "/assets/nix.css", "/assets/", "/deliveries/"} {
		a := get(t, h, path)
		if a.Code != 404 || len(a.find("main h1")) != 1 {
			t.Errorf("%s: %d", path, a.Code)
		}
	}
	w := newWorld()
	var log bytes.Buffer
	h = New(w, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	w.err = errors.New("open /secret/path: permission denied")
	a := get(t, h, "/")
	if a.Code != 500 || strings.Contains(a.Body.String(), "secret") || !strings.Contains(log.String(), "secret") {
		t.Errorf("our fault: %d %s, log %s", a.Code, a.Body, log.String())
	}
	w.err = fairway.InvalidAll([]fairway.Problem{{File: "shipyard.yaml", Line: 3, Field: "gate", Message: "is wrong"}, {Message: "another"}})
	get(t, h, "/").want(t, "main li", "shipyard.yaml:3", "another")
	w.err = fairway.Errorf(fairway.KindUnavailable, "the log is down")
	if a := get(t, h, "/"); a.Code != 503 {
		t.Errorf("unavailable: %d", a.Code)
	}
}

func TestAssetsAreKeptUntilTheyChange(t *testing.T) {
	t.Parallel()
	h := newConsole(newWorld())
	a := get(t, h, "/")
	for _, selector := range []string{"link[rel=stylesheet]", "link[rel=icon]", "script"} {
		for _, n := range a.find(selector) {
			ref, _ := attribute(n, "href")
			if src, ok := attribute(n, "src"); ok {
				ref = src
			}
			got := get(t, h, ref)
			if got.Code != 200 || !strings.Contains(got.Header().Get("Cache-Control"), "immutable") || strings.HasPrefix(got.Header().Get("Content-Type"), "text/html") {
				t.Errorf("%s: %d %v", ref, got.Code, got.Header())
			}
			if !strings.Contains(ref, "?v=") {
				t.Errorf("%s does not change with its content", ref)
			}
		}
	}
	for _, path := range []string{"/", "/deliveries/third-delivery", "/evaluations/evaluation-1", "/nix"} {
		a := get(t, h, path)
		if len(a.find("[style]"))+len(a.find("[onclick]"))+len(a.find("style")) != 0 {
			t.Errorf("%s has styles or scripts in the page, which its policy forbids", path)
		}
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	w := newWorld()
	server := httptest.NewServer(newConsole(w))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%v", resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("the stream ended before %q: %v", want, lines.Err())
	}
	next("retry: 2000")
	w.changes <- api.Change{Progress: []api.Progress{{Delivery: "running-delivery", Text: "120 of 500\nrequests"}}}
	next("event: progress")
	next(`data: {"running-delivery":"120 of 500\nrequests"}`)
	w.changes <- api.Change{Events: make([]api.StoredEvent, 1)}
	next("event: change")
	close(w.changes) // the backend can no longer be watched: the page comes back by itself
	for lines.Scan() {
	}
	if lines.Err() != nil {
		t.Errorf("the stream's end: %v", lines.Err())
	}
}

func TestABurstOfChangesIsOneMessage(t *testing.T) {
	t.Parallel()
	n := &news{progress: map[fairway.DeliveryID]string{}, some: make(chan struct{}, 1)}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			n.add(api.Change{Events: make([]api.StoredEvent, 1), Progress: []api.Progress{{Delivery: "a", Text: "x"}}})
		})
	}
	all.Wait()
	<-n.some
	if changed, progress := n.take(); !changed || len(progress) != 1 {
		t.Errorf("took %v %v", changed, progress)
	}
	select {
	case <-n.some:
		t.Error("there is more")
	default:
	}
	n.add(api.Change{})
	select {
	case <-n.some:
		t.Error("no news is a message")
	default:
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-1: "0 ms", 420 * time.Millisecond: "420 ms", 59999 * time.Millisecond: "59.9 s", 125 * time.Second: "2 min 05 s",
		62 * time.Minute: "1 h 02 min", 72 * time.Hour: "3 days",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{time.Second: "just now", 3 * time.Second: "3 s ago", time.Hour: "1 h ago", 100 * time.Hour: "4 days ago", 90 * time.Second: "1 min ago"} {
		if got := ago(d); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
	for v, want := range map[float64]string{90: "90", 0.0451: "0.0451", 1.00412345: "1.0041", 1e6: "1000000"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}
