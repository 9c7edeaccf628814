package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// policy is the strictest that the console has to work under.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"

// served is a console on a real port under the policy; only the test's own
// page at /frame, which shows the console in frames, is outside of it.
// What calls /done lets the page end its loading, at which the browser reads it.
func served(t *testing.T, w *world, frame string, connected func(n int64)) *httptest.Server {
	t.Helper()
	h := New(w, Options{Now: func() time.Time { return noon }, CSRF: func(context.Context) string { return "token" }})
	var streams atomic.Int64
	done := make(chan struct{})
	end := sync.OnceFunc(func() { close(done) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/frame":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, "<!doctype html><title>frames</title>"+frame)
			return
		case "/wait":
			select {
			case <-done:
			case <-r.Context().Done():
			}
			w.WriteHeader(http.StatusNoContent)
			return
		case "/done":
			end()
			w.WriteHeader(http.StatusNoContent)
			return
		case "/live":
			connected(streams.Add(1))
		}
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

// chromium runs the browser without a screen and returns what it wrote, and
// what pages wrote to its console.
func chromium(t *testing.T, args ...string) (stdout, console string) {
	t.Helper()
	program := testenv.Need(t, "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
		"--enable-logging=stderr", "--user-data-dir=" + t.TempDir(),
	}, args...)...)
	cmd.WaitDelay = 5 * time.Second
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, log.String())
	}
	var said []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "CONSOLE") {
			said = append(said, line)
		}
	}
	return out.String(), strings.Join(said, "")
}

// follow copies the framed page once it says what it is waited for.
const follow = `<iframe id="f" src="/" width="1000" height="800"></iframe><div id="copy"></div><img src="/wait" alt="">
<script>
const look = () => {
  const page = document.getElementById("f").contentDocument;
  if (page && page.body && page.body.textContent.includes("changed-under-way") && page.getElementById("live").textContent === "live") {
    document.getElementById("copy").replaceChildren(...[...page.body.children].map((n) => document.importNode(n, true)));
    fetch("/done");
  } else setTimeout(look, 20);
};
look();
</script>`

// The open page hears of a change, loads itself again and shows it, and keeps
// open what was open.
func TestPageFollowsChangesInABrowser(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "chromium")
	w := newWorld()
	server := served(t, w, follow, func(n int64) {
		if n == 1 {
			w.mu.Lock()
			w.status.Version = "changed-under-way"
			w.mu.Unlock()
			w.changes <- api.Change{Events: make([]api.StoredEvent, 1)}
		}
	})
	dom, console := chromium(t, "--dump-dom", server.URL+"/frame")
	if console != "" {
		t.Errorf("the page complains:\n%s", console)
	}
	root, err := html.Parse(strings.NewReader(dom))
	if err != nil {
		t.Fatal(err)
	}
	a := answer{root: root}
	a.want(t, "#copy footer", "changed-under-way")
	a.want(t, "#copy table.board thead th", "Service", "dev", "staging", "production")
}

// measure notes for each frame by how much its page is too wide for it.
const measure = `<script>
addEventListener("load", () => {
  for (const f of document.querySelectorAll("iframe")) {
    const page = f.contentDocument.documentElement;
    f.dataset.over = page.scrollWidth - page.clientWidth;
  }
});
</script>`

var pagePaths = map[string]string{
	"board": "/", "delivery": "/deliveries/second-delivery", "approval": "/deliveries/third-delivery",
	"evaluation": "/evaluations/evaluation-1", "error": "/deliveries/nix",
}

func TestPagesFitATelephone(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "chromium")
	frames := measure
	for name, path := range pagePaths {
		frames += `<iframe id="` + name + `" src="` + path + `" width="360" height="800" style="border:0"></iframe>`
	}
	w := newWorld()
	for i := range w.all {
		w.all[i].Artifact.Tag = strings.Repeat("0123456789abcdef", 8) // the longest there is
		w.all[i].Reason = strings.Repeat("x", 200)
	}
	w.services["sockshop"][0].Stages[0].Occupants[fairway.Blue] = occupant(w.all[0].Artifact.Tag, "x", fairway.OccupantReleased)
	server := served(t, w, frames, func(int64) {})
	dom, _ := chromium(t, "--dump-dom", server.URL+"/frame")
	root, err := html.Parse(strings.NewReader(dom))
	if err != nil {
		t.Fatal(err)
	}
	for name := range pagePaths {
		frame := answer{root: root}.find("iframe#" + name)
		if len(frame) != 1 {
			t.Fatalf("%s: no frame in %s", name, dom)
		}
		if over, _ := attribute(frame[0], "data-over"); over != "0" {
			t.Errorf("%s is %s pixels too wide for a screen of 360", name, over)
		}
	}
}

// look is a way to see pages.
type look struct {
	name string
	args []string
}

// No page complains. FAIRWAY_SCREENSHOTS names a directory for pictures of all
// of them, wide, narrow and dark, for a person to look at.
func TestPagesInABrowser(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "chromium")
	looks := []look{{"wide", []string{"--window-size=1280,900"}}}
	dir := os.Getenv("FAIRWAY_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	} else {
		looks = append(looks, look{"narrow", []string{"--window-size=500,1400"}},
			look{"dark", []string{"--window-size=1280,900", "--force-dark-mode", "--blink-settings=preferredColorScheme=0"}})
	}
	server := served(t, newWorld(), measure, func(int64) {})
	for name, path := range pagePaths {
		for _, mode := range looks {
			file := filepath.Join(dir, name+"-"+mode.name+".png")
			args := append([]string{"--hide-scrollbars", "--timeout=3000", "--screenshot=" + file}, mode.args...)
			_, console := chromium(t, append(args, server.URL+path)...)
			if console != "" && name != "error" {
				t.Errorf("%s, %s, complains:\n%s", name, mode.name, console)
			}
			if info, err := os.Stat(file); err != nil || info.Size() == 0 {
				t.Errorf("%s, %s: no picture: %v", name, mode.name, err)
			}
		}
	}
}
