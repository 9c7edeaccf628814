package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"sync"
	"time"

	"github.com/fairwaycd/fairway"
)

const (
	// codeLife is how long a one-time code can be used.
	codeLife = 10 * time.Minute
	// sessionLife is how long a session lasts from its login.
	sessionLife = 30 * 24 * time.Hour
	// maxCodes and maxSessions bound what is remembered; the oldest goes.
	maxCodes    = 100
	maxSessions = 100
)

// Guard knows the API token, the sessions and the one-time codes. It is safe
// for concurrent use.
type Guard struct {
	dir   string
	token string
	now   func() time.Time

	mu       sync.Mutex
	codes    map[string]time.Time // hash → end of life
	sessions map[string]time.Time // hash → end of life
	attempts bucket
}

// Open reads the token and the sessions from dir, which it makes where it does
// not exist. At the first start it makes a token: fwy_ and 32 random bytes in
// base64url, in the file dir/token that its owner alone can read.
func Open(dir string) (*Guard, error) {
	token, err := ensureToken(dir)
	if err != nil {
		return nil, err
	}
	g := &Guard{dir: dir, token: token, now: time.Now, codes: map[string]time.Time{}}
	g.attempts = bucket{size: 30, every: time.Second, left: 30}
	if g.sessions, err = readSessions(g.sessionFile()); err != nil {
		return nil, err
	}
	return g, nil
}

// Token returns the API token.
func (g *Guard) Token() string { return g.token }

// NewCode returns a code that opens one session within ten minutes.
func (g *Guard) NewCode() string {
	code := random()
	g.mu.Lock()
	defer g.mu.Unlock()
	keep(g.codes, g.now(), maxCodes-1)
	g.codes[g.hash(code)] = g.now().Add(codeLife)
	return code
}

// redeem exchanges a code for a session's id, which is stored before it
// returns. A code that is unknown, used or too old is
// [fairway.KindUnauthorized].
func (g *Guard) redeem(code string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.hash(code)
	end, ok := g.codes[h]
	delete(g.codes, h)
	if !ok || !g.now().Before(end) {
		return "", fairway.Errorf(fairway.KindUnauthorized, "the code is unknown, used or older than %v", codeLife)
	}
	id := random()
	keep(g.sessions, g.now(), maxSessions-1)
	g.sessions[g.hash(id)] = g.now().Add(sessionLife)
	if err := writeSessions(g.sessionFile(), g.sessions); err != nil {
		delete(g.sessions, g.hash(id))
		return "", err
	}
	return id, nil
}

// Sessions returns how many sessions are open.
func (g *Guard) Sessions() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, end := range g.sessions {
		if g.now().Before(end) {
			n++
		}
	}
	return n
}

// hasSession reports whether the session is open.
func (g *Guard) hasSession(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	end, ok := g.sessions[g.hash(id)]
	return ok && g.now().Before(end)
}

// isToken compares in a time that does not depend on where the two differ.
func (g *Guard) isToken(s string) bool {
	a, b := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(g.token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// MayGuess takes from the budget of wrong guesses for somebody who checks a
// secret of another kind; false means that it is spent.
func (g *Guard) MayGuess() bool { return g.mayFail() }

// mayFail takes from the budget of wrong guesses; false means that it is
// spent.
func (g *Guard) mayFail() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.attempts.take(g.now())
}

// hash is how secrets are remembered. Looking one up by its hash tells by its
// duration nothing about the secret.
func (g *Guard) hash(secret string) string { return keyed(g.token, secret) }

// csrf is the token that the session's forms carry.
func csrf(session string) string { return keyed(session, "csrf") }

func keyed(key, text string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

// random returns 32 random bytes in base64url.
func random() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails: it would end the program
	return base64.RawURLEncoding.EncodeToString(b)
}

// keep removes what has ended, and then what ends first until at most n are
// left.
func keep(ends map[string]time.Time, now time.Time, n int) {
	for h, end := range ends {
		if !now.Before(end) {
			delete(ends, h)
		}
	}
	for len(ends) > n {
		first := ""
		for h, end := range ends {
			if first == "" || end.Before(ends[first]) {
				first = h
			}
		}
		delete(ends, first)
	}
}

// bucket allows a burst of size, and one more after each interval.
type bucket struct {
	size, left int
	every      time.Duration
	at         time.Time
}

func (b *bucket) take(now time.Time) bool {
	if n := int(now.Sub(b.at) / b.every); n > 0 {
		b.left, b.at = min(b.size, b.left+min(n, b.size)), now
	}
	if b.left == 0 {
		return false
	}
	b.left--
	return true
}
