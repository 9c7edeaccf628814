package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func TestEvaluation(t *testing.T) {
	t.Parallel()
	a := get(t, newConsole(newWorld()), "/evaluations/evaluation-1")
	a.want(t, "h1", "carts 0.6.1-2 fail")
	a.want(t, "p.lead", slowWhy)
	a.want(t, "section.indicator h2", "ResponseTime_Backend fail 0 of 100 points", "Errors error 0 of 0 points")
	a.want(t, "section.indicator p.text", slowWhy, "the query failed")
	a.want(t, "section.indicator tbody tr", `{instance="carts-green"} 1.0041 2026-05-04 11:58:10`)
	a.want(t, "section.indicator dl.facts", "upperSevere 1")
	a.want(t, "section.indicator pre", `version="0.6.1-2"`, "x_sum[3m]")
	a.want(t, "section.indicator p.failed", "Prometheus did not answer")
	a.want(t, "section.indicator p .fail", "upper severe")
	a.want(t, "dl a[href=/projects/sockshop/commits/3f2a9c1d]", "3f2a9c1d")
}

// The heat map shows the runs from the oldest to the newest, and this one
// among them.
func TestHeatMap(t *testing.T) {
	t.Parallel()
	h := newConsole(newWorld())
	a := get(t, h, "/evaluations/evaluation-1")
	a.want(t, "table.heat thead th", "Indicator", "0.6.0-1 1 h", "0.6.1-2 1 min", "0.6.2-3 20 s")
	a.want(t, "table.heat thead th.here", "0.6.1-2")
	a.want(t, "table.heat thead a[href=/evaluations/evaluation-0]", "0.6.0-1")
	a.want(t, "table.heat tbody tr", "ResponseTime_Backend 0.0152 ok 1.0041 failed 1.0041 warning", "Errors not asked no value error no value error")
	a.want(t, "table.heat tbody td.ok", "0.0152")
	a.want(t, "table.heat tfoot td", "pass 100 points, invalidated", "fail 0 points", "warning 80 points")
	a.want(t, "#indicator-ResponseTime_Backend circle.plot-earlier", "0.0152") // the plot has the earlier run
	get(t, h, "/evaluations/evaluation-0").want(t, "p.notice", "ann said 50 min ago that it does not count: the load was wrong")
}

func TestInvalidate(t *testing.T) {
	t.Parallel()
	w := newWorld()
	h := newConsole(w)
	a := post(t, h, "/evaluations/evaluation-1", url.Values{"reason": {" the load was wrong "}})
	if a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/evaluations/evaluation-1" || len(w.invalidated) != 1 || w.invalidated[0] != (api.InvalidateEvaluation{Evaluation: "evaluation-1", Reason: "the load was wrong"}) {
		t.Errorf("%d %v %+v", a.Code, a.Header(), w.invalidated)
	}
	a = post(t, h, "/evaluations/evaluation-1", url.Values{"reason": {" "}})
	a.want(t, "#refused li", "is missing")
	a = post(t, h, "/evaluations/evaluation-0", url.Values{"reason": {"x"}})
	a.want(t, "#refused", "invalidate was refused. the disk is full")
	if a.Code != http.StatusServiceUnavailable {
		t.Errorf("%d", a.Code)
	}
}

func TestRawEvaluation(t *testing.T) {
	t.Parallel()
	a := get(t, newConsole(newWorld()), "/evaluations/evaluation-1/json")
	var e fairway.Evaluation
	if err := json.Unmarshal(a.Body.Bytes(), &e); err != nil || e.ID != "evaluation-1" || a.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v, %v: %s", err, a.Header(), a.Body)
	}
}
