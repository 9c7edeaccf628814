package chart_test

import (
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

func TestParseValues(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     chart.Values
	}{
		{"least", "service: {name: carts}", chart.Values{Service: "carts", Replicas: 1, InternalPort: 8080, ExternalPort: 80, HealthPath: "/health"}},
		{"image without a tag", "service: {name: db}\nimage: {repository: mongo}", chart.Values{Service: "db", Artifact: fairway.Artifact{Image: "mongo", Tag: "latest"}, Replicas: 1, InternalPort: 8080, ExternalPort: 80, HealthPath: "/health"}},
		{"tag in the repository", "service: {name: db}\nimage: {repository: 'localhost:5000/mongo:4'}", chart.Values{Service: "db", Artifact: fairway.Artifact{Image: "localhost:5000/mongo", Tag: "4"}, Replicas: 1, InternalPort: 8080, ExternalPort: 80, HealthPath: "/health"}},
		{"all", `service: {name: carts, internalPort: 1234, externalPort: 8}
image: {repository: r/carts, tag: 007}
replicaCount: 3
strategy: direct
readiness: {tcp: true}
metrics: {path: /m, select: 'pod=~"carts-{{colour}}-.*"'}
unknown: [kept]
`, chart.Values{Service: "carts", Strategy: fairway.Direct, Artifact: fairway.Artifact{Image: "r/carts", Tag: "007"}, Replicas: 3, InternalPort: 1234, ExternalPort: 8,
			Metrics: chart.Metrics{Path: "/m", Port: 1234, Select: `pod=~"carts-{{colour}}-.*"`}}},
		{"anchors and merges", "base: &b {internalPort: 99}\nservice: {<<: *b, name: carts}", chart.Values{Service: "carts", Replicas: 1, InternalPort: 99, ExternalPort: 80, HealthPath: "/health"}},
		{"health with a port", "service: {name: carts}\nhealth: {path: /up, port: 9000}", chart.Values{Service: "carts", Replicas: 1, InternalPort: 8080, ExternalPort: 80, HealthPath: "/up"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := chart.ParseValues("v.yaml", []byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if got = chart.Public(got); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestParseValuesErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"empty", "", "v.yaml:1:1: service.name is missing"},
		{"no name", "service:\n  name: null\n", "v.yaml:2:9: service.name"},
		{"bad name", "service:\n  name: My_Carts\n", `v.yaml:2:9: service.name "My_Carts" is not a valid name`},
		{"number as name", "service: {name: 12}\n", `v.yaml:1:17: service.name "12" is not a valid name`},
		{"syntax", "service:\n  name: a: b\n", "v.yaml:2: is not valid YAML: mapping values are not allowed"},
		{"list", "- a\n", "v.yaml:1:1: is not a list of keys and values"},
		{"two documents", "service: {name: aa}\n---\nb: c\n", "v.yaml:3:1: begins a second document"},
		{"key twice", "service:\n  name: aa\n  name: bb\n", "v.yaml:3:3: service.name \"name\" stands in line 2 already"},
		{"template", "service: {name: aa}\n{{ x }}: 1\n", "v.yaml:2:1: has a key that is not a single word"},
		{"port", "service: {name: aa, internalPort: http}\n", `v.yaml:1:35: service.internalPort "http" is not a whole number in range`},
		{"port too large", "service: {name: aa, externalPort: 70000}\n", `v.yaml:1:35: service.externalPort "70000"`},
		{"replicas", "service: {name: aa}\nreplicaCount: 0\n", `v.yaml:2:15: replicaCount "0"`},
		{"strategy", "service: {name: aa}\nstrategy: blue\n", `v.yaml:2:11: strategy "blue" is not a deployment strategy; use one of direct, blue_green_service`},
		{"image as text", "service: {name: aa}\nimage: mongo\n", `v.yaml:2:8: image "mongo" is not a mapping`},
		{"image's grammar", "service: {name: aa}\nimage: {repository: 'a b'}\n", `v.yaml:2:21: image.repository "a b"`},
		{"tag's grammar", "service: {name: aa}\nimage: {repository: a, tag: 'a/b'}\n", `v.yaml:2:29: image.tag "a/b"`},
		{"tag alone", "service: {name: aa}\nimage: {tag: 1.0}\n", `v.yaml:2:14: image.tag "1.0" has no repository`},
		{"metrics path", "service: {name: aa}\nmetrics: {path: m}\n", "v.yaml:2:17: metrics.path \"m\" does not begin with a slash"},
		{"pull secret as text", "service: {name: aa}\nimagePullSecrets: hub\n", "v.yaml:2:19: imagePullSecrets \"hub\" is not a list"},
		{"pull secret without a name", "service: {name: aa}\nimagePullSecrets: [hub, {key: x}]\n", "v.yaml:2:25: imagePullSecrets[1] is not the name of a Secret"},
		{"two probes", "service: {name: aa}\nhealth: /h\nreadiness: {tcp: true}\n", "v.yaml:2:9: health \"/h\" stands beside readiness"},
		{"no probe", "service: {name: aa}\nreadiness: {periodSeconds: 1}\n", "v.yaml:2:12: readiness names 0 ways to ask"},
		{"tcp false", "service: {name: aa}\nreadiness: {tcp: false}\n", "v.yaml:2:18: readiness.tcp \"false\" is not true"},
		{"syntax, further down", "service:\n  name: a\nreplicaCount: 1\n- b\n", "v.yaml:4: is not valid YAML: did not find expected key"},
		{"unknown anchor", "service: *x\n", "v.yaml:1: is not valid YAML: unknown anchor"},
		{"a billion laughs", "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n", "aliases for more than 10000 values"},
		{"endless alias", "service: &a {name: *a}\n", "has more than 100 levels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := chart.ParseValues("v.yaml", []byte(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got error %v\nwant %s", err, tt.want)
			}
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Errorf("kind is %s", fairway.KindOf(err))
			}
			for _, p := range fairway.Problems(err) {
				if p.Remedy == "" {
					t.Errorf("%s has no remedy", p)
				}
			}
		})
	}
	_, err := chart.ParseValues("v.yaml", []byte("service: {name: A, internalPort: x}\nreplicaCount: y\n"))
	if got := len(fairway.Problems(err)); got != 3 {
		t.Errorf("got %d problems at once, want 3: %v", got, err)
	}
}

