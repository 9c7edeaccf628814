package web

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/internal/testenv"
)

// policy is the strictest that the console has to work under.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

//go:embed testdata/axe/axe.min.js
var axe string

// browser is a page in a browser that a test drives.
type browser struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu   sync.Mutex
	said []string // errors that pages wrote to the console
}

// under serves the backend's console under the policy that it has to work with.
// A backend that changes meanwhile is locked while a page is made of it.
func under(t *testing.T, b api.Backend) *httptest.Server {
	t.Helper()
	h := New(b, Options{Now: func() time.Time { return noon }, CSRF: func(context.Context) string { return "token" }})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if l, ok := b.(sync.Locker); ok && r.URL.Path != "/live" {
			l.Lock()
			defer l.Unlock()
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections() // streams have no end of their own
		server.Close()
	})
	return server
}

// browse opens a browser of its own for the test; it is gone with it.
func browse(t *testing.T, base string) *browser {
	t.Helper()
	program := testenv.Need(t, "chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true),
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, gone := chromedp.NewContext(ctx)
	t.Cleanup(gone)
	b := &browser{t: t, ctx: ctx, base: base}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	send(b, log.Enable, cdp.Empty{})
	send(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: "addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective + ' ' + e.blockedURI))",
	})
	return b
}

// listen remembers what pages complain about.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.said = append(b.said, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			for _, a := range e.Args {
				b.said = append(b.said, string(a.Value)+a.Description)
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" {
			b.said = append(b.said, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

// complaints returns what pages complained about since it was asked last.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.said
	b.said = nil
	return said
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("the browser: %v", err)
	}
}

// of returns what an action gives.
func of[T any](b *browser, a chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, a)
	if err != nil {
		b.t.Fatalf("the browser: %v", err)
	}
	return v
}

// send gives the browser a command of its protocol.
func send[P, R any](b *browser, c cdp.Command[P, R], params P) R {
	b.t.Helper()
	return of(b, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, c, params) })
}

// open shows a page of the console.
func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base + path))
	b.until(`document.readyState === "complete" && ["live", undefined].includes(document.getElementById("live")?.textContent)`)
}

// eval returns what an expression gives, promises awaited.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	return of(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// until waits until an expression is true, on this page or the one after it.
func (b *browser) until(expression string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		// While a page gives way to the next one there is nothing to ask.
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && ok {
			return
		}
		if time.Now().After(end) || b.ctx.Err() != nil {
			b.t.Fatalf("it never came to pass that %s: %v\n%s", expression, err, eval[string](b, "location.href + ' ' + document.body?.innerText"))
		}
	}
}

// press presses the button that says so in the form whose selector is given.
func (b *browser) press(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// as shows pages in a window that wide, light or dark.
func (b *browser) as(width int64, dark bool) {
	b.t.Helper()
	scheme, height := "light", width*10/16
	if dark {
		scheme = "dark"
	}
	send(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: max(height, 800), DeviceScaleFactor: 1})
	send(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// violations returns axe's serious and critical findings about the open page.
func (b *browser) violations() []string {
	b.t.Helper()
	eval[chromedp.Void](b, axe+";0")
	return eval[[]string](b, `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.filter((v) => ["serious", "critical"].includes(v.impact)).
		map((v) => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map((n) => n.html + " " + n.any.map((a) => a.message).join("; ")).join(" | ")))`)
}

// over returns by how many pixels the page is too wide for its window.
func (b *browser) over() int {
	b.t.Helper()
	return eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
}

// picture keeps the whole page as a picture in FAIRWAY_SCREENSHOTS, for a
// person to look at.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("FAIRWAY_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), of(b, chromedp.FullScreenshot(100)), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// ways are those in which pages are looked at: a telephone, a desk and a
// wall, in light and dark. Axe judges those whose colours or order differ.
var ways = []struct {
	width     int64
	dark, axe bool
}{{360, false, true}, {1280, false, true}, {3840, false, false}, {360, true, false}, {1280, true, true}, {3840, true, false}}

// looked looks at each page in every way that matters, and lets axe judge it.
func (b *browser) looked(paths ...string) {
	b.t.Helper()
	for _, path := range paths {
		b.as(1280, false)
		b.open(path)
		name := strings.Trim(strings.NewReplacer("/", "-", "?", "-", "=", "-").Replace(path), "-")
		for _, l := range ways {
			b.as(l.width, l.dark)
			how := fmt.Sprintf("%s-%d-%s", name, l.width, map[bool]string{false: "light", true: "dark"}[l.dark])
			if over := b.over(); over > 0 {
				b.t.Errorf("%s: %d pixels too wide", how, over)
			}
			if l.axe {
				for _, v := range b.violations() {
					b.t.Errorf("%s: %s", how, v)
				}
			}
			b.picture(how)
		}
		for _, c := range b.complaints() {
			b.t.Errorf("%s complains: %s", path, c)
		}
	}
}
