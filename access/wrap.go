package access

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/fairwaycd/fairway"
)

// Options are what a [Guard] has to know of the server that it stands before.
type Options struct {
	// Listen is the address that the server is bound to, HOST:PORT with the
	// port that it really has. That, and localhost, 127.0.0.1 and [::1] with
	// the same port, are the hosts that requests may name. Where it is bound to
	// all addresses, so is every IP address with the port: a page of somebody
	// else cannot make its own name one.
	Listen string
	// Hosts are further hosts that requests may name, as clients write them:
	// HOST:PORT, or HOST alone for the protocol's own port.
	Hosts []string
	// Refused is called for each refusal with its reason, one of the
	// constants below, to count it. Nil counts nothing.
	Refused func(reason string)
	// Own says which requests prove by themselves that they may pass: neither
	// their host nor a token is looked at. Nil: none does.
	Own func(*http.Request) bool
	// Log takes what went wrong on our side. Nil discards it.
	Log *slog.Logger
}

// The reasons of a refusal.
const (
	RefusedHost      = "host"      // the host is not one of ours
	RefusedMissing   = "missing"   // no credentials; git and image clients begin like that
	RefusedToken     = "token"     // a wrong token
	RefusedSession   = "session"   // a session that is unknown or has ended
	RefusedCode      = "code"      // a one-time code that is unknown, used or too old
	RefusedOrigin    = "origin"    // a change asked for by a foreign page
	RefusedCSRF      = "csrf"      // a change by cookie without our page's token
	RefusedTooLarge  = "too_large" // a body beyond its limit
	RefusedTooMany   = "too_many"  // too many wrong guesses
	RefusedHook      = "hook"      // a notification with a wrong secret, counted by whoever takes it
	headerCSRF       = "X-CSRF-Token"
	fieldCSRF        = "csrf"
	cookiePrefix     = "fairway_session"
	consoleActor     = "console"
	tokenActor       = "token"
	maxActorNameSize = 64
)

type contextKey int

const (
	actorKey contextKey = iota
	csrfKey
)

// Actor returns who asks: "console", the user of basic authentication, or
// "token". Outside of a request that a [Guard] let in it is empty.
func Actor(ctx context.Context) string {
	s, _ := ctx.Value(actorKey).(string)
	return s
}

// CSRF returns the token that forms of this session carry in the field "csrf",
// and scripts in the header X-CSRF-Token. It is empty where the request came
// without a session, and then none is asked for.
func CSRF(ctx context.Context) string {
	s, _ := ctx.Value(csrfKey).(string)
	return s
}

// gate is a guarded handler.
type gate struct {
	*Guard
	next    http.Handler
	hosts   map[string]bool
	port    string // where every IP address is ours; else empty
	refused func(string)
	own     func(*http.Request) bool
	log     *slog.Logger
	origin  *http.CrossOriginProtection
}

// Wrap returns a handler that lets through to h what may pass. It sets the
// security headers and limits bodies by class of route; see [Harden] for the
// limits that belong to the server.
func (g *Guard) Wrap(h http.Handler, o Options) http.Handler {
	if o.Refused == nil {
		o.Refused = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Own == nil {
		o.Own = func(*http.Request) bool { return false }
	}
	return &gate{Guard: g, next: h, hosts: ownHosts(o), port: openPort(o.Listen), refused: o.Refused, own: o.Own, log: o.Log, origin: http.NewCrossOriginProtection()}
}

// anyAddress reports whether the host is an IP address where all are ours.
func (s *gate) anyAddress(host string) bool {
	if s.port == "" {
		return false
	}
	ip, port, err := net.SplitHostPort(host)
	return err == nil && port == s.port && net.ParseIP(ip) != nil
}

// openPort returns the port where the server is bound to all addresses.
func openPort(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return port
	}
	return ""
}

func ownHosts(o Options) map[string]bool {
	hosts := map[string]bool{}
	add := func(host string) {
		host = strings.ToLower(host)
		hosts[host] = true
		if bare, ok := strings.CutSuffix(host, ":80"); ok {
			hosts[bare] = true // clients leave out the protocol's own port
		}
	}
	for _, host := range o.Hosts {
		add(host)
	}
	if _, port, err := net.SplitHostPort(o.Listen); err == nil {
		add(o.Listen)
		for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
			add(net.JoinHostPort(host, port))
		}
	}
	return hosts
}

