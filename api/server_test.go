package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/cloudevents"
)

// exchange asks a handler and returns its answer.
func exchange(h http.Handler, method, target, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// problemOf checks that an answer is a whole problem document.
func problemOf(t *testing.T, w *httptest.ResponseRecorder) api.Details {
	t.Helper()
	var d api.Details
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatalf("status %d: body %q: %v", w.Code, w.Body, err)
	}
	if w.Header().Get("Content-Type") != "application/problem+json" || d.Type != "about:blank" || d.Title != http.StatusText(w.Code) || d.Status != w.Code || d.Kind == "" {
		t.Errorf("status %d, header %v, document %+v", w.Code, w.Header(), d)
	}
	return d
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const js = "application/json"
	const artifacts = "/api/v1/projects/sockshop/services/carts/artifacts"
	event := `{"specversion":"1.0","id":"1","source":"/ci","type":"t","data":{}}`
	tests := []struct {
		name, method, target, contentType, body string
		status                                  int
		kind                                    fairway.Kind
		says                                    []string
	}{
		{"unknown path", "GET", "/api/v1/nothing", "", "", 404, fairway.KindNotFound, []string{"/api/v1/nothing", "deliveries"}},
		{"path with a slash too many", "GET", "/api/v1/projects/", "", "", 404, fairway.KindNotFound, []string{"/api/v1/projects/"}},
		{"outside", "GET", "/api/v2/projects", "", "", 404, fairway.KindNotFound, []string{"/api/v1/"}},
		{"method of a list", "DELETE", "/api/v1/projects", "", "", 405, fairway.KindInvalid, []string{"GET, HEAD, POST"}},
		{"method of a stream", "HEAD", "/api/v1/watch", "", "", 405, fairway.KindInvalid, []string{"use GET"}},
		{"method of a command", "GET", "/api/v1/deliveries/1/commands", "", "", 405, fairway.KindInvalid, []string{"use POST"}},
		{"no JSON", "POST", artifacts, js, "{\n \"image\": 'x'}", 400, fairway.KindInvalid, []string{"line 2", `"column":11`}},
		{"cut off", "POST", artifacts, js, `{"image": "x"`, 400, fairway.KindInvalid, []string{"unexpected end"}},
		{"empty", "POST", artifacts, js, "", 400, fairway.KindInvalid, []string{"is not JSON"}},
		{"two documents", "POST", artifacts, js, `{} {}`, 400, fairway.KindInvalid, []string{"after top-level value"}},
		{"null", "POST", artifacts, js, `null`, 400, fairway.KindInvalid, []string{"is not a JSON object"}},
		{"list", "POST", artifacts, js, `[{"image":"x"}]`, 400, fairway.KindInvalid, []string{"is not a JSON object"}},
		{"all problems at once", "POST", artifacts, js, `{"Image":"x","image":1,"tag":true}`, 422, fairway.KindInvalid,
			[]string{`"field":"Image"`, "use id, image, project, service, stage, tag", `"field":"image"`, "is not a text", `"field":"tag"`}},
		{"flag", "POST", "/api/v1/projects", js, `{"dryRun":"yes"}`, 422, fairway.KindInvalid, []string{"true or false"}},
		{"list of texts", "PUT", "/api/v1/projects/p/services/s/resources", js, `{"stages":"dev"}`, 422, fairway.KindInvalid, []string{"a list of texts"}},
		{"no base64", "PUT", "/api/v1/projects/p/services/s/resources", js, `{"files":{"a":"%"}}`, 422, fairway.KindInvalid, []string{"base64"}},
		{"another project and service", "POST", artifacts, js, `{"project":"p","service":"s"}`, 422, fairway.KindInvalid, []string{`\"sockshop\"`, `\"carts\"`}},
		{"another delivery", "POST", "/api/v1/deliveries/1/commands", js, `{"delivery":"2"}`, 422, fairway.KindInvalid, []string{`"field":"delivery"`}},
		{"retry of another delivery", "POST", "/api/v1/deliveries/1/retry", js, `{"delivery":"2"}`, 422, fairway.KindInvalid, []string{`"field":"delivery"`}},
		{"rollback of another service", "POST", "/api/v1/projects/p/services/s/rollback", js, `{"service":"t"}`, 422, fairway.KindInvalid, []string{`"field":"service"`}},
		{"route of another project", "PUT", "/api/v1/projects/p/services/s/route", js, `{"project":"q"}`, 422, fairway.KindInvalid, []string{`"field":"project"`}},
		{"weights that are none", "PUT", "/api/v1/projects/p/services/s/route", js, `{"weights":"70/30"}`, 422, fairway.KindInvalid, []string{`such as {\"blue\": 70`}},
		{"weight of no colour", "PUT", "/api/v1/projects/p/services/s/route", js, `{"weights":{"red":100}}`, 422, fairway.KindInvalid, []string{`such as {\"blue\": 70`}},
		{"form", "POST", artifacts, "application/x-www-form-urlencoded", "image=x", 415, fairway.KindInvalid, []string{"send application/json"}},
		{"no type", "POST", artifacts, "", `{}`, 415, fairway.KindInvalid, []string{"send application/json"}},
		{"too large", "POST", artifacts, js, `{"image":"` + strings.Repeat("x", 2000) + `"}`, 413, fairway.KindInvalid, []string{"1000 bytes"}},
		{"malformed event", "POST", "/api/v1/events", js, `{"specversion":"1.0"}`, 400, fairway.KindInvalid, []string{`"field":"type"`}},
		{"event too large", "POST", "/api/v1/events", js, strings.Repeat(" ", 2000) + event, 413, fairway.KindInvalid, []string{"1000 bytes"}},
		{"unknown parameter", "GET", "/api/v1/deliveries?projekt=p", "", "", 422, fairway.KindInvalid, []string{"projekt", "use project, service, stage, status, open, limit, cursor"}},
		{"parameter where none is", "GET", "/api/v1/status?v=1", "", "", 422, fairway.KindInvalid, []string{"takes none"}},
		{"parameter twice", "GET", "/api/v1/services?project=a&project=b", "", "", 422, fairway.KindInvalid, []string{"more than once"}},
		{"all parameters", "GET", "/api/v1/deliveries?status=done&open=1&limit=-1", "", "", 422, fairway.KindInvalid, []string{"superseded", "open=true", "is not a count"}},
		{"limit too large", "GET", "/api/v1/events?limit=2147483648", "", "", 422, fairway.KindInvalid, []string{"limit"}},
		{"query that cannot be read", "GET", "/api/v1/events?a=%zz", "", "", 400, fairway.KindInvalid, []string{"%zz"}},
		{"follow", "GET", "/api/v1/deliveries/1/logs?follow=yes", "", "", 422, fairway.KindInvalid, []string{"follow=true"}},
	}
	m := newMemory()
	h := api.NewServer(m, api.ServerOptions{MaxBody: 1000, ReadEvents: cloudevents.Read})
	for _, c := range tests {
		w := exchange(h, c.method, c.target, c.contentType, c.body)
		d := problemOf(t, w)
		if w.Code != c.status || d.Kind != c.kind {
			t.Errorf("%s: status %d %s, want %d %s", c.name, w.Code, d.Kind, c.status, c.kind)
		}
		text := w.Body.String()
		for _, p := range d.Problems {
			text += p.String()
		}
		for _, s := range c.says {
			if !strings.Contains(text, s) {
				t.Errorf("%s: %q does not say %q", c.name, text, s)
			}
		}
		if allow := w.Header().Get("Allow"); (allow != "") != (w.Code == http.StatusMethodNotAllowed) {
			t.Errorf("%s: Allow is %q", c.name, allow)
		}
	}
	if q := m.lastAsked(); q != nil {
		t.Errorf("a refused request reached the Backend: %+v", q)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	fields := make([]string, 100_000)
	for i := range fields {
		fields[i] = fmt.Sprintf(`"f%d":0`, i)
	}
	h := api.NewServer(newMemory(), api.ServerOptions{})
	w := exchange(h, "POST", "/api/v1/projects", "application/json", "{"+strings.Join(fields, ",")+"}")
	if d := problemOf(t, w); w.Code != 422 || len(d.Problems) != 51 || w.Body.Len() > 20_000 {
		t.Errorf("status %d, %d problems, %d bytes", w.Code, len(d.Problems), w.Body.Len())
	}
}

func TestStatusOfKinds(t *testing.T) {
	t.Parallel()
	m := newMemory()
	h := api.NewServer(m, api.ServerOptions{ReadEvents: cloudevents.Read})
	event := `{"specversion":"1.0","id":"1","source":"/ci","type":"t","data":{}}`
	for kind, status := range map[fairway.Kind]int{
		fairway.KindInvalid: 422, fairway.KindNotFound: 404, fairway.KindConflict: 409, fairway.KindRefused: 409, fairway.KindUnauthorized: 401,
		fairway.KindUnavailable: 503, fairway.KindFull: 507, fairway.KindInternal: 500, "made up": 500,
	} {
		m.fail(fairway.Errorf(kind, "x"))
		// An event that is well-formed but makes no sense is no malformed one.
		for _, w := range []*httptest.ResponseRecorder{
			exchange(h, "GET", "/api/v1/status", "", ""), exchange(h, "POST", "/api/v1/events", "application/json", event),
		} {
			if problemOf(t, w); w.Code != status {
				t.Errorf("%s has status %d, want %d", kind, w.Code, status)
			}
			if retry := w.Header().Get("Retry-After"); (retry != "") != (status == 503 || status == 507) {
				t.Errorf("%s has Retry-After %q", kind, retry)
			}
		}
	}
}

func TestStatusOfSuccess(t *testing.T) {
	t.Parallel()
	h := api.NewServer(newMemory(), api.ServerOptions{ReadEvents: cloudevents.Read})
	for _, c := range []struct {
		method, target, body string
		status               int
	}{
		{"POST", "/api/v1/projects", `{"name":"p","shipyard":""}`, 201},
		{"POST", "/api/v1/projects", `{"name":"p","shipyard":"","dryRun":true}`, 200},
		{"POST", "/api/v1/projects/p/services", `{}`, 200},
		{"GET", "/api/v1/projects/p/services", ``, 200},
		{"POST", "/api/v1/projects/p/services/s/artifacts", `{}`, 202},
		{"PUT", "/api/v1/projects/p/services/s/resources", `{"files":{"a":"AAAA"}}`, 200},
		{"POST", "/api/v1/events", `[]`, 202},
		{"POST", "/api/v1/deliveries/1/commands", `{"verb":"abort"}`, 200},
		{"POST", "/api/v1/deliveries/1/retry", `{}`, 202},
		{"POST", "/api/v1/projects/p/services/s/rollback", `{}`, 202},
		{"PUT", "/api/v1/projects/p/services/s/route", `{"weights":{"blue":70,"green":30}}`, 200},
		{"HEAD", "/api/v1/status", ``, 200},
		{"GET", "/api/v1/reports/delivery/stage/1", ``, 200},
	} {
		w := exchange(h, c.method, c.target, "application/json", c.body)
		if w.Code != c.status || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %v %s", c.method, c.target, w.Code, w.Header(), w.Body)
		}
		if (w.Code == 201) != (w.Header().Get("Location") != "") {
			t.Errorf("%s %s: location %q", c.method, c.target, w.Header().Get("Location"))
		}
	}
	if w := exchange(h, "GET", "/api/v1/events", "", ""); w.Body.String() != `{"items":[]}`+"\n" {
		t.Errorf("an empty list is %s", w.Body)
	}
}

