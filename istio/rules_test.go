package istio

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fairwaycd/fairway"
)

var production = fairway.Workload{
	Project: "sockshop", Stage: "production",
	Place: fairway.Place{Namespace: "production", Service: "carts", Colour: fairway.Green},
}

// object decodes a document as one of the workload's.
func object(t *testing.T, w fairway.Workload, text string) *unstructured.Unstructured {
	t.Helper()
	all, err := decode(w, [][]byte{[]byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func carts(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile("testdata/carts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return object(t, production, string(text))
}

func TestOnlyWeightsAndNamesOfRulesChange(t *testing.T) {
	t.Parallel()
	git := carts(t)
	o, err := split{git: git, written: share(10, 90), seen: share(100, 0)}.object()
	if err != nil {
		t.Fatal(err)
	}
	rules := rulesOf(o)
	if got := colours(rules[1]); weight(got[fairway.Blue]) != 10 || weight(got[fairway.Green]) != 90 {
		t.Errorf("weights are %v", got)
	}
	if _, named := rules[0]["name"]; named {
		t.Error("a rule that splits nothing got a name")
	}
	if rules[1]["name"] != ruleSplit {
		t.Errorf("the split has the name %v", rules[1]["name"])
	}
	if got := o.GetAnnotations()[annotationSeen]; got != "100/0" {
		t.Errorf("seen is %q, want what was seen and not what is written", got)
	}
	// All else is as git has it.
	delete(rules[1], "name")
	for _, d := range colours(rules[1]) {
		d["weight"] = int64(0)
	}
	o.SetAnnotations(nil)
	if !reflect.DeepEqual(o.Object, git.Object) {
		t.Errorf("more than weights has changed:\n%v\n%v", o.Object, git.Object)
	}
}

func TestARuleKeepsTheNameThatGitGivesIt(t *testing.T) {
	t.Parallel()
	git := carts(t)
	rulesOf(git)[1]["name"] = "main"
	o, err := split{git: git, written: share(0, 100)}.object()
	if err != nil {
		t.Fatal(err)
	}
	if names := splitNames(o); !reflect.DeepEqual(names, map[string]bool{"main": true}) {
		t.Errorf("names of the split rules: %v", names)
	}
}

func TestWithoutAReleasedVersionTheServiceAnswers503(t *testing.T) {
	t.Parallel()
	o, err := split{git: carts(t)}.object()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(o.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"status":503`, "carts has no released version in production"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	if strings.Contains(string(text), "destination") || writtenWeights(o) != nil {
		t.Errorf("%s leads somewhere", text)
	}
}

func TestAPinnedVirtualServiceHasTheRulesOfBoth(t *testing.T) {
	t.Parallel()
	git := carts(t)
	addHost(git.Object["spec"].(map[string]any), "carts.production.192.0.2.7.nip.io")
	addHost(git.Object["spec"].(map[string]any), "shop.example.com")
	o := pinned(git, fairway.Place{Namespace: "production", Service: "carts", Colour: fairway.Blue})
	if got, want := hostsOf(o), []string{"carts-blue.production.localhost", "carts-blue.production.192.0.2.7.nip.io"}; !reflect.DeepEqual(got, want) {
		t.Errorf("hosts are %v, want %v", got, want)
	}
	bound, _, _ := unstructured.NestedStringSlice(o.Object, "spec", "gateways")
	if !reflect.DeepEqual(bound, []string{"sockshop-production-gateway"}) {
		t.Errorf("gateways are %v: inside the mesh a colour has a Kubernetes Service of its own", bound)
	}
	rule := rulesOf(o)[1]
	if rule["timeout"] != "7s" || len(elements(rule["route"])) != 1 || colours(rule)[fairway.Blue] == nil {
		t.Errorf("the rule is %v", rule)
	}
	if splits(o) {
		t.Error("a pinned VirtualService divides traffic")
	}
	if !splits(git) {
		t.Error("the VirtualService itself has changed")
	}
}

func TestNoHostNoPinnedVirtualService(t *testing.T) {
	t.Parallel()
	git := carts(t)
	git.Object["spec"].(map[string]any)["hosts"] = []any{"shop.example.com", "carts.production.svc.cluster.local"}
	if o := pinned(git, production.Place); o != nil {
		t.Errorf("made %v", hostsOf(o))
	}
	if got := outsideHosts(git); !reflect.DeepEqual(got, []string{"shop.example.com"}) {
		t.Errorf("hosts at the gateway: %v", got)
	}
	git.Object["spec"].(map[string]any)["gateways"] = []any{"mesh"}
	if got := outsideHosts(git); got != nil {
		t.Errorf("hosts at no gateway: %v", got)
	}
}

func TestParseWeights(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]fairway.Weights{
		"": nil, "100": fairway.Full(fairway.Single), "0/100": share(0, 100), "10/90": share(10, 90),
	} {
		got, err := parseWeights(text)
		if err != nil || !same(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if want != nil && got.String() != text {
			t.Errorf("%q is printed as %q", text, got)
		}
	}
	for _, text := range []string{"x", "1/", "/", "50/60", "-1/101", "1/2/97", "99"} {
		if w, err := parseWeights(text); err == nil {
			t.Errorf("%q: %v, want an error", text, w)
		}
	}
}

func TestSameTellsNoWeightsFromNone(t *testing.T) {
	t.Parallel()
	if same(nil, share(0, 0)) || !same(nil, nil) || same(share(0, 100), share(100, 0)) {
		t.Error("same is wrong")
	}
}

// Whatever git has, what is written can be read again, and is written alike.
func FuzzSplitRoundTrip(f *testing.F) {
	seed, err := os.ReadFile("testdata/carts.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(seed), 30, true)
	f.Add(string(seed), 0, false)
	f.Add("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec: {http: [{route: [{destination: {host: y}}]}, 7, {route: 5}]}\n", 100, true)
	f.Add("apiVersion: v1\nkind: VirtualService\nmetadata: {annotations: {a: b}}\nspec: 3\n", 100, true)
	f.Fuzz(func(t *testing.T, text string, blue int, released bool) {
		all, err := decode(production, [][]byte{[]byte(text)})
		if err != nil || blue < 0 || blue > 100 {
			return
		}
		git := all[0]
		s := split{git: git}
		if released {
			s.written = fairway.Full(fairway.Single)
			if splits(git) {
				s.written = share(blue, 100-blue)
			}
		}
		s.seen = s.written
		o, err := s.object()
		if err != nil {
			return
		}
		again, err := readSplit(o)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		unnamed := true // a rule of git's may have our name for another
		for _, r := range rulesOf(git) {
			unnamed = unnamed && r["name"] != ruleUnreleased
		}
		if unnamed && (!same(again.written, s.written) || !same(again.seen, s.seen)) {
			t.Fatalf("written %v, seen %v, read %v, %v", s.written, s.seen, again.written, again.seen)
		}
		twice, err := split{git: again.git, written: s.written, seen: s.seen}.object()
		if err != nil || !reflect.DeepEqual(twice.Object, o.Object) {
			t.Fatalf("written again it is another: %v\n%v\n%v", err, o.Object, twice.Object)
		}
	})
}
