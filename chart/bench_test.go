package chart_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
)

// BenchmarkSetImage configures one of many services.
func BenchmarkSetImage(b *testing.B) {
	for _, services := range []int{2, 200} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			st := stage("staging", fairway.BlueGreen)
			files := chart.Init("shop", st, "localhost")
			for i := range services {
				changes, _, err := chart.Onboard(files, chart.OnboardRequest{Project: "shop", Stage: st, Values: fmt.Appendf(nil, "service: {name: svc-%d}", i)})
				if err != nil {
					b.Fatal(err)
				}
				maps.Copy(files, changes)
			}
			for n := 0; b.Loop(); n++ {
				if _, err := chart.SetImage(files, "svc-1", fairway.Blue, fairway.Artifact{Image: "r", Tag: fmt.Sprint(n)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
