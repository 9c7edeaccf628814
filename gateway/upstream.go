package gateway

import (
	"context"
	"errors"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairwaycd/fairway"
)

const (
	// leaving is the bit of [upstream.state] that says that no table names
	// the upstream any more.
	leaving = int64(1) << 62
	// idleConns is how many connections to one backend are kept open. The
	// two that net/http keeps by default cost four fifths of the throughput.
	idleConns = 512
	// idleTimeout is shorter than the keep-alive time of any usual server,
	// so that it is us who close a connection that nobody needs.
	idleTimeout = 10 * time.Second
	dialTimeout = 5 * time.Second
)

// errCut is what a request gets that asks for a connection to an upstream
// that was cut off.
var errCut = errors.New("the version was taken out of service, and its time to finish requests is over")

// upstream is one process that answers: its connections and the requests
// under way at it. It outlives the table that names it until the last of
// them has ended.
type upstream struct {
	place    fairway.Place
	instance string
	address  string

	state    atomic.Int64  // requests under way, and the leaving bit
	upgrades atomic.Int64  // those of them that are upgraded connections
	idle     chan struct{} // closed when it is leaving and the last request has ended
	once     sync.Once

	transport *http.Transport

	mu    sync.Mutex
	conns map[net.Conn]struct{} // to the process, and of clients whose connections were upgraded
	gone  bool                  // cut was called
}

func newUpstream(b fairway.Backend) *upstream {
	u := &upstream{
		place: b.Place, instance: b.Instance, address: b.Address,
		idle: make(chan struct{}), conns: make(map[net.Conn]struct{}),
	}
	u.transport = &http.Transport{
		// Proxy stays nil: the environment's proxy has no say on the way to
		// a process of this machine.
		DialContext:           u.dial,
		MaxIdleConnsPerHost:   idleConns,
		IdleConnTimeout:       idleTimeout,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
	}
	return u
}

// acquire counts a request. The caller has to check afterwards that the table
// still names the upstream.
func (u *upstream) acquire() { u.state.Add(1) }

// release ends what acquire began.
func (u *upstream) release() {
	if u.state.Add(-1) == leaving {
		u.finish()
	}
}

// leave says that no table names the upstream any more. Its idle channel is
// closed as soon as no request is under way.
func (u *upstream) leave() {
	if u.state.Or(leaving)&^leaving == 0 {
		u.finish()
	}
}

func (u *upstream) finish() {
	u.once.Do(func() {
		u.transport.CloseIdleConnections()
		close(u.idle)
	})
}

func (u *upstream) isIdle() bool {
	select {
	case <-u.idle:
		return true
	default:
		return false
	}
}

// inFlight returns the number of requests under way, upgraded connections
// included.
func (u *upstream) inFlight() int { return int(u.state.Load() &^ leaving) }

// cut closes every connection to the process and every upgraded one of a
// client, and allows no new one, which ends the requests under way. It returns
// how many there were.
func (u *upstream) cut() int {
	n := u.inFlight()
	u.mu.Lock()
	u.gone = true
	open := slices.Collect(maps.Keys(u.conns))
	u.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
	return n
}

func (u *upstream) isCut() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.gone
}

// dial connects to the process and remembers the connection for cut.
func (u *upstream) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	raw, err := d.DialContext(ctx, network, u.address)
	if err != nil {
		return nil, err
	}
	c := &conn{TCPConn: raw.(*net.TCPConn), owner: u}
	if !u.track(c) {
		raw.Close()
		return nil, errCut
	}
	return c, nil
}

// track remembers the connection for cut; it returns false when that is over.
func (u *upstream) track(c net.Conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return false
	}
	u.conns[c] = struct{}{}
	return true
}

func (u *upstream) untrack(c net.Conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.conns, c)
}

// conn is a connection that its upstream can close.
type conn struct {
	*net.TCPConn
	owner *upstream
}

// Close closes the connection and forgets it.
func (c *conn) Close() error {
	c.owner.untrack(c)
	return c.TCPConn.Close()
}

// buffers lends the copy buffers of all proxies.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get returns a buffer of 32 KB.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

// Put takes back what Get lent. A pointer to an array goes into the pool
// without an allocation, which a slice does not.
func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }

// silent swallows what httputil.ReverseProxy prints for itself: every such
// line is about a request whose end the gateway logs with place and version.
var silent = log.New(discard{}, "", 0)

type discard struct{}

// Write swallows p.
func (discard) Write(p []byte) (int, error) { return len(p), nil }
