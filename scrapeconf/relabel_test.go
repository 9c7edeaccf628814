package scrapeconf_test

import (
	"maps"
	"testing"
	"time"

	"github.com/prometheus/prometheus/config"
	_ "github.com/prometheus/prometheus/discovery/kubernetes" // reads its part of the configuration
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/fairwaycd/fairway/scrapeconf"
)

// The labels that a pod is scraped under are those that the Prometheus inside
// Fairway gives on one machine, and the pod's name.
func TestPodsAreScrapedUnderTheirPlace(t *testing.T) {
	t.Parallel()
	green := map[string]string{
		"__meta_kubernetes_namespace": "production", "__meta_kubernetes_pod_name": "carts-green-1", "__meta_kubernetes_pod_ip": "10.1.2.3",
		"__meta_kubernetes_pod_phase": "Running", "__meta_kubernetes_pod_container_init": "false", "__address__": "10.1.2.3:9999",
		"__meta_kubernetes_pod_label_fairway_dev_service": "carts", "__meta_kubernetes_pod_label_fairway_dev_colour": "green",
		"__meta_kubernetes_pod_label_fairway_dev_project": "sockshop", "__meta_kubernetes_pod_label_fairway_dev_stage": "production",
		"__meta_kubernetes_pod_label_version": "0.6.2-3", "__meta_kubernetes_pod_annotation_fairway_dev_run": "abc/production/1",
		"__meta_kubernetes_pod_annotation_prometheus_io_scrape": "true", "__meta_kubernetes_pod_annotation_prometheus_io_port": "8080",
		"__meta_kubernetes_pod_annotation_prometheus_io_path": "/prometheus",
	}
	with := func(change map[string]string) map[string]string {
		m := maps.Clone(green)
		maps.Copy(m, change)
		return m
	}
	want := map[string]string{
		"__address__": "10.1.2.3:8080", "__metrics_path__": "/prometheus",
		"job": "carts", "service": "carts", "app": "carts", "project": "sockshop", "stage": "production", "namespace": "production",
		"instance": "carts-green.production.svc.cluster.local:80", "colour": "green", "pod": "carts-green-1", "version": "0.6.2-3", "fairway_run": "abc/production/1",
	}
	relabelled(t, green, want)
	direct := with(map[string]string{
		"__meta_kubernetes_pod_label_fairway_dev_colour": "direct", "__meta_kubernetes_pod_annotation_fairway_dev_version": "a+b", "__meta_kubernetes_pod_annotation_fairway_dev_run": "",
	})
	w := maps.Clone(want)
	w["instance"], w["colour"], w["version"], w["fairway_run"] = "carts.production.svc.cluster.local:80", "direct", "a+b", "none"
	relabelled(t, direct, w)
	for _, name := range []string{"__meta_kubernetes_pod_label_fairway_dev_service", "__meta_kubernetes_pod_annotation_prometheus_io_scrape"} {
		relabelled(t, with(map[string]string{name: ""}), nil)
	}
	relabelled(t, with(map[string]string{"__meta_kubernetes_pod_phase": "Pending"}), nil)
	relabelled(t, with(map[string]string{"__meta_kubernetes_pod_container_init": "true"}), nil)
}

// relabelled does what Prometheus does with a target; nil means dropped.
func relabelled(t *testing.T, pod, want map[string]string) {
	t.Helper()
	c, err := config.Load("scrape_configs:\n"+scrapeconf.Config(5*time.Second), nil)
	if err != nil {
		t.Fatal(err)
	}
	b := labels.NewBuilder(labels.FromMap(pod))
	keep := relabel.ProcessBuilder(b, c.ScrapeConfigs[0].RelabelConfigs...)
	if want == nil {
		if keep {
			t.Errorf("%v is scraped as %s", pod, b.Labels())
		}
		return
	}
	for name, v := range want {
		if got := b.Get(name); got != v {
			t.Errorf("%s=%q, want %q", name, got, v)
		}
	}
}
