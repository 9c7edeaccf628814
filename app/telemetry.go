package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairwaycd/fairway/controller"
)

// deliveries exposes how many deliveries there are, by status.
type deliveries struct{ view *controller.View }

var deliveriesDesc = prometheus.NewDesc("fairway_deliveries", "Deliveries that are kept, by status.", []string{"project", "status"}, nil)

func (d deliveries) Describe(ch chan<- *prometheus.Desc) { ch <- deliveriesDesc }

func (d deliveries) Collect(ch chan<- prometheus.Metric) {
	for k, n := range d.view.Counts() {
		ch <- prometheus.MustNewConstMetric(deliveriesDesc, prometheus.GaugeValue, float64(n), string(k.Project), string(k.Status))
	}
}

// newRefusals counts requests that were turned away before they reached a part.
func newRefusals() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fairway_http_refused_total", Help: "Requests that were refused for want of credentials, of a known host, or for their size.",
	}, []string{"reason"})
}

func (a *App) refused(reason string) { a.refusals.WithLabelValues(reason).Inc() }