// awkward is a Backend that panics and answers what JSON cannot say.
type awkward struct{ api.Backend }

func (awkward) Projects(context.Context) ([]api.Project, error) { panic("secret") }
func (awkward) TestReport(context.Context, string) (fairway.TestReport, error) {
	return fairway.TestReport{Checks: []fairway.Check{{Latency: &fairway.LatencySummary{Mean: math.NaN()}}}}, nil
}
func (awkward) Status(context.Context) (api.Status, error) { return api.Status{}, errors.New("secret") }

func TestInternalTextIsLoggedAndNotShown(t *testing.T) {
	t.Parallel()
	var log buffer
	h := api.NewServer(awkward{}, api.ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for target, says := range map[string]string{"projects": "secret", "status": "secret", "reports/1": "NaN"} {
		w := exchange(h, "GET", "/api/v1/"+target, "", "")
		if problemOf(t, w); w.Code != 500 || strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "NaN") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
		if !strings.Contains(log.String(), says) || !strings.Contains(log.String(), "/api/v1/"+target) {
			t.Errorf("%s: the log does not say %s: %s", target, says, log.String())
		}
	}
	if w := exchange(h, "POST", "/api/v1/events", "application/json", "[]"); w.Code != 405 {
		t.Errorf("events are taken without a reader: %d", w.Code)
	}
}

