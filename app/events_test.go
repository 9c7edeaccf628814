package app_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

func foreign(typ, source, id string) fairway.Event {
	return fairway.Event{SpecVersion: "1.0", Type: typ, Source: source, ID: id, ContentType: "application/json", Data: json.RawMessage(`{"project":"shop","service":"web"}`)}
}

// What others say is stored and shown, and is never among a delivery's facts.
func TestEventsOfOthersAreNotADeliverysFacts(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	shop(t, c)
	pushWeb(t, a, "1")
	d := waitFor(t, c, 1)[0]
	for _, typ := range []string{fairway.TypeEvaluationDone, fairway.TypeTestsFinished, "com.example.build"} {
		e := foreign(typ, "ci", "about-"+typ)
		e.Context = d.ID
		if _, err := c.SendEvents(t.Context(), []fairway.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	facts, err := c.DeliveryEvents(t.Context(), string(d.ID))
	if err != nil || len(facts) == 0 {
		t.Fatal(facts, err)
	}
	for _, e := range facts {
		if e.Source == "ci" {
			t.Errorf("among the delivery's facts is %+v", e)
		}
	}
	shown, err := c.Events(t.Context(), api.EventFilter{Type: fairway.TypeEvaluationDone})
	if err != nil || len(shown) != 1 || shown[0].Context == d.ID || !strings.Contains(shown[0].Reason, "received from ci") || !strings.Contains(shown[0].Reason, string(d.ID)) {
		t.Errorf("the event is shown as %+v, %v", shown, err)
	}
}

func TestEventsThatAreNoneAreRefusedWhole(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	shop(t, c)
	large := foreign("com.example.build", "ci", "large")
	large.Data = json.RawMessage(`"` + strings.Repeat("x", 64<<10) + `"`)
	nowhere := foreign(fairway.TypeNewArtifact, "ci", "nowhere")
	nowhere.Data = json.RawMessage(`{"project":"shop","service":"none","image":"x/y","tag":"1"}`)
	for name, bad := range map[string]fairway.Event{
		"type":    foreign(fairway.TypeDeliveryFinished, "ci", "type"),
		"source":  foreign("com.example.build", "/fairway/shop/web", "source"),
		"64 KiB":  large,
		"no serv": nowhere,
	} {
		batch := []fairway.Event{foreign("com.example.good", "ci", "good "+name), bad}
		if _, err := c.SendEvents(t.Context(), batch); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx := t.Context()
	if got, err := c.Events(ctx, api.EventFilter{Type: "com.example.good"}); err != nil || len(got) != 0 {
		t.Errorf("a part of a refused batch was stored: %+v, %v", got, err)
	}
}
