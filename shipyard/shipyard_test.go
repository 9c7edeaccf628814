package shipyard_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/shipyard"
	schemas "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

const sockshop = `# three stages
registry: sockshop
stages:
  - name: "dev"
    deployment_strategy: "direct"
    test_strategy: "functional"
  - name: "staging"
    deployment_strategy: "blue_green_service"
    test_strategy: "performance"
  - name: "production"
    deployment_strategy: "blue_green_service"
`

const everything = `project: sockshop
registry: team/shop
tags: ['[0-9]*', v*]
stages:
- name: dev
  namespace: sockshop-dev
  deployment_strategy: direct
  test_strategy: functional
  gate: off
  release: after_gate
  approval: none
  on_failure: keep
  on_warning: promote
  previous: 0
  supersede: never
- {name: staging, deployment_strategy: blue_green_service, test_strategy: performance, gate: required, release: before_tests,
   approval: manual, on_warning: approve, previous: 30m, supersede: always}
- name: production
  test_strategy: ""
`

func TestParse(t *testing.T) {
	t.Parallel()
	y, err := shipyard.Parse("shipyard.yaml", []byte(sockshop))
	if err != nil {
		t.Fatal(err)
	}
	want := fairway.Shipyard{Registry: "sockshop", Stages: []fairway.Stage{
		{Name: "dev", DeploymentStrategy: fairway.Direct, TestStrategy: fairway.FunctionalTests},
		{Name: "staging", DeploymentStrategy: fairway.BlueGreen, TestStrategy: fairway.PerformanceTests},
		{Name: "production", DeploymentStrategy: fairway.BlueGreen},
	}}
	if !reflect.DeepEqual(y, want) {
		t.Errorf("got %+v", y)
	}
	y, err = shipyard.ParseFor("sockshop", "shipyard.yaml", []byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	want = fairway.Shipyard{Registry: "team/shop", Tags: []string{"[0-9]*", "v*"}, Stages: []fairway.Stage{
		{Name: "dev", Namespace: "sockshop-dev", DeploymentStrategy: "direct", TestStrategy: "functional", Gate: "off", Release: "after_gate",
			Approval: "none", OnFailure: "keep", OnWarning: "promote", Previous: "0", Supersede: "never"},
		{Name: "staging", DeploymentStrategy: "blue_green_service", TestStrategy: "performance", Gate: "required", Release: "before_tests",
			Approval: "manual", OnWarning: "approve", Previous: "30m", Supersede: "always"},
		{Name: "production"},
	}}
	if !reflect.DeepEqual(y, want) {
		t.Errorf("got %+v", y)
	}
}

func TestScalarsKeepTheirText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1.0", "007", "1e3", "true", "off", "0x10", "2019-01-01", "1_000", "12:30"} {
		y, err := shipyard.Parse("f", []byte("tags: ["+`"`+text+`"`+", "+text+"]\nstages: [{name: s}]\n"))
		if err != nil || len(y.Tags) != 2 || y.Tags[0] != text || y.Tags[1] != text {
			t.Errorf("%s became %q, %v", text, y.Tags, err)
		}
	}
	for _, registry := range []string{"1.0", "007", "1e3", "true", "2019-01-01"} {
		y, err := shipyard.Parse("f", []byte("registry: "+registry+"\nstages: [{name: s}]\n"))
		if err != nil || y.Registry != registry {
			t.Errorf("%s became %q, %v", registry, y.Registry, err)
		}
	}
	_, err := shipyard.Parse("f", []byte("stages:\n- name: 007\n"))
	if err == nil || !strings.Contains(err.Error(), `f:2:9: stages[0].name "007" is not a valid name`) {
		t.Errorf("got %v", err)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x, x]\n" + "b: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n" + "c: [*b, *b, *b, *b, *b, *b]\nstages: [{name: dev}]\n"
	stage := func(line string) string { return "stages:\n- name: dev\n  " + line + "\n" }
	tests := []struct{ name, in, want string }{
		{"empty", "", `f:1:1: is empty; write at least`},
		{"only a comment", "# nothing\n", `is empty`},
		{"only null", "---\n", `is empty`},
		{"a list", "- name: dev\n", `f:1:1: is a list; start with stages:`},
		{"text", "dev", `is text; start with stages:`},
		{"not YAML", "stages:\n- name: dev\n bad\n  x: [\n", `f:`},
		{"not YAML, further down", "stages:\n- name: dev\n- name: live\n bad\n- name: end\n", `f:4: is not YAML`},
		{"tab", "stages:\n\t- name: dev\n", `indent with spaces; tabs are not allowed`},
		{"not UTF-8", "stages: \xff", `is not UTF-8`},
		{"control character", "stages: [{name: \x01}]", `is not YAML: control characters are not allowed`},
		{"too large", strings.Repeat("#", 1<<20+1), `is larger than 1 MB`},
		{"too deep", "stages: " + strings.Repeat("[", 500) + strings.Repeat("]", 500), `nested more than 20 levels`},
		{"two documents", sockshop + "---\nstages: []\n", `f:13:1: is a second document in the file; keep one`},
		{"alias", bomb, `f:1:4: is the anchor &a; write the value out`},
		{"alias alone", "stages: [&s {name: dev}, *s]\n", `f:1:26: is the alias *s`},
		{"merge key", "x: &x {name: dev}\nstages: [{<<: *x}]\n", `is the alias *x`},
		{"tag", "stages: [{name: !!binary ZGV2}]\n", `is the tag !!binary`},
		{"no stages", "registry: sockshop\n", `f:1:1: stages is missing`},
		{"stages empty", "stages: []\n", `f:1:9: stages is empty; list at least one`},
		{"stages without a value", "stages:\n", `stages is without a value; write a list`},
		{"stages a mapping", "stages: {name: dev}\n", `f:1:9: stages is a mapping; write a list`},
		{"stage is text", "stages: [dev]\n", `f:1:10: stages[0] "dev" is text; write - name: dev and`},
		{"stage without name", "stages:\n- gate: off\n", `f:2:3: stages[0].name is missing`},
		{"too many stages", "stages: [" + strings.Repeat("{name: a},", 101) + "]", `has 101 entries`},
		{"unknown key", "stage: []\n", `f:1:1: stage is not a key of a shipyard; did you mean stages? use one of project`},
		{"camel case", stage("deploymentStrategy: direct"), `f:3:3: stages[0].deploymentStrategy is not a key of a shipyard; did you mean deployment_strategy?`},
		{"misspelt", stage("aproval: manual"), `did you mean approval?`},
		{"next of the design notes", stage("next: staging"), `stages[0].next is not a key of a shipyard; use one of name`},
		{"key twice", stage("gate: off\n  gate: off"), `f:4:3: stages[0].gate is there twice`},
		{"key is a list", "[a]: b\nstages: [{name: dev}]\n", `is a key that is a list`},
		{"unknown strategy", stage("deployment_strategy: canary"), `f:3:24: stages[0].deployment_strategy "canary" is not a value of this key; use one of direct, blue_green_service`},
		{"misspelt value", stage("test_strategy: Performace"), `did you mean performance? use one of functional, performance`},
		{"value is a list", stage("approval: [manual]"), `f:3:13: stages[0].approval is a list; write a single value`},
		{"value is nothing", stage("approval:"), `stages[0].approval has no value; write one, or remove the key`},
		{"value is empty", stage(`approval: ""`), `stages[0].approval is empty`},
		{"previous", stage("previous: soon"), `f:3:13: stages[0].previous "soon" is neither keep, 0 nor a duration`},
		{"gate without tests", stage("gate: required"), `f:3:9: stages[0].gate "required" needs a test`},
		{"release in a direct stage", stage("release: before_tests"), `f:3:12: stages[0].release "before_tests" has no meaning`},
		{"name", "stages: [{name: Dev}]\n", `f:1:17: stages[0].name "Dev" is not a valid name`},
		{"name of the main branch", "stages: [{name: main}]\n", `is the name of the branch`},
		{"names twice", "stages:\n- name: dev\n- name: dev\n", `f:3:9: stages[1].name "dev" is the name of stages[0] too`},
		{"namespaces twice", "stages:\n- name: dev\n- name: qa\n  namespace: dev\n", `f:4:14: stages[1].namespace "dev" is the namespace of stages[0] too`},
		{"namespace by default", "stages:\n- name: qa\n  namespace: dev\n- name: dev\n", `f:4:9: stages[1].namespace "dev" is the namespace of stages[0] too`},
		{"registry with host", "registry: 127.0.0.1:5000/sockshop\nstages: [{name: dev}]\n", `f:1:11: registry "127.0.0.1:5000/sockshop" is not the path`},
		{"tags", "tags: v*\nstages: [{name: dev}]\n", `f:1:7: tags "v*" is text; write a list`},
		{"no tags", "tags: []\nstages: [{name: dev}]\n", `tags is empty`},
		{"tag pattern", "tags: ['[0-9']\nstages: [{name: dev}]\n", `f:1:8: tags[0] "[0-9" is not a pattern`},
		{"project", "project: Sock Shop\nstages: [{name: dev}]\n", `f:1:10: project "Sock Shop" is not a valid name`},
		{"another project", "project: bookshop\nstages: [{name: dev}]\n", `f:1:10: project "bookshop" is another project than sockshop`},
		{"a Kubernetes object", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {}\n", `f:1:1: apiVersion is not a key of a shipyard`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := shipyard.ParseFor("sockshop", "f", []byte(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got  %v\nwant %s", err, tt.want)
			}
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Errorf("kind %s", fairway.KindOf(err))
			}
			for _, p := range fairway.Problems(err) {
				if p.File != "f" || p.Line == 0 || p.Remedy == "" {
					t.Errorf("without place or remedy: %+v", p)
				}
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := shipyard.Parse("shipyard.yaml", []byte(`registri: sockshop
stages:
  - name: Dev
    test_strategy: fast
  - nme: staging
    deployment_strategy: [direct]
  - name: qa
    gate: required
    gate: required
  - production
`))
	var got []string
	for _, p := range fairway.Problems(err) {
		got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Field))
	}
	want := `1:1 registri
3:11 stages[0].name
4:20 stages[0].test_strategy
5:5 stages[1].nme
5:5 stages[1].name
6:26 stages[1].deployment_strategy
8:11 stages[2].gate
9:5 stages[2].gate
10:5 stages[3]`
	if g := strings.Join(got, "\n"); g != want {
		t.Errorf("got\n%s\nwant\n%s\n%v", g, want, err)
	}
}

