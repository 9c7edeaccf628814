package dynatrace

import (
	"context"
	"net/http"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/outbound"
)

// Check asks each of the two APIs for the description of a metric that every
// environment has, and says which of them works with the token.
func (s *Source) Check(ctx context.Context) []fairway.Checked {
	var out []fairway.Checked
	for _, c := range []struct {
		what, path string
		v1         bool
	}{
		{"Timeseries API v1 (queries with timeseriesId; scope DataExport)", pathV1 + "com.dynatrace.builtin:service.responsetime", true},
		{"Metrics API v2 (queries with metricSelector; scope metrics.read)", "api/v2/metrics/builtin:service.response.time", false},
	} {
		one := fairway.Checked{What: c.what, OK: true, Text: "answers"}
		answer, err := s.client.Do(ctx, outbound.Request{Path: c.path})
		if err == nil && answer.Status != http.StatusOK {
			err = s.refusal(query{v1: c.v1, metric: c.path}, answer)
		}
		if err != nil {
			one.OK, one.Text = false, err.Error()
		}
		out = append(out, one)
	}
	return out
}
