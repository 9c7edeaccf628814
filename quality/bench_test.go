package quality_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/quality"
)

// worked returns how long the process has used a processor.
func worked(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkJudge judges 50 indicators of 100 series each, against fixed limits
// and against an earlier evaluation.
func BenchmarkJudge(b *testing.B) {
	const indicators, series = 50, 100
	var objectives, sli strings.Builder
	results := map[string]quality.SourceResult{}
	earlier := fairway.Evaluation{ID: "1", Verdict: fairway.VerdictPass, Subject: of(fairway.Blue, "1")}
	for i := range indicators {
		id := fmt.Sprintf("i%d", i)
		fmt.Fprintf(&objectives, "- sli: %s\n  pass: [{criteria: ['<=+10%%', '<1']}]\n  warning: [{criteria: ['<2']}]\n", id)
		fmt.Fprintf(&sli, "  %s: latency_%d\n", id, i)
		var r quality.SourceResult
		ir := fairway.IndicatorResult{ID: id}
		for k := range series {
			key := fmt.Sprintf(`{"handler":"/path/%d","instance":"carts-%%s.staging.svc.cluster.local:80"}`, k)
			r.Values = append(r.Values, quality.Value{Key: fmt.Sprintf(key, "green"), JSON: []byte(fmt.Sprint(0.5 + float64(k)/1000))})
			ir.Samples = append(ir.Samples, fairway.NewSample(fmt.Sprintf(key, "blue"), time.Unix(1, 0), 0.5+float64(k)/1000))
		}
		results[id] = r
		earlier.IndicatorResults = append(earlier.IndicatorResults, ir)
	}
	slo := "objectives:\n" + objectives.String() + "total_score: {pass: 90%, warning: 75%}\n"
	for name, text := range map[string]string{"fixed": strings.ReplaceAll(slo, "'<=+10%', ", ""), "relative": slo} {
		b.Run(name, func(b *testing.B) {
			c, err := quality.ParseSLO("slo.yaml", []byte(text), "sli.yaml", []byte("indicators:\n"+sli.String()), quality.ParseOptions{})
			if err != nil {
				b.Fatal(err)
			}
			before := worked(b)
			for b.Loop() {
				j, err := quality.EvaluateCriteria(c, results, quality.Options{Earlier: []fairway.Evaluation{earlier}, Subject: of(fairway.Green, "2")})
				if err != nil || j.Verdict != fairway.VerdictPass {
					b.Fatal(j.Reason, err)
				}
			}
			b.ReportMetric(float64(worked(b)-before)/float64(b.N)/1e6, "cpu-ms/op") // other work on the machine does not count
		})
	}
}
