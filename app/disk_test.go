package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/app"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// readyz returns the answer of /readyz.
func readyz(t *testing.T, a *app.App) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + a.Address() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// eventually waits until ok says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); !ok(); {
		select {
		case <-ctx.Done():
			t.Fatalf("not within a minute: %s", what)
		case <-tick.C:
		}
	}
}

// The disk fills in the middle of deliveries: senders are refused, Fairway says
// why it is not ready, the ballast goes; with room again all goes on by itself,
// and what was acknowledged ends.
func TestAFullDiskHealsByItself(t *testing.T) {
	t.Parallel()
	dir := testenv.SmallDisk(t, 60<<20)
	a, c := start(t, dir)
	defer stop(t, a)
	shop(t, c)
	pushWeb(t, a, "1")
	waitFor(t, c, 1)
	if _, err := os.Stat(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[fairway.DeliveryID]bool{}
	send := func(id string) error {
		got, err := c.SendArtifact(t.Context(), api.SendArtifact{Project: "shop", Service: "web", Image: a.Address() + "/shop/web", Tag: "1", ID: id})
		if err == nil {
			acknowledged[got.Delivery] = true
		}
		return err
	}
	for i := range 3 {
		if err := send(fmt.Sprint("before-", i)); err != nil {
			t.Fatal(err)
		}
	}

	var free []func()
	eventually(t, "the event store is off", func() bool {
		free = append(free, testenv.Fill(t, dir))
		_ = send(fmt.Sprint("full-", len(free))) // may be acknowledged, as long as there is room
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_ = a.WriteAnyway(ctx)
		status, text := readyz(t, a)
		return status == http.StatusServiceUnavailable && strings.Contains(text, "switched itself off")
	})
	if err := send("refused"); fairway.KindOf(err) != fairway.KindFull {
		t.Errorf("an artifact for a full disk: %v, want a refusal that says so", err)
	}
	for _, path := range []string{"/v2/shop/web/blobs/uploads/", "/git/shop.git/info/refs?service=git-receive-pack"} {
		method := http.MethodPost
		if strings.HasPrefix(path, "/git") {
			method = http.MethodGet
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.Address()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("t", a.Token())
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusInsufficientStorage || !strings.Contains(string(b), "make room") {
			t.Errorf("%s %s on a full disk: %d %s", method, path, resp.StatusCode, b)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ballast")); !os.IsNotExist(err) {
		t.Errorf("the ballast of a full disk: %v, want it gone", err)
	}

	for _, f := range free {
		f()
	}
	eventually(t, "Fairway is ready again", func() bool {
		status, _ := readyz(t, a)
		return status == http.StatusOK
	})
	if err := send("after"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, c, 1+len(acknowledged))
	for id := range acknowledged {
		if d, err := c.Delivery(t.Context(), string(id)); err != nil || !d.Status.Ended() {
			t.Errorf("the acknowledged delivery %s: %+v, %v", id, d.Status, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ballast")); err != nil {
		t.Errorf("the ballast is not there again: %v", err)
	}
}
