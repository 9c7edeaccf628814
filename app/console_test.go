package app_test

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/fairwaycd/fairway/app"
)

// visitor goes through the console as a browser does.
type visitor struct {
	t      *testing.T
	client *http.Client
	base   string
	pages  []string // seen, without their queries
	forms  []button
}

// button is what a button of a page sends.
type button struct {
	page   string
	action string
	values url.Values
}

func (v *visitor) get(path string) *http.Response {
	v.t.Helper()
	resp, err := v.client.Get(v.base + path)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp
}

// walk looks at the page, notes its forms, and goes on to what it links to.
func (v *visitor) walk(path string) {
	v.t.Helper()
	bare, _, _ := strings.Cut(path, "?")
	if slices.Contains(v.pages, bare) || strings.HasPrefix(bare, "/assets/") {
		return
	}
	v.pages = append(v.pages, bare)
	resp := v.get(path)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		v.t.Errorf("%s: %s", path, resp.Status)
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		return
	}
	root, err := html.Parse(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	var links []string
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "a", "link", "script":
			for _, key := range []string{"href", "src"} {
				if to := attr(n, key); strings.HasPrefix(to, "/") {
					to, _, _ = strings.Cut(to, "#")
					links = append(links, to)
				}
			}
		case "form":
			if strings.EqualFold(attr(n, "method"), "post") {
				v.forms = append(v.forms, formsOf(bare, n)...)
			}
		}
	}
	for _, to := range links {
		v.walk(to)
	}
}

// formsOf returns what each button of a form sends.
func formsOf(page string, n *html.Node) []button {
	action, _, _ := strings.Cut(attr(n, "action"), "#")
	values := url.Values{}
	var buttons []*html.Node
	for d := range n.Descendants() {
		if d.Type != html.ElementNode {
			continue
		}
		if name := attr(d, "name"); d.Data == "button" {
			buttons = append(buttons, d)
		} else if name != "" {
			values.Set(name, attr(d, "value"))
		}
	}
	var out []button
	for _, b := range buttons {
		all := url.Values{}
		for k, v := range values {
			all[k] = v
		}
		if name := attr(b, "name"); name != "" {
			all.Set(name, attr(b, "value"))
		}
		out = append(out, button{page, action, all})
	}
	return out
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func visit(t *testing.T, a *app.App) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t: t, base: "http://" + a.Address(), client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	v.get(strings.TrimPrefix(a.LoginURL(), v.base)).Body.Close()
	return v
}

// send posts a form with the header, and returns the answer's status.
func (v *visitor) send(c *http.Client, f button, values url.Values, header ...string) int {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.base+f.action, strings.NewReader(values.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// No page shows and no button works for whoever has no session, and no button
// for a page that is not ours. The walk begins at the board and follows every
// link, so that a page or button that is added is tried, too.
func TestNoPageAndNoButtonWithoutASession(t *testing.T) {
	t.Parallel()
	a, c := start(t, t.TempDir())
	defer stop(t, a)
	shop(t, c)
	pushWeb(t, a, "1")
	waitFor(t, c, 1)
	v := visit(t, a)
	v.walk("/")
	for _, want := range []string{"/", "/deliveries", "/projects", "/projects/new", "/projects/shop", "/projects/shop/commits", "/projects/shop/onboard", "/projects/shop/delete",
		"/projects/shop/services/web", "/projects/shop/services/web/delete", "/system"} {
		if !slices.Contains(v.pages, want) {
			t.Errorf("no link leads to %s", want)
		}
	}
	stranger := &http.Client{CheckRedirect: v.client.CheckRedirect}
	for _, page := range append(v.pages, "/live") {
		resp, err := stranger.Get(v.base + page)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a session: %s", page, resp.Status)
		}
	}
	if len(v.forms) < 8 {
		t.Errorf("only %d buttons were found", len(v.forms))
	}
	before := everything(t, a)
	for _, f := range v.forms {
		if f.values.Get("csrf") == "" {
			t.Errorf("%s: a button without the token: %v", f.page, f.values)
		}
		forged := url.Values{}
		for k, x := range f.values {
			forged[k] = x
		}
		forged.Set("csrf", "0123456789abcdef")
		missing := url.Values{}
		for k, x := range f.values {
			if k != "csrf" {
				missing[k] = x
			}
		}
		for how, got := range map[string]int{
			"without a session": v.send(stranger, f, f.values), "without its token": v.send(v.client, f, missing), "with another token": v.send(v.client, f, forged),
			"from a foreign page": v.send(v.client, f, f.values, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"),
		} {
			if got != http.StatusUnauthorized && got != http.StatusForbidden {
				t.Errorf("%s, %v %s: %d", f.action, f.values["verb"], how, got)
			}
		}
	}
	if after := everything(t, a); before != after {
		t.Error("a refused button has done something")
	}
}

// No route of the API answers without a token.
func TestNoRouteWithoutAToken(t *testing.T) {
	t.Parallel()
	a, _ := start(t, t.TempDir())
	defer stop(t, a)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.Address()+"/api/v1/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.Token())
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil || len(doc.Paths) < 20 {
		t.Fatalf("%d paths, error %v", len(doc.Paths), err)
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			if !slices.Contains([]string{"get", "post", "put", "delete", "patch"}, method) {
				continue
			}
			r, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), "http://"+a.Address()+strings.NewReplacer("{", "", "}", "").Replace(path), strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s without a token: %s", method, path, resp.Status)
			}
		}
	}
}

// everything is what the API tells of projects, deliveries and events.
func everything(t *testing.T, a *app.App) string {
	t.Helper()
	var all strings.Builder
	for _, path := range []string{"projects", "services", "events", "deliveries"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.Address()+"/api/v1/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+a.Token())
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		err = json.NewDecoder(resp.Body).Decode(&v)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
