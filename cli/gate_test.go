package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// TestGateAsksPrometheus judges, checks and replays against a real server.
func TestGateAsksPrometheus(t *testing.T) {
	t.Parallel()
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("latency_seconds 0.4\n")) }))
	t.Cleanup(exporter.Close)
	p := testenv.Prometheus(t, testenv.Scrape{Job: "carts", Address: strings.TrimPrefix(exporter.URL, "http://"), User: "gate", Password: "s3cret-word"})
	dir := t.TempDir()
	spec := func(name, query string) string {
		path := filepath.Join(dir, name)
		text := "objectives: [{sli: latency, pass: [{criteria: ['<1']}]}]\ntotal_score: {pass: 90%}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".sli"), []byte("indicators: {latency: '"+query+"'}"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(password string, args ...string) (int, string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var out, errs bytes.Buffer
		env := map[string]string{"FAIRWAY_PROMETHEUS_USERNAME": "gate", "FAIRWAY_PROMETHEUS_PASSWORD": password}
		code := Run(ctx, append([]string{"gate"}, args...), Options{Stdout: &out, Stderr: &errs, Env: func(k string) string { return env[k] }})
		if strings.Contains(out.String()+errs.String(), password) {
			t.Errorf("the password was printed: %s%s", out.String(), errs.String())
		}
		return code, out.String() + errs.String()
	}
	good, empty := spec("good.yaml", "latency_seconds"), spec("empty.yaml", "no_such_series")
	deadline := time.Now().Add(30 * time.Second)
	for {
		code, text := run("s3cret-word", "lint", good, "--sli", good+".sli", "--prometheus", p.URL)
		if code == ExitOK {
			break
		}
		if code != ExitWarned || time.Now().After(deadline) {
			t.Fatalf("%d: %s", code, text)
		}
	}
	if code, text := run("s3cret-word", "lint", empty, "--sli", empty+".sli", "--prometheus", p.URL); code != ExitWarned || !strings.Contains(text, "returns nothing: no_such_series") {
		t.Errorf("%d: %s", code, text)
	}
	code, text := run("s3cret-word", "evaluate", "--slo", good, "--sli", good+".sli", "--prometheus", p.URL, "-o", "json")
	var e fairway.Evaluation
	if err := json.Unmarshal([]byte(text), &e); err != nil || code != ExitOK || len(e.IndicatorResults) != 1 || e.IndicatorResults[0].Samples[0].Text != "0.4" || e.IndicatorResults[0].Query != "latency_seconds" {
		t.Errorf("%d: %s", code, text)
	}
	if code, text := run("s3cret-word", "evaluate", "--slo", empty, "--sli", empty+".sli", "--prometheus", p.URL); code != ExitRejected {
		t.Errorf("no data: %d: %s", code, text)
	}
	if code, text := run("wrong-word", "evaluate", "--slo", good, "--sli", good+".sli", "--prometheus", p.URL); code != ExitFailed || !strings.Contains(text, "401") {
		t.Errorf("a wrong password: %d: %s", code, text)
	}
	code, text = run("s3cret-word", "replay", "--slo", good, "--sli", good+".sli", "--prometheus", p.URL, "--from", "-2h", "--step", "1h", "-o", "json")
	var all []replayed
	if err := json.Unmarshal([]byte(text), &all); err != nil || code != ExitOK || len(all) != 2 || all[0].Verdict != fairway.VerdictFail || all[1].Verdict != fairway.VerdictPass {
		t.Errorf("replay: %d: %s", code, text)
	}
}

func FuzzParseResults(f *testing.F) {
	f.Add([]byte(`{"a": [{"key": "k", "timestamp": 1.5, "value": 0.4}, {"value": "NaN"}, {"value": null}]}`))
	f.Add([]byte(`{"a": null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, err := parseResults(b); err == nil && out == nil {
			t.Fatal("nothing, and no error")
		}
	})
}
