package promql

import (
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

// subject is green carts of the project sockshop in the stage stage-2, whose
// namespace is staging.
func subject() fairway.Subject {
	return fairway.Subject{
		Project: "sockshop", Stage: "stage-2", Delivery: "d1", Attempt: 1, Version: "0.6.1-2",
		Place: fairway.Place{Namespace: "staging", Service: "carts", Colour: fairway.Green},
	}
}

const tie = `fairway_run="d1/stage-2/1"`

// pins are queries and what they become; an empty want means unchanged. T in
// a wanted query stands for the two tying matchers.
var pins = []struct {
	name, query, want string
	pinned, unpinned  int
	note              string // part of one of the notes
}{
	{name: "the walk-through",
		query: `rate(requests_latency_seconds_sum{instance='carts.staging.svc.cluster.local:80',job='carts'}[3m])/rate(requests_latency_seconds_count{instance='carts.staging.svc.cluster.local:80',job='carts'}[3m])`,
		want:  `rate(requests_latency_seconds_sum{job="carts",T}[3m]) / rate(requests_latency_seconds_count{job="carts",T}[3m])`, pinned: 2},
	{name: "instance alone", query: `x{instance="carts.staging.svc.cluster.local:80"}`, want: `x{T}`, pinned: 1},
	{name: "host without domain", query: `x{instance="carts.staging"}`, want: `x{T}`, pinned: 1},
	{name: "host on a laptop", query: `x{instance="carts.staging.localhost:8000"}`, want: `x{T}`, pinned: 1},
	{name: "host of the colour", query: `x{instance="carts-green.staging.svc.cluster.local:80"}`, want: `x{T}`, pinned: 1},
	{name: "host of the other colour", query: `x{instance="carts-blue.staging.svc.cluster.local:80"}`, unpinned: 1, note: "names the other colour"},
	{name: "host in another namespace", query: `x{instance="carts.dev.svc.cluster.local:80"}`, unpinned: 1, note: "does not name carts"},
	{name: "host in a namespace with our prefix", query: `x{instance="carts.staging-eu.svc.cluster.local:80"}`, unpinned: 1},
	{name: "no port", query: `x{instance="carts.staging:web"}`, unpinned: 1},
	{name: "job with stage", query: `x{job="carts-stage-2"}`, want: `x{job="carts",T}`, pinned: 1},
	{name: "job with namespace", query: `x{job="carts-staging"}`, want: `x{job="carts",T}`, pinned: 1},
	{name: "job with project and stage", query: `x{job="carts-sockshop-stage-2"}`, want: `x{job="carts",T}`, pinned: 1},
	{name: "service and app", query: `x{service="carts",app="carts"}`, want: `x{T}`, pinned: 1},
	{name: "other labels stay", query: `x{app="carts",code=~"5..",namespace="staging"}`, want: `x{code=~"5..",namespace="staging",T}`, pinned: 1},
	{name: "istio", query: `sum(rate(istio_requests_total{destination_service="carts.staging.svc.cluster.local",destination_service_name="carts",destination_workload="carts-green",destination_app="carts",destination_canonical_service="carts",reporter="destination"}[1m]))`,
		want: `sum(rate(istio_requests_total{reporter="destination",T}[1m]))`, pinned: 1, note: "divides by 1m0s"},
	{name: "istio's caller is not the service", query: `x{source_app="carts"}`, unpinned: 1},
	{name: "a service whose name ours begins", query: `x{job="carts-db"}`, unpinned: 1},
	{name: "its host", query: `x{instance="carts-db.staging.svc.cluster.local:80"}`, unpinned: 1},
	{name: "regexp for both means ours", query: `x{job=~"carts.*"}`, want: `x{job="carts",T}`, pinned: 1},
	{name: "regexp for the other only", query: `x{job=~"carts-d.*"}`, unpinned: 1},
	{name: "regexp alternation", query: `x{job=~"orders|carts"}`, want: `x{job="carts",T}`, pinned: 1},
	{name: "regexp of hosts", query: `x{instance=~"carts-(blue|green)\\.staging\\..*"}`, want: `x{T}`, pinned: 1},
	{name: "regexp of other hosts", query: `x{instance=~"carts\\.dev\\..*"}`, unpinned: 1},
	{name: "exclusion never names", query: `x{job!="carts"}`, unpinned: 1},
	{name: "exclusion stays", query: `x{job="carts",instance!~"carts-blue.*",service!="orders"}`, want: `x{instance!~"carts-blue.*",service!="orders",job="carts",T}`, pinned: 1},
	{name: "two services", query: `sum(rate(x_total{job="carts"}[1m])) / sum(rate(x_total{job="orders"}[1m]))`,
		want: `sum(rate(x_total{job="carts",T}[1m])) / sum(rate(x_total{job="orders"}[1m]))`, pinned: 1, unpinned: 1, note: `x_total{job="orders"} does not name carts`},
	{name: "offset", query: `rate(x_total{job="carts"}[1m] offset 5m)`, want: `rate(x_total{job="carts",T}[1m] offset 5m)`, pinned: 1, note: "looks at another time"},
	{name: "at a time", query: `x{job="carts"} @ 1609746000`, want: `x{job="carts",T} @ 1609746000.000`, pinned: 1, note: "looks at another time"},
	{name: "at the end", query: `x{job="carts"} @ end()`, want: `x{job="carts",T} @ end()`, pinned: 1},
	{name: "subquery", query: `max_over_time(rate(x_total{job="carts"}[30s])[5m:1s])`, want: `max_over_time(rate(x_total{job="carts",T}[30s])[5m:1s])`, pinned: 1, note: "divides by 30s"},
	{name: "quantile", query: `histogram_quantile(0.95, sum by (le) (rate(x_bucket{job="carts"}[5m])))`, want: `histogram_quantile(0.95, sum by (le) (rate(x_bucket{job="carts",T}[5m])))`, pinned: 1},
	{name: "without matchers", query: `rate(x_total[1m])`, unpinned: 1, note: "x_total does not name carts"},
	{name: "no series", query: `vector(1)`, note: "selects no series"},
	{name: "a number", query: `1 + 1`, note: "selects no series"},
	{name: "nameless selector", query: `{job="carts"}`, want: `{job="carts",T}`, pinned: 1},
	{name: "name as a matcher", query: `{__name__=~"x|y",job="carts"}`, want: `{__name__=~"x|y",job="carts",T}`, pinned: 1},
	{name: "quoted names", query: `{"http.requests","the.label"="a",job="carts"}`, want: `{"http.requests","the.label"="a",job="carts",T}`, pinned: 1},
	{name: "comments", query: "# mean\nx{job=\"carts\"} # of carts\n", want: `x{job="carts",T}`, pinned: 1},
	{name: "matching and grouping", query: `sum by (job) (x{job="carts"}) * on (job) group_left (v) y{job="carts"}`, want: `sum by (job) (x{job="carts",T}) * on (job) group_left (v) y{job="carts",T}`, pinned: 2},
	{name: "names in strings are out of reach", query: `label_replace(x{job="carts"}, "a", "$1", "job", "(carts)")`, want: `label_replace(x{job="carts",T}, "a", "$1", "job", "(carts)")`, pinned: 1},
	{name: "counter without range", query: `x_sum{job="carts"} / x_count{job="carts"}`, want: `x_sum{job="carts",T} / x_count{job="carts",T}`, pinned: 2, note: "x_sum{job=\"carts\"} is read without a range"},
	{name: "bare rate", query: `rate(x_total{job="carts"}[3m])`, want: `rate(x_total{job="carts",T}[3m])`, pinned: 1, note: "divides by 3m0s, though the test gave 10s"},
	{name: "bare rate beside a number", query: `rate(x_total{job="carts"}[3m]) / 2`, want: `rate(x_total{job="carts",T}[3m]) / 2`, pinned: 1, note: "divides by 3m0s"},
	{name: "rate of the test's length", query: `rate(x_total{job="carts"}[10s])`, want: `rate(x_total{job="carts",T}[10s])`, pinned: 1},
	{name: "already pinned", query: `x{job="carts",version="0.6.1-2"}`, want: `x{version="0.6.1-2",job="carts",fairway_run="d1/stage-2/1"}`, pinned: 1},
}

// normal prints a query as Prometheus' printer does, which sorts matchers.
func normal(t *testing.T, query string) string {
	t.Helper()
	expr, err := parse(query)
	if err != nil {
		t.Fatal(err)
	}
	return expr.String()
}

func TestPin(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	window := fairway.Window{Start: start, End: start.Add(10 * time.Second)}
	for _, c := range pins {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := Pin(c.query, subject(), PinOptions{Window: window})
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(c.want, ",T}", `,version="0.6.1-2",`+tie+`}`)
			want = strings.ReplaceAll(want, "{T}", `{version="0.6.1-2",`+tie+`}`)
			if c.want == "" {
				want = c.query
			} else {
				want = normal(t, want)
			}
			if got.Query != want {
				t.Errorf("query\n got %s\nwant %s", got.Query, want)
			}
			if got.Pinned != c.pinned || got.Unpinned != c.unpinned {
				t.Errorf("pinned %d, unpinned %d; want %d, %d", got.Pinned, got.Unpinned, c.pinned, c.unpinned)
			}
			if tied := c.pinned > 0 && c.unpinned == 0; got.Tied != tied {
				t.Errorf("tied = %t, want %t", got.Tied, tied)
			}
			notes := strings.Join(got.Notes, "\n")
			if c.note == "" && got.Tied && notes != "" {
				t.Errorf("unexpected notes: %s", notes)
			}
			if !strings.Contains(notes, c.note) {
				t.Errorf("notes %q lack %q", notes, c.note)
			}
			if !got.Tied && notes == "" {
				t.Error("not tied, and no note says why")
			}
		})
	}
}