func TestLaterKeptnIsRefusedByName(t *testing.T) {
	t.Parallel()
	_, err := shipyard.Parse("shipyard.yaml", []byte(`apiVersion: "spec.keptn.sh/0.2.2"
kind: "Shipyard"
metadata:
  name: "shop"
spec:
  stages:
    - name: "staging"
      sequences:
        - name: "delivery"
          triggeredOn:
            - event: "dev.delivery.finished"
          tasks:
            - name: "deployment"
              properties:
                deploymentstrategy: "blue_green_service"
            - name: "evaluation"
            - name: "my-task"
`))
	text := fmt.Sprint(err)
	for _, want := range []string{
		"shipyard.yaml:1: is a shipyard of Keptn 0.8 or later",
		`shipyard.yaml:1:1: apiVersion "spec.keptn.sh/0.2.2" belongs to Keptn; leave it out`,
		`shipyard.yaml:2:1: kind`, `shipyard.yaml:3:1: metadata`, `its stages become the top-level key stages`,
		`shipyard.yaml:8:7: spec.stages[0].sequences belongs to Keptn`,
		`the order of the stages is the order of promotion`,
		`"deployment" is a task of Keptn; write deployment_strategy: direct or blue_green_service`,
		`"evaluation" is a task of Keptn; write gate: required`,
		`"my-task" is a task of Keptn; leave it out; it has no counterpart`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	_, err = shipyard.Parse("f", []byte(`stages:
  - name: staging
    deployment_strategy: blue_green_service
    approval_strategy: {pass: automatic, warning: manual}
    remediation_strategy: automated
`))
	text = fmt.Sprint(err)
	for _, want := range []string{"f:1: is a shipyard of Keptn 0.5 to 0.7", "f:4:5: stages[0].approval_strategy", "on_warning: approve for warning: manual", `f:5:5: stages[0].remediation_strategy "automated"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestHostileFilesAreCheap(t *testing.T) {
	t.Parallel()
	var keys strings.Builder
	for i := range 60000 {
		fmt.Fprintf(&keys, "k%d: 0\n", i)
	}
	for name, in := range map[string]string{
		"keys":   keys.String(),
		"flow":   "a: " + strings.Repeat("[", 9000),
		"indent": strings.Repeat("- ", 9000),
		"braces": strings.Repeat("{a: ", 9000),
		"keys ?": strings.Repeat("? ", 9000),
		"long":   "registry: " + strings.Repeat("a-", 1<<18),
	} {
		start := time.Now()
		_, err := shipyard.Parse("f", []byte(in))
		if took := time.Since(start); err == nil || took > 10*time.Second {
			t.Errorf("%s: %v after %s", name, err, took)
		}
		if n := len(fairway.Problems(err)); n > 101 {
			t.Errorf("%s: %d problems listed", name, n)
		}
	}
}

func TestMarshal(t *testing.T) {
	t.Parallel()
	y, err := shipyard.Parse("f", []byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	text, err := shipyard.Marshal(y, "sockshop")
	if err != nil {
		t.Fatal(err)
	}
	want := `project: sockshop
registry: team/shop
tags:
  - '[0-9]*'
  - v*
stages:
  - name: dev
    namespace: sockshop-dev
    deployment_strategy: direct
    test_strategy: functional
    gate: "off"
    release: after_gate
    approval: none
    on_failure: keep
    on_warning: promote
    previous: "0"
    supersede: never
  - name: staging
    deployment_strategy: blue_green_service
    test_strategy: performance
    gate: required
    release: before_tests
    approval: manual
    on_warning: approve
    previous: 30m
    supersede: always
  - name: production
`
	if string(text) != want {
		t.Errorf("got\n%s", text)
	}
}

func TestMarshalGivesTheSameBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		pick := func(key string) string {
			return rapid.SampledFrom(append(fairway.Allowed()[key], "")).Draw(rt, key)
		}
		y := fairway.Shipyard{Registry: rapid.SampledFrom([]string{"", "1.0", "007", "true", "null", "a/b", "1e3", "2019-01-01", "0x1f"}).Draw(rt, "registry")}
		y.Tags = rapid.SliceOfN(rapid.SampledFrom([]string{"1.0", "on", "~", "null", "v*", "[a-z]?", "#1", "a: b", "- x", "é", "1:30"}), 0, 3).Draw(rt, "tags")
		if len(y.Tags) == 0 {
			y.Tags = nil
		}
		for i := range rapid.IntRange(1, 4).Draw(rt, "stages") {
			y.Stages = append(y.Stages, fairway.Stage{
				Name:               fairway.StageName(rapid.SampledFrom([]string{"y", "no", "null", "true", "e1", "dev"}).Draw(rt, "name") + strings.Repeat("x", i)),
				DeploymentStrategy: fairway.DeploymentStrategy(pick("deployment_strategy")), TestStrategy: fairway.TestStrategy(pick("test_strategy")),
				Gate: fairway.GatePolicy(pick("gate")), Approval: fairway.Approval(pick("approval")), OnFailure: fairway.OnFailure(pick("on_failure")),
				OnWarning: fairway.OnWarning(pick("on_warning")), Supersede: fairway.Supersede(pick("supersede")),
				Previous: fairway.Previous(rapid.SampledFrom([]string{"", "keep", "0", "30m", "1h30m"}).Draw(rt, "previous")),
			})
		}
		if y.Validate() != nil {
			rt.Skip("not a valid shipyard")
		}
		text, err := shipyard.Marshal(y, "shop")
		if err != nil {
			rt.Fatal(err)
		}
		back, err := shipyard.ParseFor("shop", "f", text)
		if err != nil || !reflect.DeepEqual(y, back) {
			rt.Fatalf("%+v became\n%s\n%+v, %v", y, text, back, err)
		}
	})
}

func TestSchema(t *testing.T) {
	t.Parallel()
	text, err := shipyard.Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := schemas.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := schemas.NewCompiler()
	if err := c.AddResource("shipyard.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("shipyard.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(in string) error {
		var v any
		if err := yaml.Unmarshal([]byte(in), &v); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := schemas.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(parsed)
	}
	for _, in := range []string{sockshop, everything} {
		if err := check(in); err != nil {
			t.Errorf("a good shipyard is refused: %v", err)
		}
	}
	for _, in := range []string{"{}", "stages: []", "stages: [{gate: off}]", "stages: [{name: dev, next: qa}]", "stages: [{name: dev, gate: on}]", "stagess: []", "stages: [{name: dev, previous: 3}]", "tags: []\nstages: [{name: dev}]"} {
		if check(in) == nil {
			t.Errorf("accepted: %s", in)
		}
		if _, err := shipyard.Parse("f", []byte(in)); err == nil {
			t.Errorf("parsed: %s", in)
		}
	}
	if strings.Count(string(text), `"description"`) != 1+len(shipyard.Table()) {
		t.Errorf("a key has no description:\n%s", text)
	}
}

// TestKeysAreThoseOfTheVocabulary fails when the root package gains a key that
// is not described here.
func TestKeysAreThoseOfTheVocabulary(t *testing.T) {
	t.Parallel()
	var want []string
	add := func(v any, prefix string) {
		for i := range reflect.TypeOf(v).NumField() {
			tag, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("yaml"), ",")
			want = append(want, prefix+tag)
		}
	}
	want = append(want, "project")
	add(fairway.Shipyard{}, "")
	add(fairway.Stage{}, "stages[].")
	var got []string
	for _, row := range shipyard.Table() {
		got = append(got, row.Key)
		if row.Values == "" || row.Default == "" || row.Meaning == "" {
			t.Errorf("incomplete: %+v", row)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestDocumentedTables(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../docs/reference/shipyard.md")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| key | values | default | meaning |\n|---|---|---|---|\n")
	for _, row := range shipyard.Table() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", row.Key, row.Values, row.Default, row.Meaning)
	}
	if !strings.Contains(string(data), "\n"+b.String()+"\n") {
		t.Errorf("docs/reference/shipyard.md does not hold this table:\n%s", b.String())
	}
	for i, example := range strings.Split(string(data), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(example, "```")
		if _, err := shipyard.Parse("shipyard.md", []byte(text)); err != nil {
			t.Errorf("example %d: %v", i, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{sockshop, everything, "stages: [{name: dev}, *x]", "a: &a [*a]", "stages:\n- name: !!str 007\n  ? [x]\n  : y\n", "--- |\n x\n...\n---\n", "stages: {<<: {name: dev}}",
		"spec: {stages: [{sequences: [{tasks: [{name: test}, x]}]}]}", "%YAML 1.1\n---\nstages: !<tag:x> []", "\ufeffstages: []", "stages: [{name: \"\\u0000\"}]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		y, err := shipyard.ParseFor("shop", "f", []byte(in))
		if err != nil {
			if len(fairway.Problems(err)) == 0 || fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("an error without a problem: %v", err)
			}
			return
		}
		if err := y.Validate(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		text, err := shipyard.Marshal(y, "shop")
		if err != nil {
			t.Fatal(err)
		}
		back, err := shipyard.ParseFor("shop", "f", text)
		if err != nil || !reflect.DeepEqual(y, back) {
			t.Fatalf("%+v became\n%s\n%+v, %v", y, text, back, err)
		}
	})
}