func FuzzParseValues(f *testing.F) {
	for _, s := range []string{"service: {name: carts}", "service:\n  name: a: b", "a: &a [*a]", "<<: *x", "image: {repository: mongo, tag: 1e3}", "readiness: {tcp: true}\nservice: {name: aa}", "? [a]\n: b", "env: [{name: a, value: 007}]\nservice: {name: aa}", "\xef\xbb\xbfa: b"} {
		f.Add([]byte(s))
	}
	st := stage("staging", fairway.BlueGreen)
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := chart.ParseValues("v.yaml", data)
		if err != nil {
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("error %v is of kind %s", err, fairway.KindOf(err))
			}
			return
		}
		req := chart.OnboardRequest{Project: "shop", Stage: st, Domain: "localhost", Values: data}
		changes, _, err := chart.Onboard(nil, req)
		if err != nil {
			return
		}
		if _, err := chart.Check(nil, changes); err != nil {
			t.Fatalf("what was onboarded is refused: %v\n%s", err, changes[chart.ValuesFile])
		}
		got, err := chart.ServiceValues(changes, v.Service)
		if err != nil {
			t.Fatal(err)
		}
		if got.Artifact != v.Artifact || got.InternalPort != v.InternalPort || got.Metrics != v.Metrics || got.HealthPath != v.HealthPath {
			t.Fatalf("read %+v, wrote %+v", chart.Public(v), chart.Public(got))
		}
	})
}