// ServeHTTP refuses the request or passes it on.
func (s *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	own := s.own(r)
	if !own && !s.hosts[strings.ToLower(r.Host)] && !s.anyAddress(r.Host) {
		s.refused(RefusedHost)
		http.Error(w, "Misdirected Request", http.StatusMisdirectedRequest)
		return
	}
	release, ok := limitBody(w, r)
	if !ok {
		s.refuse(w, r, RefusedTooLarge)
		return
	}
	defer release()
	if own {
		s.next.ServeHTTP(w, r)
		return
	}
	switch r.URL.Path {
	case "/healthz", "/readyz":
		s.next.ServeHTTP(w, r)
		return
	case "/login":
		s.login(w, r)
		return
	}
	ctx, reason := s.admit(r)
	if reason != "" {
		s.refuse(w, r, reason)
		return
	}
	s.next.ServeHTTP(w, r.WithContext(ctx))
}

// admit returns the context of a request that may pass, or why it may not.
func (s *gate) admit(r *http.Request) (context.Context, string) {
	ctx := r.Context()
	actor, session, reason := s.identify(r)
	if reason != "" {
		return nil, reason
	}
	// A browser repeats basic authentication by itself, on foreign pages too.
	if err := s.origin.Check(r); err != nil {
		return nil, RefusedOrigin
	}
	if session != "" {
		token := csrf(session)
		if changes(r.Method) && !sentCSRF(r, token) {
			return nil, RefusedCSRF
		}
		ctx = context.WithValue(ctx, csrfKey, token)
	}
	return context.WithValue(ctx, actorKey, actor), ""
}

// identify returns who asks, and the session's id if a cookie says so.
func (s *gate) identify(r *http.Request) (actor, session, reason string) {
	if header := r.Header.Get("Authorization"); header != "" {
		user, token := credentials(r, header)
		switch {
		case s.isToken(token):
			return user, "", ""
		case !s.mayFail():
			return "", "", RefusedTooMany
		}
		return "", "", RefusedToken
	}
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return "", "", RefusedMissing
	}
	if !s.hasSession(cookie.Value) {
		return "", "", RefusedSession
	}
	return consoleActor, cookie.Value, ""
}

// credentials returns the user's name and the token of an Authorization
// header.
func credentials(r *http.Request, header string) (user, token string) {
	if name, password, ok := r.BasicAuth(); ok {
		return actorName(name), password
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", ""
	}
	return tokenActor, strings.TrimSpace(token)
}

// actorName makes a name that anybody may have typed fit for logs and events.
func actorName(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > maxActorNameSize {
		name = string(runes[:maxActorNameSize])
	}
	if name == "" {
		return tokenActor
	}
	return name
}

func changes(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return true
}

func sentCSRF(r *http.Request, token string) bool {
	sent := r.Header.Get(headerCSRF)
	if sent == "" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		sent = r.PostFormValue(fieldCSRF)
	}
	return subtle.ConstantTimeCompare([]byte(sent), []byte(token)) == 1
}

// cookieName has the port in it: browsers keep one jar for all ports of a
// host, and there may be several Fairways.
func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		return cookiePrefix
	}
	return cookiePrefix + "_" + port
}

// giveLink answers whoever has the token with a link that logs a browser in.
func (s *gate) giveLink(w http.ResponseWriter, r *http.Request) {
	if _, reason := s.admit(r); reason != "" {
		s.refuse(w, r, reason)
		return
	}
	answer(w, http.StatusOK, "text/plain; charset=utf-8", "http://"+r.Host+"/login?code="+s.NewCode()+"\n")
}

// login exchanges the code in the link that Fairway printed for a session.
func (s *gate) login(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodPost {
		s.giveLink(w, r)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	id, err := s.redeem(r.URL.Query().Get("code"))
	if err != nil && fairway.KindOf(err) != fairway.KindUnauthorized {
		s.log.ErrorContext(r.Context(), "a login failed", "error", err)
		answer(w, http.StatusInternalServerError, "text/html; charset=utf-8", page(http.StatusInternalServerError))
		return
	}
	if err != nil {
		if c, cookieErr := r.Cookie(cookieName(r)); cookieErr == nil && s.hasSession(c.Value) {
			http.Redirect(w, r, "/", http.StatusSeeOther) // the link was opened twice
			return
		}
		reason := RefusedCode
		if !s.mayFail() {
			reason = RefusedTooMany
		}
		s.refuse(w, r, reason)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: id, Path: "/", MaxAge: int(sessionLife / time.Second),
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
