package shipyard

import (
	"reflect"
	"strings"

	"github.com/fairwaycd/fairway"
)

// Row is one key of shipyard.yaml as the documentation shows it.
type Row struct {
	Key     string // keys of a stage start with stages[].
	Values  string
	Default string
	Meaning string
}

// key describes one key. Values and defaults are empty where they follow from
// the vocabulary.
type key struct {
	name, values, def, meaning string
}

var topKeys = []key{
	{"project", "the project's name", "–", "Read and compared, never needed: Keptn 0.2 wrote the name here, and so does Fairway. The name is given when the project is created."},
	{"registry", "a path such as `sockshop` or `team/shop`", "the project's name", "Path part of the images that belong to the project: `HOST/REGISTRY/SERVICE:TAG`."},
	{"tags", "a list of shell patterns such as `v*` or `[0-9]*`", "every tag but `latest`", "Which pushed tags start a delivery."},
	{"stages", "a list of at least one stage", "required", "The stages in the order of promotion."},
}

var stageKeys = []key{
	{"name", "1 to 40 lower-case letters, digits and hyphens; not `main` or `master`", "required", "Name of the stage and of its branch in the project's repository."},
	{"namespace", "a DNS label", "the stage's name", "The environment: the Kubernetes namespace, the second label of every host (`SERVICE.NAMESPACE.DOMAIN`), and what `$ENVIRONMENT` and `ENV_PLACEHOLDER` become in objectives."},
	{"deployment_strategy", "", "", "`direct`: the new version replaces the old one, then it is tested. `blue_green_service`: it starts beside the old one and gets traffic when it has been proved."},
	{"test_strategy", "", "no tests", "`functional`: health and functional tests. `performance`: health and load tests, and the gate is asked."},
	{"gate", "", "`optional` where test_strategy is `performance`, else `off`", "Whether the quality gate is asked. `optional`: a service without objectives goes on as not judged. `required`: it fails, and so does a result that is not tied to the version under test."},
	{"release", "", "", "When traffic moves to the new version: after the gate, or before the tests and back if they fail. `before_tests` needs `blue_green_service`."},
	{"approval", "", "", "`manual`: the proved version waits, without traffic, until a person approves or rejects it."},
	{"on_failure", "", "", "What becomes of a direct stage whose new version failed: `rollback` puts the previous image back, `keep` leaves the new one."},
	{"on_warning", "", "", "What a warning of the gate leads to: the version goes on marked as such, waits for a person, or is turned away."},
	{"previous", "`keep`, `0` or a duration such as `30m`", "", "How long the version that lost its traffic keeps running. `keep`: until its colour is needed. `0`: it is stopped at once."},
	{"supersede", "", "", "Which deliveries a newer artifact replaces: those that wait for the stage, also those that wait for a person, or none."},
}

// Table returns every key of shipyard.yaml, in the order of the file.
func Table() []Row {
	var rows []Row
	for _, k := range topKeys {
		rows = append(rows, Row{Key: k.name, Values: k.values, Default: k.def, Meaning: k.meaning})
	}
	for _, k := range stageKeys {
		row := Row{Key: "stages[]." + k.name, Values: k.values, Default: k.def, Meaning: k.meaning}
		if row.Values == "" {
			row.Values = "`" + strings.Join(named(fairway.Allowed()[k.name]), "`, `") + "`"
		}
		if row.Default == "" {
			row.Default = "`" + defaultOf(k.name) + "`"
		}
		rows = append(rows, row)
	}
	return rows
}

// named leaves out the empty value, which no one writes.
func named(values []string) []string {
	var out []string
	for _, v := range values {
		if v != "" {
			out = append(out, v)
		}
	}
	return out
}

// defaultOf returns what a stage's key is when it is not written.
func defaultOf(name string) string {
	stage := fairway.Stage{}.WithDefaults()
	return stageField(&stage, name).String()
}

// stageField returns the field of a stage that a key sets. All of them are
// kinds of text.
func stageField(s *fairway.Stage, name string) reflect.Value {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); tag == name {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

func names(keys []key) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.name
	}
	return out
}