func TestPinDirectStage(t *testing.T) {
	t.Parallel()
	s := subject()
	s.Place.Colour = fairway.Single
	for query, tied := range map[string]bool{
		`x{instance="carts.staging.svc.cluster.local:80"}`:       true,
		`x{instance="carts-green.staging.svc.cluster.local:80"}`: false,
	} {
		if got, err := Pin(query, s, PinOptions{}); err != nil || got.Tied != tied {
			t.Errorf("%s: tied %t, %v; want %t", query, got.Tied, err, tied)
		}
	}
}

func TestPinForeign(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	window := fairway.Window{Start: start, End: start.Add(10 * time.Second)}
	green, direct := subject(), subject()
	direct.Place.Colour = fairway.Single
	for _, c := range []struct {
		name, query, sel, want string
		subject                fairway.Subject
		tied                   bool
		note                   string
	}{
		{"range cut", `rate(x_total{job="carts"}[3m]) / rate(y_total{job="carts"}[5s])`, `pod=~"carts-{{colour}}-.*"`,
			`rate(x_total{job="carts",pod=~"carts-green-.*"}[10s]) / rate(y_total{job="carts",pod=~"carts-green-.*"}[5s])`, green, true, "was cut to the 10s"},
		{"direct stage", `x{job="carts"}`, `pod=~"carts-{{colour}}-.*"`, `x{job="carts",pod=~"carts-.*"}`, direct, true, ""},
		{"version and two matchers", `x{job="carts"}`, `slot="{{colour}}", tag="{{version}}"`, `x{job="carts",slot="green",tag="0.6.1-2"}`, green, true, ""},
		{"another service", `x{job="carts"} / y{job="orders"}`, `slot="{{colour}}"`, `x{job="carts",slot="green"} / y{job="orders"}`, green, false, "does not name carts"},
		{"offset", `x{job="carts"} offset 1h`, `slot="{{colour}}"`, `x{job="carts",slot="green"} offset 1h`, green, false, "from before the test"},
		{"subquery", `max_over_time(x{job="carts"}[1h:1m])`, `slot="{{colour}}"`, `max_over_time(x{job="carts",slot="green"}[1h:1m])`, green, false, "from before the test"},
		{"nothing to select by", `x{job="carts"}`, "", `x{job="carts"}`, green, false, "metrics.select"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := Pin(c.query, c.subject, PinOptions{Window: window, Foreign: true, Select: c.sel})
			if err != nil {
				t.Fatal(err)
			}
			if got.Query != normal(t, c.want) || got.Tied != c.tied || !strings.Contains(strings.Join(got.Notes, "\n"), c.note) {
				t.Errorf("got %+v\nwant %s, tied %t, note %q", got, c.want, c.tied, c.note)
			}
		})
	}
}

func TestPinErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, query, sel string
		line, column     int
		text             string
	}{
		{"unclosed brace", "rate(\n  x{job='carts'[1m])", "", 2, 16, "query"},
		{"column counts characters", `x{a='é'} +`, "", 1, 11, ""},
		{"unknown function", `rat(x[1m])`, "", 1, 1, `unknown function with name "rat"`},
		{"wrong type", `rate(x)`, "", 1, 6, "expected type range vector"},
		{"empty", ``, "", 1, 1, "no expression found"},
		{"too long", strings.Repeat("(", maxQueryBytes+1), "", 0, 0, "longer than"},
		{"not UTF-8", "x{job='\xff'}", "", 0, 0, "UTF-8"},
		{"bad select", `x`, `pod=carts`, 0, 0, "is not a list of matchers"},
		{"unknown placeholder", `x`, `pod="{{color}}"`, 0, 0, "neither {{colour}} nor {{version}}"},
		{"empty select", `x`, ` `, 0, 0, "selects nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := time.Unix(0, 0)
			_, err := Pin(c.query, subject(), PinOptions{Select: c.sel, Window: fairway.Window{Start: start, End: start.Add(time.Second)}})
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("got %v, want an invalid error", err)
			}
			p := fairway.Problems(err)[0]
			if p.Line != c.line || p.Column != c.column || !strings.Contains(err.Error(), c.text) || p.Remedy == "" {
				t.Errorf("got %+v", p)
			}
		})
	}
}

// FuzzPin checks that whatever parses is pinned to something that parses, and
// that a tied query names the run in every selector.
func FuzzPin(f *testing.F) {
	for _, c := range pins {
		f.Add(c.query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got, err := Pin(query, subject(), PinOptions{})
		if err != nil {
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("%q: %v", query, err)
			}
			return
		}
		if got.Tied && strings.Count(got.Query, tie) < got.Pinned {
			t.Fatalf("%q is said to be tied, but became %q", query, got.Query)
		}
	})
}
