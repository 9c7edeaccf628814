package simulator

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

// postV1 answers the data points of a metric.
func (s *Server) postV1(r *http.Request, m metric) (any, *refused) {
	if r.Method != http.MethodPost {
		return nil, refuse(http.StatusMethodNotAllowed, "Method not allowed")
	}
	var q struct {
		TimeseriesID    string   `json:"timeseriesId"`
		AggregationType string   `json:"aggregationType"`
		Percentile      int      `json:"percentile"`
		Start           *int64   `json:"startTimestamp"`
		End             *int64   `json:"endTimestamp"`
		RelativeTime    string   `json:"relativeTime"`
		QueryMode       string   `json:"queryMode"`
		Entities        []string `json:"entities"`
		Tags            []string `json:"tags"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || json.Unmarshal(body, &q) != nil {
		return nil, refuse(http.StatusBadRequest, "Could not map JSON to TimeseriesQueryMessage")
	}
	switch {
	case q.TimeseriesID != "" && q.TimeseriesID != m.v1:
		return nil, refuse(http.StatusBadRequest, "The timeseriesId of path and body differ")
	case q.Start == nil || q.End == nil || q.RelativeTime != "":
		return nil, refuse(http.StatusBadRequest, "Specify either startTimestamp and endTimestamp, or relativeTime")
	case *q.Start >= *q.End:
		return nil, refuse(http.StatusBadRequest, "startTimestamp has to be before endTimestamp")
	case time.Duration(*q.End-*q.Start)*time.Millisecond > maxTime:
		return nil, refuse(http.StatusBadRequest, "The timeframe must not exceed 6 months")
	case !slices.Contains(m.aggregations, q.AggregationType):
		return nil, refuse(http.StatusBadRequest, "Aggregation type %s is not supported by the timeseries %s", q.AggregationType, m.v1)
	case q.AggregationType == "PERCENTILE" && (q.Percentile < 1 || q.Percentile > 99):
		return nil, refuse(http.StatusBadRequest, "The percentile has to be between 1 and 99")
	case q.QueryMode != "" && q.QueryMode != "SERIES" && q.QueryMode != "TOTAL":
		return nil, refuse(http.StatusBadRequest, "Unknown query mode %s", q.QueryMode)
	}
	from, to := time.UnixMilli(*q.Start), time.UnixMilli(*q.End)
	points, names := map[string][][]float64{}, map[string]string{}
	for _, e := range s.entities {
		if len(q.Entities) > 0 && !slices.Contains(q.Entities, e.ID) || !hasAll(e.Tags, q.Tags) {
			continue
		}
		cut := spans(s.values[m.v2+" "+e.ID], from, to)
		if len(cut) == 0 {
			continue
		}
		names[e.ID] = e.ID
		if q.QueryMode == "TOTAL" {
			points[e.ID] = [][]float64{{float64(*q.Start), aggregate(q.AggregationType, float64(q.Percentile), flat(cut))}}
			continue
		}
		for _, begin := range slices.Sorted(maps.Keys(cut)) {
			points[e.ID] = append(points[e.ID], []float64{float64(begin), aggregate(q.AggregationType, float64(q.Percentile), cut[begin])})
		}
	}
	return map[string]any{"result": map[string]any{
		"timeseriesId": m.v1, "aggregationType": q.AggregationType, "unit": m.unit,
		"resolutionInMillisUTC": slot.Milliseconds(), "entities": names, "dataPoints": points,
	}}, nil
}

func hasAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(t string) bool { return !slices.Contains(have, t) })
}
