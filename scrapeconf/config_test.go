package scrapeconf_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/config"
	"go.yaml.in/yaml/v3"

	"github.com/fairwaycd/fairway/scrapeconf"
)

func TestObjects(t *testing.T) {
	t.Parallel()
	docs, err := scrapeconf.Objects(scrapeconf.Options{Image: "127.0.0.1:5000/prom/prometheus:v2", Interval: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range docs {
		var o struct {
			Kind     string
			Metadata struct{ Name, Namespace string }
			Data     map[string]string
		}
		if err := yaml.Unmarshal(d, &o); err != nil {
			t.Fatalf("%v in\n%s", err, d)
		}
		names = append(names, o.Kind+"/"+o.Metadata.Name)
		if o.Kind == "ConfigMap" {
			check(t, o.Data["prometheus.yml"])
		}
	}
	want := "Namespace/monitoring ServiceAccount/prometheus ClusterRole/prometheus ClusterRoleBinding/prometheus ConfigMap/prometheus-server-conf Deployment/prometheus-deployment Service/prometheus-service"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("objects are %s, want %s", got, want)
	}
}

func TestConfigStandsInAFileOfOnesOwn(t *testing.T) {
	t.Parallel()
	check(t, "scrape_configs:\n"+scrapeconf.Config(10*time.Second))
}

// check lets Prometheus read it.
func check(t *testing.T, text string) {
	t.Helper()
	c, err := config.Load(text, nil)
	if err != nil || len(c.ScrapeConfigs) != 1 {
		t.Errorf("%v in\n%s", err, text)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]scrapeconf.Options{
		"interval":  {Interval: time.Hour},
		"retention": {Retention: time.Minute},
		"image":     {Image: "a b"},
		"namespace": {Namespace: "No Namespace"},
	} {
		if _, err := scrapeconf.Objects(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
