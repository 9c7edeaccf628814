package app_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/app"
)

// A request that is repeated under its key after a restart is answered as it
// was, and has made one delivery.
func TestARepetitionSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, c := start(t, dir)
	shop(t, c)
	first, status := sendWithKey(t, a)
	stop(t, a)
	a, c = start(t, dir)
	defer stop(t, a)
	again, replayed := sendWithKey(t, a)
	if status != http.StatusAccepted || replayed != http.StatusAccepted || !bytes.Equal(first, again) {
		t.Errorf("%d %s, then %d %s", status, first, replayed, again)
	}
	if ds, err := c.Deliveries(t.Context(), api.DeliveryFilter{}); err != nil || len(ds) != 1 {
		t.Errorf("%d deliveries, %v", len(ds), err)
	}
}

func sendWithKey(t *testing.T, a *app.App) ([]byte, int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.Address()+"/api/v1/projects/shop/services/web/artifacts",
		bytes.NewReader([]byte(`{"image":"127.0.0.1:1/shop/web","tag":"1"}`)))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("ci", a.Token())
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", "build 17")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body, resp.StatusCode
}
