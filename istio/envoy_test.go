package istio

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

func share(blue, green int) fairway.Weights {
	return fairway.Weights{fairway.Blue: blue, fairway.Green: green}
}

// The dumps were taken from an Envoy under Istio.
func dump(t *testing.T, name string) view {
	t.Helper()
	f, err := os.Open("testdata/routes-" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := readRoutes(f)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func want(w fairway.Weights) expected {
	return expected{
		hosts:  []string{"carts.istio-try.192.0.2.2.nip.io", "carts.istio-try.localhost"},
		config: "/namespaces/istio-try/virtual-service/sockshop-production-carts", rules: map[string]bool{ruleSplit: true}, weights: w,
	}
}

func TestARealDumpShowsItsWeightsAndNoOthers(t *testing.T) {
	t.Parallel()
	dumps := map[string]fairway.Weights{"100-0": share(100, 0), "10-90": share(10, 90), "0-100": share(0, 100), "unreleased": nil}
	for name := range dumps {
		v := dump(t, name)
		if v.updated.IsZero() {
			t.Errorf("%s: has no time", name)
		}
		for other, w := range dumps {
			clusters, problem := want(w).check(v)
			if (problem == "") != (name == other) {
				t.Errorf("dump %s, wanted %s: %q", name, inForce(w), problem)
			}
			if name != other {
				continue
			}
			for c, s := range w {
				var all []string
				if s > 0 {
					all = []string{"outbound|80|" + string(c) + "|carts.istio-try.svc.cluster.local"}
				}
				if !slices.Equal(clusters[c], all) {
					t.Errorf("dump %s: clusters of %s are %v", name, c, clusters[c])
				}
			}
		}
	}
}

func TestAProblemSaysWhatTheEnvoyHas(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		dump string
		want expected
		says string
	}{
		{"100-0", want(share(0, 100)), "still has 100/0 for carts.istio-try."},
		{"100-0", want(nil), "still sends requests to a version"},
		{"unreleased", want(share(0, 100)), "still answers that no version is released"},
		{"100-0", expected{hosts: []string{"orders.istio-try.localhost"}, weights: share(0, 100)}, "does not know orders.istio-try.localhost"},
		{"100-0", expected{hosts: []string{"carts.istio-try.localhost"}, config: "/namespaces/istio-try/virtual-service/another", weights: share(0, 100)}, "does not know carts.istio-try.localhost"},
	} {
		if _, problem := tt.want.check(dump(t, tt.dump)); !strings.HasPrefix(problem, tt.says) {
			t.Errorf("%s, wanted %s: %q, want %q", tt.dump, inForce(tt.want.weights), problem, tt.says)
		}
	}
}

// A rule of the user's that leads to green alone is no split, whatever the
// weights are, and a split may have several matches.
func TestRulesAreToldApartByTheirNames(t *testing.T) {
	t.Parallel()
	v := view{hosts: map[string][]envoyRoute{"h": {
		{config: "/a", shares: map[string]int{"outbound|80|green|x": 100}},
		{config: "/a", name: "split.one", shares: map[string]int{"outbound|80|blue|x": 100}},
		{config: "/a", name: "split", shares: map[string]int{"outbound|80|blue|x": 100}},
	}}}
	e := expected{hosts: []string{"h"}, config: "/a", rules: map[string]bool{"split": true}, weights: share(100, 0)}
	if _, problem := e.check(v); problem != "" {
		t.Error(problem)
	}
	e.weights = share(0, 100)
	if _, problem := e.check(v); problem != "still has 100/0 for h" {
		t.Error(problem)
	}
	v.hosts["h"][1].shares = map[string]int{"outbound|80|green|x": 100}
	if _, problem := e.check(v); problem != "still has 100/0 for h" {
		t.Errorf("one of two routes has followed: %q", problem)
	}
}

func TestADirectServiceIsReleasedOrNot(t *testing.T) {
	t.Parallel()
	e := expected{hosts: []string{"h"}, config: "/a", weights: fairway.Full(fairway.Single)}
	released := view{hosts: map[string][]envoyRoute{"h": {{config: "/a", shares: map[string]int{"outbound|80||x": 100}}}}}
	clusters, problem := e.check(released)
	if problem != "" || !slices.Equal(clusters[fairway.Single], []string{"outbound|80||x"}) {
		t.Errorf("%v %q", clusters, problem)
	}
	unreleased := view{hosts: map[string][]envoyRoute{"h": {{config: "/a", name: ruleUnreleased, direct: 503}}}}
	if _, problem := e.check(unreleased); problem == "" {
		t.Error("a service without a version counts as released")
	}
	e.weights = nil
	if _, problem := e.check(released); problem != "still sends requests to a version for h" {
		t.Error(problem)
	}
}

func TestReadClusters(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/clusters.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := readClusters(f)
	if err != nil {
		t.Fatal(err)
	}
	green := all["outbound|80|green|carts.istio-try.svc.cluster.local"]
	if len(green) != 2 || healthy(green) != 2 {
		t.Errorf("green has %v", green)
	}
	text := `c::default_priority::max_requests::9
c::[2001:db8::7]:8080::rq_active::3
c::[2001:db8::7]:8080::health_flags::/failed_eds_health
c::10.0.0.1:80::rq_active::2
c::10.0.0.1:80::health_flags::healthy
c::envoy://connect_originate/10.0.0.2:80::health_flags::healthy
nonsense
`
	all, err = readClusters(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := all["c"]
	if len(c) != 3 || healthy(c) != 2 || c["[2001:db8::7]:8080"].active != 3 || c["10.0.0.1:80"].active != 2 {
		t.Errorf("read %v", c)
	}
}

func TestWhatAnEnvoyRefusesIsSaid(t *testing.T) {
	t.Parallel()
	v, err := readRoutes(strings.NewReader(`{"configs":[{"version_info":"7","last_updated":"2026-01-02T03:04:05Z","error_state":{"details":"bad regex"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := v.since("still has 100/0"); got != "still has 100/0, as istiod told it at 03:04:05; it refuses what istiod sends: bad regex" {
		t.Error(got)
	}
}

func FuzzReadEnvoy(f *testing.F) {
	for _, name := range []string{"routes-10-90.json", "routes-unreleased.json", "clusters.txt"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := readRoutes(strings.NewReader(text)); err == nil {
			for _, w := range []fairway.Weights{nil, share(10, 90), fairway.Full(fairway.Single)} {
				_, _ = want(w).check(v)
			}
		}
		all, err := readClusters(strings.NewReader(text))
		for name, members := range all {
			if err == nil && healthy(members) > len(members) {
				t.Errorf("%s has more healthy endpoints than endpoints", name)
			}
		}
	})
}
