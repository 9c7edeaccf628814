package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// Of very many that wait, those that have waited longest are kept in order.
func TestAttentionIsBounded(t *testing.T) {
	t.Parallel()
	var s scan
	for i := range 100 {
		n := i * 37 % 100
		s.waits("approval", fairway.Delivery{ID: fairway.DeliveryID(fmt.Sprint(n)), UpdatedAt: time.Unix(int64(n), 0)}, "")
	}
	var got []string
	for _, a := range s.attention() {
		got = append(got, string(a.Delivery.ID))
	}
	if strings.Join(got, " ") != "0 1 2 3 4 5 6 7 8 9 10 11" || len(got) != api.AttentionMost {
		t.Errorf("%v", got)
	}
}
