package app

import (
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func TestWhereADeliveryWasReleased(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	done := func(s fairway.StageName) fairway.StageRecord { return fairway.StageRecord{Stage: s, EndedAt: &at} }
	for name, c := range map[string]struct {
		d     fairway.Delivery
		stage fairway.StageName
		want  bool
	}{
		"finished":             {fairway.Delivery{Status: fairway.StatusFinished, Stages: []fairway.StageRecord{done("dev"), done("prod")}}, "prod", true},
		"rejected there":       {fairway.Delivery{Status: fairway.StatusRejected, Stages: []fairway.StageRecord{done("dev"), done("prod")}}, "prod", false},
		"rejected after it":    {fairway.Delivery{Status: fairway.StatusRejected, Stages: []fairway.StageRecord{done("dev"), done("prod")}}, "dev", true},
		"never came there":     {fairway.Delivery{Status: fairway.StatusFinished, Stages: []fairway.StageRecord{done("dev")}}, "prod", false},
		"is there":             {fairway.Delivery{Status: fairway.StatusRunning, Stages: []fairway.StageRecord{done("dev"), {Stage: "prod"}}}, "prod", false},
		"went on, and is open": {fairway.Delivery{Status: fairway.StatusRunning, Stages: []fairway.StageRecord{done("dev"), {Stage: "prod"}}}, "dev", true},
	} {
		if got, ok := releasedIn(c.d, c.stage); ok != c.want || ok && got != at {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
}

func TestWhatWasReleasedIsListed(t *testing.T) {
	t.Parallel()
	r := api.Rollback{Service: "carts", Stage: "production"}
	many := strings.Split(strings.TrimSuffix(strings.Repeat("x ", 25), " "), " ")
	for want, err := range map[string]error{
		"no other version of carts was released in stage production; none was":                               nothingReleased(r, nil, ""),
		"no other version of carts was released in stage production; these were: 2, 1; 3 has the traffic":    nothingReleased(r, []string{"2", "1"}, "3"),
		"stage production; these were: " + strings.Repeat("x, ", 20) + "and 5 older ones; 3 has the traffic": nothingReleased(r, many, "3"),
		"no version 9 of carts was released in stage production; these were: 2":                              nothingReleased(api.Rollback{Service: "carts", Stage: "production", To: "9"}, []string{"2"}, ""),
	} {
		if fairway.KindOf(err) != fairway.KindNotFound || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}
