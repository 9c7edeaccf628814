package app_test

import (
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// A project's own connection goes before that of all; both outlive a restart,
// and nothing gives their secrets back.
func TestConnections(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, c := start(t, dir)
	shop(t, c)
	ctx := t.Context()
	for _, x := range []fairway.Connection{
		{Kind: fairway.KindPrometheus, URL: "http://all.example.com", Token: "s3cret"},
		{Kind: fairway.KindPrometheus, Project: "shop", URL: "http://own.example.com", Username: "gate", Password: "s3cret"},
	} {
		if _, err := c.ConfigureMonitoring(ctx, x); err != nil {
			t.Fatal(err)
		}
	}
	for name, bad := range map[string]fairway.Connection{
		"no project none": {Kind: fairway.KindPrometheus, Project: "none", URL: "http://x"},
		"cannot be":       {Kind: "zabbix", URL: "http://x"},
		"no certificate":  {Kind: fairway.KindPrometheus, URL: "http://x", CA: "hello"},
		"for both":        {Kind: fairway.KindDynatrace, URL: "http://x", Token: "s3cret", ColourTag: "a:b"},
	} {
		if _, err := c.ConfigureMonitoring(ctx, bad); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	stop(t, a)
	a, c = start(t, dir)
	defer stop(t, a)
	own, err := c.Monitoring(ctx, "shop")
	if err != nil || len(own) != 1 || own[0].URL != "http://own.example.com" || own[0].Auth != "password" {
		t.Errorf("of the project: %+v, %v", own, err)
	}
	if _, err := c.RemoveMonitoring(ctx, api.MonitoringName{Kind: fairway.KindPrometheus, Project: "shop"}); err != nil {
		t.Fatal(err)
	}
	if own, err = c.Monitoring(ctx, "shop"); err != nil || len(own) != 1 || own[0].URL != "http://all.example.com" {
		t.Errorf("after that: %+v, %v", own, err)
	}
	events, err := c.Events(ctx, api.EventFilter{Type: fairway.TypeMonitoringChanged})
	if err != nil || len(events) != 3 || strings.Contains(string(events[1].Data), "s3cret") || !strings.Contains(events[1].Reason, "gates of project shop ask Prometheus at http://own.example.com") {
		t.Errorf("%d events: %+v, %v", len(events), events, err)
	}
}
