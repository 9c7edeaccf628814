package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairwaycd/fairway"
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

var (
	readyDesc  = prometheus.NewDesc("fairway_ready", "1 while Fairway takes events and nothing keeps it from deciding, as /readyz says.", nil, nil)
	openDesc   = prometheus.NewDesc("fairway_open_deliveries", "Deliveries that have not ended, by the step that they are at; queue and approve wait.", []string{"step"}, nil)
	eventsDesc = prometheus.NewDesc("fairway_events_total", "Events stored, counted from those that are read at the start.", nil, nil)
)

// progress exposes what is under way and whether it can go on.
type progress struct{ app *App }

func (p progress) Describe(ch chan<- *prometheus.Desc) {
	ch <- readyDesc
	ch <- openDesc
	ch <- eventsDesc
}

func (p progress) Collect(ch chan<- prometheus.Metric) {
	ready := 0.0
	if p.app.ready.Load() && len(p.app.trouble()) == 0 {
		ready = 1
	}
	ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, ready)
	ch <- prometheus.MustNewConstMetric(eventsDesc, prometheus.CounterValue, float64(p.app.view.LastEvent()))
	steps := map[fairway.Step]int{}
	for _, s := range []fairway.Step{fairway.StepQueue, fairway.StepConfigure, fairway.StepDeploy, fairway.StepTest, fairway.StepEvaluate, fairway.StepApprove, fairway.StepRelease, fairway.StepRollback} {
		steps[s] = 0
	}
	for _, d := range p.app.view.Deliveries(controller.DeliveryFilter{Open: true}) {
		steps[d.Step]++
	}
	for s, n := range steps {
		ch <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(n), string(s))
	}
}
