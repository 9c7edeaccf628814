package process

import (
	"fmt"
	"net"
	"strconv"
	"sync"
)

// ports hands out free ports and remembers whose they are, so that two of our
// instances never get the same one between choosing and listening.
type ports struct {
	host string

	mu    sync.Mutex
	owner map[int]string // port → instance
}

// reserve notes that the instance has the port without looking at it.
func (p *ports) reserve(port int, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if port != 0 && p.owner[port] == "" {
		p.owner[port] = id
	}
}

// take returns the wanted port if the instance can have it, else another.
func (p *ports) take(wanted int, id string) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wanted != 0 {
		owner := p.owner[wanted]
		if _, err := p.listen(wanted); err == nil && (owner == "" || owner == id) {
			p.owner[wanted] = id
			return wanted, nil
		}
		if owner == id {
			delete(p.owner, wanted)
		}
	}
	for range 100 {
		port, err := p.listen(0)
		if err != nil {
			return 0, fmt.Errorf("find a free port on %s: %w", p.host, err)
		}
		if p.owner[port] == "" {
			p.owner[port] = id
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port on %s: every port that the system offered belongs to another instance", p.host)
}

// release gives all ports of the instance back.
func (p *ports) release(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for port, owner := range p.owner {
		if owner == id {
			delete(p.owner, port)
		}
	}
}

// listen binds the port, 0 for any, and lets it go. No process is started
// meanwhile: until it executes its program it would hold the socket, too, and
// the port would still be in use when its owner wants it.
func (p *ports) listen(port int) (int, error) {
	defer holdForks()()
	l, err := net.Listen("tcp", net.JoinHostPort(p.host, strconv.Itoa(port)))
	if err != nil {
		return 0, err
	}
	port = l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
