package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/fairwaycd/fairway"
)

// browser keeps cookies and follows nothing by itself.
type browser struct {
	client http.Client
	base   string
}

func newBrowser(t *testing.T, s *server) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &browser{base: "http://" + s.ready.Listen, client: http.Client{
		Jar: jar, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// send returns the answer to a GET, or with a form to a POST.
func (b *browser) send(t *testing.T, address string, form url.Values, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if form != nil {
		req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	must(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, string(body)
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// The link that up prints opens the console once; changes are taken only from
// its own pages.
func TestConsoleLogin(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.shop(t, strings.Replace(oneStage, "    gate: required\n", "    approval: manual\n", 1), "500ms")
	must(t, s.push("cart", "1"))
	d, err := s.at("cart", "1", "staging", "approve")
	must(t, err)

	b := newBrowser(t, s)
	resp, _ := b.send(t, s.ready.Login, nil)
	cookie := resp.Header.Get("Set-Cookie")
	if resp.StatusCode != http.StatusSeeOther || !strings.Contains(cookie, "SameSite=Strict") || !strings.Contains(cookie, "HttpOnly") {
		t.Fatalf("the link answers %s with cookie %q", resp.Status, cookie)
	}
	resp, page := b.send(t, b.base+"/", nil)
	if resp.StatusCode != http.StatusOK || !strings.Contains(page, "cart") {
		t.Errorf("the board answers %s: %s", resp.Status, page)
	}
	if resp, _ := newBrowser(t, s).send(t, s.ready.Login, nil); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the link works twice: %s", resp.Status)
	}

	address := b.base + "/deliveries/" + string(d.ID)
	_, page = b.send(t, address, nil)
	field := csrfField.FindStringSubmatch(page)
	if field == nil {
		t.Fatalf("the delivery's page has no form with a CSRF token:\n%s", page)
	}
	form := url.Values{"verb": {"approve"}, "reason": {"seen in the console"}}
	for name, request := range map[string][]string{
		"without the token": nil,
		"a foreign page":    {"Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"},
		"another port":      {"Origin", "http://" + s.ready.Gateway, "Sec-Fetch-Site", "same-site"},
	} {
		sent := url.Values{"verb": form["verb"], "reason": form["reason"]}
		if request != nil {
			sent.Set("csrf", field[1])
		}
		if resp, _ := b.send(t, address, sent, request...); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: the change is answered with %s", name, resp.Status)
		}
	}
	form.Set("csrf", field[1])
	if resp, page := b.send(t, address, form, "Origin", b.base, "Sec-Fetch-Site", "same-origin"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the page's own form is answered with %s: %s", resp.Status, page)
	}
	if d, err = s.ended("cart", "1"); err != nil || d.Status != fairway.StatusFinished {
		t.Errorf("the approved delivery: %s %v", d.Status, err)
	}
	out := s.run(t, "get", "events", "--delivery", string(d.ID))
	if !strings.Contains(out, "approved by console: seen in the console") {
		t.Errorf("the events do not say who approved:\n%s", out)
	}
	must(t, s.stop())

	// A session survives a restart; a link does not.
	old := s.ready.Login
	must(t, s.begin(nil))
	if resp, _ := b.send(t, b.base+"/", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("after a restart the session is answered with %s", resp.Status)
	}
	if resp, _ := newBrowser(t, s).send(t, old, nil); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("after a restart the old link is answered with %s", resp.Status)
	}
}
