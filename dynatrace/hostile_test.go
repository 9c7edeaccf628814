package dynatrace_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/dynatrace"
	"github.com/fairwaycd/fairway/internal/outbound"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// An environment that does not answer as it should gives an error, soon and in
// little memory, and never samples.
func TestHostileServers(t *testing.T) {
	for api, c := range map[string]struct{ query, begin, series, end string }{
		"v1": {`{"timeseriesId": "com.dynatrace.builtin:service.responsetime", "aggregation": "AVG"}`, `{"result":{"unit":"µs","dataPoints":{`, `"SERVICE-1":[[1,2.0]]`, `}}}`},
		"v2": {`{"metricSelector": "builtin:service.response.time"}`, `{"result":[{"metricId":"m","data":[`, `{"dimensions":["SERVICE-1"],"timestamps":[1],"values":[2.0]}`, `]}]}`},
	} {
		for name, h := range testenv.Hostile(t, c.begin, c.series, c.end) {
			t.Run(api+" "+name, func(t *testing.T) {
				o := dynatrace.Options{Settle: time.Second, Poll: time.Millisecond, Limits: outbound.Options{Timeout: 300 * time.Millisecond, Retries: 1, Backoff: time.Millisecond}}
				if name == "many" || name == "packed" { // whose size and not whose time is to end it
					o.Limits.Timeout = 0
				}
				s, err := dynatrace.New(fairway.Connection{URL: testenv.Serve(t, h), Token: token}, o)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				began := time.Now()
				var a fairway.Answer
				used := testenv.Allocated(func() {
					a, err = s.Query(patience(t), fairway.Query{Raw: json.RawMessage(c.query), Window: window, Subject: subject("carts", fairway.Blue)})
				})
				if err == nil || len(a.Samples) > 0 || fairway.KindOf(err) == fairway.KindInternal || strings.Contains(err.Error(), "secret-portion") {
					t.Errorf("got %d samples, %v", len(a.Samples), err)
				}
				if d := time.Since(began); d > 20*time.Second {
					t.Errorf("it took %s", d)
				}
				if used > 64<<20 {
					t.Errorf("it took %d MiB", used>>20)
				}
			})
		}
	}
}
