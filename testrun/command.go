package testrun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// command runs a service's own test program. It passes when the program ends
// with exit code 0 and, if it wrote results, these keep the limits.
func (n *run) command(ctx context.Context, check string, p Performance) (fairway.Check, error) {
	dir, remove, err := n.runner.workDir(n.request.Files)
	if err != nil {
		return fairway.Check{}, err
	}
	defer remove()
	prog := program{argv: p.Command, dir: dir, timeout: p.Timeout, env: append(n.runner.env, n.request.facts(check, dir)...)}
	start := time.Now()
	stop := n.reporter.every(func() {
		n.reporter.report(Progress{Check: check, Elapsed: time.Since(start), Total: p.Timeout})
	})
	out, err := prog.run(ctx)
	stop()
	if err != nil {
		return fairway.Check{}, err
	}
	c := fairway.Check{Name: check, Window: out.window, Log: out.log}
	var faults []string
	if text := out.failure(p.Command[0], p.Timeout); text != "" {
		faults = append(faults, text)
	}
	r, found, err := readResults(filepath.Join(dir, resultsFile))
	switch {
	case err != nil:
		faults = append(faults, err.Error())
	case found:
		c.Errors, c.Latency = r.Errors, r.Latency
		faults = append(faults, p.Limits.unanswered(r)...)
		if r.Requests != nil {
			c.Requests = *r.Requests
			faults = append(faults, p.Limits.exceeded(r.figures())...)
		}
	case p.Limits != (Limits{}) && p.Limits != (Limits{Errors: DefaultErrors}):
		faults = append(faults, "there are limits, but the program wrote no results to $FAIRWAY_RESULTS")
	}
	c.Passed = len(faults) == 0
	said := fmt.Sprintf("%s ended with exit code %d after %s", p.Command[0], out.code, short(out.window.Duration()))
	if r.Reason != "" {
		said += ": " + r.Reason
	}
	if !c.Passed {
		said = strings.Join(faults, "; ")
		if r.Reason != "" {
			said += "; it says: " + r.Reason
		}
	}
	c.Reason = said
	return c, nil
}

// results is what a program may write to $FAIRWAY_RESULTS.
type results struct {
	Requests *int                    `json:"requests"` // nil: not counted
	Errors   int                     `json:"errors"`
	Latency  *fairway.LatencySummary `json:"latency"` // seconds
	Reason   string                  `json:"reason"`
}

const maxResults = 1 << 20 // bytes

func readResults(file string) (r results, found bool, err error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, false, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxResults) {
		return r, false, fmt.Errorf("the results are no file of at most %d bytes", maxResults)
	}
	body, err := os.ReadFile(file)
	if err != nil {
		return r, false, fmt.Errorf("the results cannot be read: %w", err)
	}
	r, err = parseResults(body)
	return r, err == nil, err
}

func parseResults(body []byte) (r results, err error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return results{}, fmt.Errorf("the results are not the JSON that is expected, e.g. {\"requests\": 100, \"errors\": 0, \"latency\": {\"p95\": 0.2}}: %w", err)
	}
	switch {
	case r.Requests == nil && r.Errors != 0, r.Requests == nil && r.Latency != nil:
		return results{}, errors.New("the results have errors or latencies, but no requests")
	case r.Requests != nil && (r.Errors < 0 || r.Errors > *r.Requests):
		return results{}, fmt.Errorf("the results have %d errors of %d requests", r.Errors, *r.Requests)
	}
	if l := r.Latency; l != nil {
		for _, v := range []float64{l.Mean, l.P50, l.P90, l.P95, l.P99, l.Max} {
			if v < 0 || v > maxDuration.Seconds() {
				return results{}, fmt.Errorf("the results have a latency of %g s", v)
			}
		}
	}
	if len(r.Reason) > excerptSize {
		r.Reason = strings.ToValidUTF8(r.Reason[:excerptSize], "") + "…"
	}
	return r, nil
}

// unanswered returns a sentence for each limit about which the results say
// nothing: what was not measured is not kept.
func (l Limits) unanswered(r results) (faults []string) {
	var got fairway.LatencySummary
	if r.Latency != nil {
		got = *r.Latency
	}
	for _, c := range []struct {
		name  string
		got   float64
		limit time.Duration
	}{{"mean", got.Mean, l.Mean}, {"p50", got.P50, l.P50}, {"p90", got.P90, l.P90}, {"p95", got.P95, l.P95}, {"p99", got.P99, l.P99}, {"max", got.Max, l.Max}} {
		if c.limit > 0 && c.got == 0 {
			faults = append(faults, fmt.Sprintf("the limit of %s is %s, but the results have no latency.%s", c.name, c.limit, c.name))
		}
	}
	return faults
}

func (r results) figures() figures {
	f := figures{requests: *r.Requests, failed: r.Errors, errors: "as the program counts", first: "see its log"}
	if l := r.Latency; l != nil {
		seconds := func(v float64) time.Duration { return time.Duration(math.Round(v * float64(time.Second))) }
		f.measured = 1
		f.mean, f.p50, f.p90, f.p95, f.p99, f.max = seconds(l.Mean), seconds(l.P50), seconds(l.P90), seconds(l.P95), seconds(l.P99), seconds(l.Max)
	}
	return f
}
