package process

import "testing"

func TestPortsAreUnique(t *testing.T) {
	t.Parallel()
	p := &ports{host: "127.0.0.1", owner: map[int]string{}}
	a, err := p.take(0, "a")
	must(t, err)
	if again, err := p.take(a, "a"); err != nil || again != a {
		t.Errorf("a gets %d (%v) instead of its %d", again, err, a)
	}
	if b, err := p.take(a, "b"); err != nil || b == a {
		t.Errorf("b gets a's port %d (%v), though nobody listens on it yet", b, err)
	}
	p.reserve(a, "c")
	p.release("c")
	if b, err := p.take(a, "b"); err != nil || b == a {
		t.Errorf("b gets a's port %d (%v) after c has given back what it never had", b, err)
	}
	p.release("a")
	if b, err := p.take(a, "b"); err != nil || b != a {
		t.Errorf("b gets %d (%v) instead of the free %d", b, err, a)
	}
}