func FuzzBodies(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"name":"p","shipyard":"stages: []"}`, `{"files":{"a":"AAAA","b":null}}`, `{"stages":[null,"dev"]}`, `{"stages":["dev"],"x":1}`,
		`{"verb":"abort","delivery":"1"}`, `null`, `[`, `{"a":{"a":{"a":[1e400]}}}`, "\xff", `{"name":"\ud800"}`, `{"dryRun":"true"}`, `{"":1}`, `{"image":"x"} `,
	} {
		f.Add([]byte(s))
	}
	h := api.NewServer(newMemory(), api.ServerOptions{MaxBody: 1 << 16, ReadEvents: cloudevents.Read})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, target := range []string{
			"POST /api/v1/projects", "POST /api/v1/projects/p/services", "PUT /api/v1/projects/p/services/s/resources",
			"POST /api/v1/projects/p/services/s/artifacts", "POST /api/v1/deliveries/1/commands", "POST /api/v1/events",
			"POST /api/v1/deliveries/1/retry", "POST /api/v1/projects/p/services/s/rollback", "PUT /api/v1/projects/p/services/s/route",
		} {
			method, path, _ := strings.Cut(target, " ")
			w := exchange(h, method, path, "application/json", string(body))
			switch w.Code {
			case 200, 201, 202:
				if !json.Valid(body) {
					t.Errorf("%s took %q", target, body)
				}
			case 400, 413, 422:
				d := problemOf(t, w)
				if len(d.Problems) == 0 {
					t.Errorf("%s refused %q without a problem", target, body)
				}
				if (w.Code == 400) != !object(body) && path != "/api/v1/events" && w.Code != 413 {
					t.Errorf("%s refused %q with %d", target, body, w.Code)
				}
			default:
				t.Errorf("%s answered %q with %d %s", target, body, w.Code, w.Body)
			}
		}
	})
}

func object(body []byte) bool {
	var o map[string]json.RawMessage
	return json.Unmarshal(body, &o) == nil && o != nil
}
