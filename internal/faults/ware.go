package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/image"
)

// version is one build of a service and how its delivery has to end.
type version struct {
	tag string
	env map[string]string // see cmd/fairway/testdata/ware
	end fairway.DeliveryStatus
}

// service is delivered version by version: the next one is pushed when the
// one before has ended.
type service struct {
	project  fairway.ProjectName
	name     fairway.ServiceName
	versions []version
}

func (s service) key(tag string) string { return string(s.project) + "/" + string(s.name) + ":" + tag }

// projects are what is delivered through: with the gate before traffic and a
// person at the end, and with the old order.
var projects = map[fairway.ProjectName]string{
	"shop": `stages:
  - name: dev
    deployment_strategy: direct
    test_strategy: functional
  - name: staging
    deployment_strategy: blue_green_service
    test_strategy: performance
    gate: required
  - name: production
    deployment_strategy: blue_green_service
    approval: manual
`,
	"desk": `stages:
  - name: desk
    deployment_strategy: blue_green_service
    test_strategy: performance
    gate: required
    release: before_tests
`,
}

// provedHosts are the hosts whose traffic moves after a proof, by the event
// that is the proof.
var provedHosts = map[string]proof{
	"cart.staging.localhost":    {stage: "staging", event: fairway.TypeEvaluationDone},
	"pay.staging.localhost":     {stage: "staging", event: fairway.TypeEvaluationDone},
	"cart.production.localhost": {stage: "production", event: fairway.TypeApprovalGiven},
	"pay.production.localhost":  {stage: "production", event: fairway.TypeApprovalGiven},
}

type proof struct {
	stage fairway.StageName
	event string
}

// by reports whether the event is the proof.
func (p proof) by(e fairway.Event) bool {
	var data fairway.EventData
	if e.Type != p.event || json.Unmarshal(e.Data, &data) != nil {
		return false
	}
	passed := e.Type != fairway.TypeEvaluationDone || data.EvaluationPassed != nil && *data.EvaluationPassed
	return data.Stage == p.stage && passed
}

var (
	good  = map[string]string{}
	slow  = map[string]string{"DELAY": "1500ms"} // judged bad by the gate
	holed = map[string]string{"FAIL": "work"}    // fails its functional test
)

// deliveries is the set of deliveries that every fault falls into.
func deliveries(short bool) []service {
	all := []service{
		{"shop", "cart", []version{{"1", good, fairway.StatusFinished}, {"2", slow, fairway.StatusRejected}, {"3", good, fairway.StatusFinished}}},
		{"shop", "pay", []version{{"1", good, fairway.StatusFinished}, {"2", holed, fairway.StatusRejected}, {"3", good, fairway.StatusFinished}}},
		{"desk", "order", []version{{"1", good, fairway.StatusFinished}, {"2", slow, fairway.StatusRejected}, {"3", good, fairway.StatusFinished}}},
	}
	if short {
		for i := range all {
			all[i].versions = all[i].versions[:2]
		}
	}
	return all
}

// resources are what the services are onboarded with, by file.
var resources = map[string]string{
	"values.yaml":            "service:\n  name: NAME\n  internalPort: 8080\nhealth: /health\nmetrics:\n  path: /metrics\n",
	"tests/functional.yaml":  "requests:\n  - {name: do some work, path: /work, expect: {status: 200, contains: done}}\n",
	"tests/performance.yaml": "users: 4\nduration: 500ms\nthink: 20ms\nrampUp: 50ms\nrequests: [{name: do some work, path: /work}]\n",
	"perfspec/perfspec.json": `{"spec_version": "1.0", "indicators": [{"id": "work_seconds", "source": "Prometheus",
 "query": "rate(work_seconds_sum{job='NAME'}[3m])/rate(work_seconds_count{job='NAME'}[3m])",
 "grading": {"type": "Threshold", "thresholds": {"upperSevere": 1.0}, "metricScore": 100}}],
 "objectives": {"pass": 90, "warning": 50}}
`,
}

// writeFiles lays out name's resources under dir, for the command line.
func writeFiles(dir, name string) error {
	for file, text := range resources {
		file = filepath.Join(dir, name, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "NAME", name)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// pusher packs a version once and pushes it as often as asked.
func pusher(ware string, v version) (func(ctx context.Context, ref, token string) error, error) {
	env := map[string]string{"VERSION": v.tag}
	for k, value := range v.env {
		env[k] = value
	}
	img, err := image.Pack(image.PackRequest{Binary: ware, Port: 8080, Env: env})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, ref, token string) error {
		_, err := image.Push(ctx, img, ref, image.Credentials{User: "fairway", Token: token})
		return err
	}, nil
}
