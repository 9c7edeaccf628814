package git

import (
	"container/list"
	"sync"
)

// cache keeps the objects used last, up to a number of bytes.
type cache struct {
	mu    sync.Mutex
	most  int
	used  int
	items map[hash]*list.Element
	order *list.List // front: used last
}

type cached struct {
	h hash
	o object
}

func newCache(most int) *cache {
	return &cache{most: most, items: map[hash]*list.Element{}, order: list.New()}
}

func (c *cache) get(h hash) (object, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[h]
	if !ok {
		return object{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(cached).o, true
}

// put keeps the object unless it would push out too many others.
func (c *cache) put(h hash, o object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[h]; ok || len(o.data) > c.most/8 {
		return
	}
	c.items[h] = c.order.PushFront(cached{h, o})
	c.used += cost(o)
	for c.used > c.most {
		last := c.order.Back()
		v := c.order.Remove(last).(cached)
		delete(c.items, v.h)
		c.used -= cost(v.o)
	}
}

// cost is the memory of a cached object: its data and about 200 bytes around
// it.
func cost(o object) int { return cap(o.data) + 200 }
