package scrapeconf

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/fairwaycd/fairway"
)

//go:embed job.yaml
var job string

// Config returns the scrape job for every pod that Fairway runs, as an entry
// of scrape_configs, indented by two spaces.
func Config(interval time.Duration) string {
	text := strings.ReplaceAll(job, "INTERVAL", interval.String())
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("  ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// Options say which Prometheus is made. The zero value is the default of each
// field.
type Options struct {
	// Namespace it is made in; default monitoring.
	Namespace fairway.Namespace
	// Image that it runs; default [Image].
	Image string
	// Interval between two scrapes of a pod, 1 s to 1 min; default 5 s. A test
	// has to last for two of them at least.
	Interval time.Duration
	// Retention of samples; default 24 h. A gate asks about the last minutes.
	Retention time.Duration
}

// Image is the one that is run unless another is named: a release with
// long-term support.
const Image = "docker.io/prom/prometheus:v3.5.0"

// Port and Service under which it answers in its namespace.
const (
	Service = "prometheus-service"
	Port    = 8080
)

// WithDefaults fills in what is not said, and reports what cannot be.
func (o Options) WithDefaults() (Options, error) {
	if o.Namespace == "" {
		o.Namespace = "monitoring"
	}
	if o.Image == "" {
		o.Image = Image
	}
	if o.Interval == 0 {
		o.Interval = 5 * time.Second
	}
	if o.Retention == 0 {
		o.Retention = 24 * time.Hour
	}
	var ps []fairway.Problem
	if err := o.Namespace.Validate(); err != nil {
		ps = append(ps, fairway.Problems(err)...)
	}
	if strings.ContainsAny(o.Image, " \t\n\"'") {
		ps = append(ps, fairway.Problem{Field: "image", Value: o.Image, Message: "is not the name of an image", Remedy: "write it as " + Image})
	}
	if o.Interval < time.Second || o.Interval > time.Minute {
		ps = append(ps, fairway.Problem{Field: "interval", Value: o.Interval.String(), Message: "is not in 1s..1m", Remedy: "use 5s, or what tests of twice that length allow"})
	}
	if o.Retention < time.Hour {
		ps = append(ps, fairway.Problem{Field: "retention", Value: o.Retention.String(), Message: "is less than 1h", Remedy: "use 24h"})
	}
	return o, fairway.InvalidAll(ps)
}

// URL is where it answers within the cluster.
func (o Options) URL() string {
	return fmt.Sprintf("http://%s.%s.svc:%d", Service, o.Namespace, Port)
}

//go:embed objects.yaml
var objects string

var objectsTemplate = template.Must(template.New("objects.yaml").Option("missingkey=error").Parse(objects))

// Objects returns the Kubernetes objects of a Prometheus that scrapes every
// pod that Fairway runs, one YAML document each, in the order in which a
// cluster takes them. They are named as in Keptn 0.2: ConfigMap
// prometheus-server-conf, Deployment prometheus-deployment, Service
// prometheus-service.
func Objects(o Options) ([][]byte, error) {
	o, err := o.WithDefaults()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := objectsTemplate.Execute(&b, map[string]any{
		"Namespace": o.Namespace, "Image": o.Image, "Interval": o.Interval, "Config": indented(Config(o.Interval)),
		"Hours": int(o.Retention.Hours()), "Service": Service, "Port": Port,
	}); err != nil {
		return nil, fmt.Errorf("write the objects: %w", err)
	}
	return bytes.Split(bytes.TrimSpace(b.Bytes()), []byte("\n---\n")), nil
}

// indented moves the job into the block of the ConfigMap.
func indented(config string) string {
	return strings.TrimSpace(strings.ReplaceAll("\n"+config, "\n", "\n    "))
}
