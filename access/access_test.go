package access

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

// stage is a guarded server that answers with who asks.
type stage struct {
	*httptest.Server
	guard *Guard

	mu      sync.Mutex
	now     time.Time
	refused map[string]int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	g, err := Open(filepath.Join(t.TempDir(), "access"))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{guard: g, now: time.Now(), refused: map[string]int{}}
	g.now = func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.now
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"actor": Actor(r.Context()), "csrf": CSRF(r.Context()), "body": string(body), "form": r.PostForm.Get("reason")})
	})
	s.Server = httptest.NewUnstartedServer(nil)
	Harden(s.Config)
	s.Config.Handler = g.Wrap(h, Options{Listen: s.Listener.Addr().String(), Hosts: []string{"Delivery.example.com"}, Refused: func(reason string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused[reason]++
	}})
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *stage) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *stage) count(reason string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused[reason]
}

func (s *stage) bearer() []string { return []string{"Authorization", "Bearer " + s.guard.Token()} }

type reply struct {
	status int
	header http.Header
	body   string
	fields map[string]string
}

func (s *stage) do(t *testing.T, c *http.Client, method, path, body string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	if c == nil {
		c = s.Client()
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := reply{status: resp.StatusCode, header: resp.Header, body: string(b)}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(b, &out.fields); err != nil {
			t.Fatalf("%s %s: %s", method, path, b)
		}
	}
	return out
}

