package promql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/internal/outbound"
	"github.com/fairwaycd/fairway/internal/testenv"
	"github.com/fairwaycd/fairway/promql"
)

// A server that does not answer as it should gives an error, soon and in
// little memory, and never samples.
func TestHostileServers(t *testing.T) {
	const secret = "s3cret-bearer"
	servers := testenv.Hostile(t, `{"status":"success","data":{"resultType":"vector","result":[`, `{"metric":{"pod":"carts-green-1"},"value":[1,"0.1"]}`, `]}}`)
	for name, h := range servers {
		t.Run(name, func(t *testing.T) {
			c := client(t, promql.HTTPOptions{Connection: fairway.Connection{URL: testenv.Serve(t, h), Token: secret}, Limits: outbound.Options{Timeout: 300 * time.Millisecond, Retries: 1}})
			if name == "many" || name == "packed" { // whose size and not whose time is to end it
				c = client(t, promql.HTTPOptions{Connection: fairway.Connection{URL: testenv.Serve(t, h), Token: secret}})
			}
			source := promql.NewSource(c, promql.SourceOptions{Foreign: true, Settle: time.Second, Poll: time.Millisecond})
			began := time.Now()
			var answer fairway.Answer
			var err error
			used := testenv.Allocated(func() {
				answer, err = source.Query(patience(t), fairway.Query{Raw: text(t, mean), Window: fairway.Window{Start: began.Add(-time.Minute), End: began}, Subject: green, Select: selectPods})
			})
			if err == nil || len(answer.Samples) > 0 || fairway.KindOf(err) == fairway.KindInternal || strings.Contains(err.Error(), secret) {
				t.Errorf("got %d samples, %v", len(answer.Samples), err)
			}
			if d := time.Since(began); d > 20*time.Second {
				t.Errorf("it took %s", d)
			}
			if used > 64<<20 {
				t.Errorf("it took %d MiB", used>>20)
			}
			if got := source.Check(patience(t)); got[0].OK {
				t.Errorf("the check found nothing wrong: %+v", got)
			}
		})
	}
}
