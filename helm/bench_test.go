package helm_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/chart"
	"github.com/fairwaycd/fairway/helm"
)

// BenchmarkRender renders one of many services.
func BenchmarkRender(b *testing.B) {
	for _, services := range []int{2, 200} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			files := chart.Init("shop", staging, "localhost")
			for i := range services {
				changes, _, err := chart.Onboard(files, chart.OnboardRequest{Project: "shop", Stage: staging, Values: fmt.Appendf(nil, "service: {name: svc-%d}", i)})
				if err != nil {
					b.Fatal(err)
				}
				maps.Copy(files, changes)
			}
			r := release(staging, "svc-1", fairway.Blue)
			r.Artifact = fairway.Artifact{Image: "r", Tag: "1", Digest: digest}
			for b.Loop() {
				if _, err := helm.Render(b.Context(), files, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