// browser has a jar and follows no redirect.
func (s *stage) browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: s.Client().Transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func TestTokenIsMadeOnceAndForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "access")
	if _, err := ReadToken(dir); fairway.KindOf(err) != fairway.KindUnauthorized {
		t.Errorf("before the first start: %v", err)
	}
	first, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^fwy_[A-Za-z0-9_-]{43}$`).MatchString(first.Token()) {
		t.Errorf("token %q", first.Token())
	}
	info, err := os.Stat(filepath.Join(dir, "token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := Open(dir)
	if err != nil || again.Token() != first.Token() {
		t.Errorf("the second start has another token, %v", err)
	}
	if token, err := ReadToken(dir); err != nil || token != first.Token() {
		t.Errorf("ReadToken: %q, %v", token, err)
	}
}

func TestSpoiltTokenIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
	}{
		"others can read it": {"fwy_" + strings.Repeat("a", 43), 0o644},
		"empty":              {"", 0o600},
		"short":              {"fwy_abc", 0o600},
		"two":                {"fwy_" + strings.Repeat("a", 43) + "\nfwy_" + strings.Repeat("b", 43), 0o600},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "token"), []byte(c.content), c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); fairway.KindOf(err) != fairway.KindRefused || !strings.Contains(err.Error(), "remove the file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhoGetsIn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	basic := func(user, password string) []string {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.SetBasicAuth(user, password)
		return []string{"Authorization", r.Header.Get("Authorization")}
	}
	token := s.guard.Token()
	tests := []struct {
		name    string
		path    string
		headers []string
		status  int
		actor   string
	}{
		{"bearer", "/api/v1/projects", s.bearer(), 200, "token"},
		{"bearer, other case", "/v2/", []string{"Authorization", "bearer " + token}, 200, "token"},
		{"basic", "/git/sockshop.git/info/refs", basic("alice", token), 200, "alice"},
		{"basic without a user", "/v2/", basic("", token), 200, "token"},
		{"basic with a strange user", "/v2/", basic("a\nb\x00"+strings.Repeat("c", 100), token), 200, "ab" + strings.Repeat("c", 62)},
		{"open: healthz", "/healthz", nil, 200, ""},
		{"open: readyz", "/readyz", nil, 200, ""},
		{"nothing", "/", nil, 401, ""},
		{"metrics are not open", "/metrics", nil, 401, ""},
		{"below healthz", "/healthz/x", nil, 401, ""},
		{"beside healthz", "/healthz2", nil, 401, ""},
		{"path tricks", "//healthz", nil, 401, ""},
		{"wrong token", "/", []string{"Authorization", "Bearer " + token + "x"}, 401, ""},
		{"cut token", "/", []string{"Authorization", "Bearer " + token[:len(token)-1]}, 401, ""},
		{"empty token", "/", []string{"Authorization", "Bearer "}, 401, ""},
		{"token as user", "/", basic(token, ""), 401, ""},
		{"another scheme", "/", []string{"Authorization", "Digest " + token}, 401, ""},
		{"token without scheme", "/", []string{"Authorization", token}, 401, ""},
		{"token in the query", "/?token=" + token, nil, 401, ""},
	}
	for _, test := range tests {
		got := s.do(t, nil, http.MethodGet, test.path, "", test.headers...)
		if got.status != test.status || got.fields["actor"] != test.actor {
			t.Errorf("%s: %d %q", test.name, got.status, got.fields["actor"])
		}
		if strings.Contains(got.body, "fwy_") {
			t.Errorf("%s: the answer tells the token", test.name)
		}
	}
	if s.count(RefusedMissing) != 6 || s.count(RefusedToken) != 6 {
		t.Errorf("counted %v", s.refused)
	}
}

func TestRefusalsSpeakTheLanguageOfWhoAsks(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	tests := []struct{ path, contentType, challenge, text string }{
		{"/v2/", "application/json", `Basic realm="fairway"`, `{"errors":[{"code":"UNAUTHORIZED","message":"unauthorized"}]}`},
		{"/git/a.git/info/refs", "text/plain; charset=utf-8", `Basic realm="fairway"`, "Unauthorized"},
		{"/api/v1/projects", "application/problem+json", `Bearer realm="fairway"`, `"kind":"unauthorized"`},
		{"/deliveries/1", "text/html; charset=utf-8", `Bearer realm="fairway"`, "fairway open"},
	}
	for _, test := range tests {
		got := s.do(t, nil, http.MethodGet, test.path, "")
		if got.status != 401 || got.header.Get("Content-Type") != test.contentType || got.header.Get("WWW-Authenticate") != test.challenge || !strings.Contains(got.body, test.text) {
			t.Errorf("%s: %d %v %s", test.path, got.status, got.header, got.body)
		}
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"} {
		for _, path := range []string{"/healthz", "/", "/login"} {
			if got := s.do(t, nil, http.MethodGet, path, "").header.Get(name); got != want {
				t.Errorf("%s %s: %q", path, name, got)
			}
		}
	}
	if csp := s.do(t, nil, http.MethodGet, "/healthz", "").header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("content security policy %q", csp)
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for host, status := range map[string]int{
		"127.0.0.1:" + port: 200, "localhost:" + port: 200, "LOCALHOST:" + port: 200, "[::1]:" + port: 200, "delivery.example.com": 200,
		"evil.example.com": 421, "evil.example.com:" + port: 421, "localhost": 421, "localhost:1": 421, "127.0.0.1.nip.io:" + port: 421,
		"carts.production.localhost:" + port: 421,
	} {
		got := s.do(t, nil, http.MethodGet, "/healthz", "", append(s.bearer(), "Host", host)...)
		if got.status != status {
			t.Errorf("%s: %d", host, got.status)
		}
		if status == 421 && got.body != "Misdirected Request\n" {
			t.Errorf("%s: it says %q", host, got.body)
		}
	}
	if s.count(RefusedHost) != 6 {
		t.Errorf("counted %v", s.refused)
	}
	hosts := ownHosts(Options{Listen: "[::1]:80"})
	for _, host := range []string{"[::1]", "[::1]:80", "localhost", "127.0.0.1"} {
		if !hosts[host] {
			t.Errorf("at port 80 %s is not ours", host)
		}
	}
}

func login(t *testing.T, s *stage) *http.Client {
	t.Helper()
	b := s.browser(t)
	got := s.do(t, b, http.MethodGet, "/login?code="+s.guard.NewCode(), "")
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/" {
		t.Fatalf("login: %d %v %s", got.status, got.header, got.body)
	}
	return b
}

func TestCodeOpensOneSession(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	code := s.guard.NewCode()
	if got := s.do(t, nil, http.MethodHead, "/login?code="+code, ""); got.status != http.StatusMethodNotAllowed {
		t.Errorf("a preview of the link: %d", got.status)
	}
	b := s.browser(t)
	got := s.do(t, b, http.MethodGet, "/login?code="+code, "")
	cookie := got.header.Get("Set-Cookie")
	for _, want := range []string{"fairway_session_", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q lacks %s", cookie, want)
		}
	}
	if got := s.do(t, b, http.MethodGet, "/", ""); got.fields["actor"] != "console" || got.fields["csrf"] == "" {
		t.Errorf("after the login: %d %v", got.status, got.fields)
	}
	if got := s.do(t, b, http.MethodGet, "/login?code="+code, ""); got.status != http.StatusSeeOther {
		t.Errorf("the link again, logged in: %d", got.status)
	}
	if got := s.do(t, s.browser(t), http.MethodGet, "/login?code="+code, ""); got.status != 401 || !strings.Contains(got.body, "fairway open") {
		t.Errorf("the code again: %d %s", got.status, got.body)
	}
	late := s.guard.NewCode()
	s.advance(codeLife)
	for _, code := range []string{late, "", "x"} {
		if got := s.do(t, s.browser(t), http.MethodGet, "/login?code="+code, ""); got.status != 401 || got.header.Get("Set-Cookie") != "" {
			t.Errorf("code %q: %d", code, got.status)
		}
	}
	if s.count(RefusedCode) != 4 {
		t.Errorf("counted %v", s.refused)
	}
}

func TestALinkForWhoHasTheToken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if got := s.do(t, nil, http.MethodPost, "/login", ""); got.status != 401 || strings.Contains(got.body, "code=") {
		t.Errorf("without the token: %d %s", got.status, got.body)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/login", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.guard.Token())
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	link, ok := strings.CutPrefix(strings.TrimSpace(string(body)), s.URL)
	if err != nil || resp.StatusCode != 200 || !ok {
		t.Fatalf("with the token: %d %s", resp.StatusCode, body)
	}
	b := s.browser(t)
	s.do(t, b, http.MethodGet, link, "")
	if got := s.do(t, b, http.MethodGet, "/", ""); got.fields["actor"] != "console" {
		t.Errorf("after the link: %d", got.status)
	}
}

func TestSessionsOutliveARestartAndEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := login(t, s)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	id := b.Jar.Cookies(u)[0].Value
	content, err := os.ReadFile(s.guard.sessionFile())
	if err != nil || strings.Contains(string(content), id) {
		t.Errorf("the file tells the session: %v", err)
	}
	if info, err := os.Stat(s.guard.sessionFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the sessions: %v %v", info, err)
	}
	restarted, err := Open(s.guard.dir)
	if err != nil || !restarted.hasSession(id) {
		t.Errorf("after a restart the session is gone, %v", err)
	}
	s.advance(sessionLife)
	if got := s.do(t, b, http.MethodGet, "/", ""); got.status != 401 || s.count(RefusedSession) != 1 {
		t.Errorf("after 30 days: %d, %v", got.status, s.refused)
	}
	if err := os.Remove(filepath.Join(s.guard.dir, "token")); err != nil {
		t.Fatal(err)
	}
	renewed, err := Open(s.guard.dir)
	if err != nil || renewed.hasSession(id) {
		t.Errorf("a new token leaves old sessions open, %v", err)
	}
}

func TestALoginThatCannotBeStoredIsNone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if err := os.Mkdir(s.guard.sessionFile(), 0o700); err != nil { // in the way of the file
		t.Fatal(err)
	}
	got := s.do(t, s.browser(t), http.MethodGet, "/login?code="+s.guard.NewCode(), "")
	if got.status != 500 || got.header.Get("Set-Cookie") != "" || !strings.Contains(got.body, "disk") {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestOnlyTheNewestAreKept(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ends := map[string]time.Time{"ended": now, "a": now.Add(1), "b": now.Add(2), "c": now.Add(3)}
	keep(ends, now, 2)
	if len(ends) != 2 || ends["b"].IsZero() || ends["c"].IsZero() {
		t.Errorf("kept %v", ends)
	}
}

func TestChangesByCookieNeedOurOwnPage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := login(t, s)
	token := s.do(t, b, http.MethodGet, "/", "").fields["csrf"]
	form := "application/x-www-form-urlencoded"
	tests := []struct {
		name, method, body string
		headers            []string
		status             int
	}{
		{"header", "POST", "", []string{headerCSRF, token}, 200},
		{"field", "POST", "reason=slow&csrf=" + token, []string{"Content-Type", form}, 200},
		{"field, same origin", "POST", "csrf=" + token, []string{"Content-Type", form, "Origin", s.URL, "Sec-Fetch-Site", "same-origin"}, 200},
		{"no token", "POST", "", nil, 403},
		{"no token", "DELETE", "", nil, 403},
		{"no token", "PUT", "", nil, 403},
		{"no token", "PATCH", "", nil, 403},
		{"wrong token", "POST", "", []string{headerCSRF, token[1:] + "0"}, 403},
		{"token in the query is none", "POST", "", []string{"Content-Type", form}, 403},
		{"another site", "POST", "", []string{headerCSRF, token, "Sec-Fetch-Site", "cross-site"}, 403},
		{"another port of the host", "POST", "", []string{headerCSRF, token, "Sec-Fetch-Site", "same-site"}, 403},
		{"another origin", "POST", "", []string{headerCSRF, token, "Origin", "http://evil.example.com"}, 403},
		{"hidden origin", "POST", "", []string{headerCSRF, token, "Origin", "null"}, 403},
	}
	for _, test := range tests {
		path := "/deliveries/1"
		if test.name == "token in the query is none" {
			path += "?csrf=" + token
		}
		got := s.do(t, b, test.method, path, test.body, test.headers...)
		if got.status != test.status {
			t.Errorf("%s %s: %d", test.method, test.name, got.status)
		}
		if test.name == "field" && got.fields["form"] != "slow" {
			t.Errorf("the handler does not see the form: %v", got.fields)
		}
	}
	other := s.do(t, login(t, s), http.MethodGet, "/", "").fields["csrf"]
	if got := s.do(t, b, http.MethodPost, "/", "", headerCSRF, other); got.status != 403 {
		t.Errorf("another session's token: %d", got.status)
	}
	if got := s.do(t, nil, http.MethodPost, "/api/v1/projects", "x", s.bearer()...); got.status != 200 || got.fields["body"] != "x" || got.fields["csrf"] != "" {
		t.Errorf("a program with the API token: %d %v", got.status, got.fields)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth("a", s.guard.Token())
	if got := s.do(t, nil, http.MethodPost, "/api/v1/projects", "x", "Authorization", r.Header.Get("Authorization"), "Sec-Fetch-Site", "cross-site"); got.status != 403 {
		t.Errorf("basic authentication that a browser repeats on a foreign page: %d", got.status)
	}
}

func TestWrongGuessesAreSlowedAndNobodyIsLockedOut(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for range 30 {
		if got := s.do(t, nil, http.MethodGet, "/v2/", "", "Authorization", "Bearer no"); got.status != 401 {
			t.Fatalf("within the burst: %d", got.status)
		}
	}
	got := s.do(t, nil, http.MethodGet, "/v2/", "", "Authorization", "Bearer no")
	if got.status != 429 || got.header.Get("Retry-After") == "" || s.count(RefusedTooMany) != 1 {
		t.Errorf("beyond it: %d", got.status)
	}
	if got := s.do(t, nil, http.MethodGet, "/login?code=no", ""); got.status != 429 {
		t.Errorf("a code beyond it: %d", got.status)
	}
	if got := s.do(t, nil, http.MethodGet, "/v2/", "", s.bearer()...); got.status != 200 {
		t.Errorf("who knows the token: %d", got.status)
	}
	s.advance(time.Second)
	if got := s.do(t, nil, http.MethodGet, "/v2/", "", "Authorization", "Bearer no"); got.status != 401 {
		t.Errorf("a second later: %d", got.status)
	}
}

func TestBodiesAreLimitedByRoute(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	large := strings.Repeat("x", 64<<10+1)
	if got := s.do(t, nil, http.MethodPost, "/deliveries/1", large, s.bearer()...); got.status != 413 || s.count(RefusedTooLarge) != 1 {
		t.Errorf("announced: %d %v", got.status, s.refused)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/deliveries/1", io.MultiReader(strings.NewReader(large)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.guard.Token())
	resp, err := s.Client().Do(r)
	if err != nil || resp.StatusCode != 413 {
		t.Errorf("not announced: %v %v", resp, err)
	} else {
		resp.Body.Close()
	}
	for path, want := range map[string]class{"/": pages, "/v2": images, "/v2/x/blobs/uploads/": images, "/v20": pages, "/git/a.git": repositories,
		"/api/v1/events": events, "/api/v1/eventsx": programs, "/api/v1/projects": programs, "/metrics": programs, "/prometheus/api/v1/query": programs} {
		if got := classOf(path); got != want {
			t.Errorf("%s is of class %d", path, got)
		}
	}
	if got := s.do(t, nil, http.MethodPost, "/api/v1/projects", large, s.bearer()...); got.status != 200 || len(got.fields["body"]) != len(large) {
		t.Errorf("the API takes more: %d", got.status)
	}
}

// A read deadline that outlived the body would end a long answer.
func TestBodyDeadlineDoesNotEndTheAnswer(t *testing.T) {
	t.Parallel()
	control := &deadlines{}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("abc"))
	release, ok := limitBody(control, r)
	if !ok {
		t.Fatal("refused")
	}
	if _, err := io.ReadAll(r.Body); err != nil {
		t.Fatal(err)
	}
	release()
	if control.set == 0 || !control.last.IsZero() {
		t.Errorf("%d deadlines set, the last %v", control.set, control.last)
	}
	r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader("abc"))
	if release, ok = limitBody(control, r); !ok {
		t.Fatal("refused")
	}
	release()
	if control.last.IsZero() {
		t.Error("a client may go on sending for ever what nobody reads")
	}
}

// deadlines is a writer that notes the read deadlines it is given.
type deadlines struct {
	httptest.ResponseRecorder
	set  int
	last time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set++
	d.last = at
	return nil
}

func TestOutsideOfARequestNobodyActs(t *testing.T) {
	t.Parallel()
	if Actor(context.Background()) != "" || CSRF(context.Background()) != "" {
		t.Error("somebody does")
	}
}
