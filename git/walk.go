package git

import (
	"container/heap"
)

// queue yields commits, the newest committer time first.
type queue []queued

type queued struct {
	h       hash
	c       commit
	seconds int64
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].seconds > q[j].seconds }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(queued)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}

func (q *queue) add(src source, h hash) error {
	c, err := readCommit(src, h)
	if err == nil {
		heap.Push(q, queued{h, c, c.seconds()})
	}
	return err
}

func (q *queue) next() queued { return heap.Pop(q).(queued) }

// walkCommits calls f for the commits and all their ancestors, newest first,
// until f returns false.
func walkCommits(src source, from []hash, f func(h hash, c commit) (bool, error)) error {
	var q queue
	seen := map[hash]bool{}
	add := func(list []hash) error {
		for _, h := range list {
			if seen[h] {
				continue
			}
			seen[h] = true
			if err := q.add(src, h); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(from); err != nil {
		return err
	}
	for q.Len() > 0 {
		x := q.next()
		more, err := f(x.h, x.c)
		if err != nil || !more {
			return err
		}
		if err := add(x.c.parents); err != nil {
			return err
		}
	}
	return nil
}

// isAncestor reports whether old is new or an ancestor of it.
func isAncestor(src source, old, new hash) (bool, error) {
	found := false
	err := walkCommits(src, []hash{new}, func(h hash, _ commit) (bool, error) {
		found = h == old
		return !found, nil
	})
	return found, err
}

// reachesAny reports whether each of the commits has an ancestor among the
// goals, or is one.
func reachesAny(src source, from []hash, goals map[hash]bool) (bool, error) {
	for _, h := range from {
		found := false
		err := walkCommits(src, []hash{h}, func(h hash, _ commit) (bool, error) {
			found = goals[h]
			return !found, nil
		})
		if err != nil || !found {
			return false, err
		}
	}
	return true, nil
}

// selection says which part of the history a client asks for.
type selection struct {
	wants, haves []hash
	// The client has these without their parents.
	clientShallow map[hash]bool
	// The client is to get these without their parents.
	shallow map[hash]bool
}

const (
	wanted = 1 << iota
	had
)

// missing returns the commits that the client lacks, and commits that it has
// whose trees are likely to hold much of what is in them.
func (s selection) missing(src source) (send []hash, edges []hash, err error) {
	var q queue
	flags := map[hash]int{}
	add := func(h hash, flag int) error {
		if flags[h]&flag == flag {
			return nil
		}
		flags[h] |= flag
		return q.add(src, h)
	}
	for _, h := range s.wants {
		if err := add(h, wanted); err != nil {
			return nil, nil, err
		}
	}
	for _, h := range s.haves {
		if err := add(h, had); err != nil {
			return nil, nil, err
		}
	}
	var order []queued
	// With nothing shallow, all ancestors of what the client has are had too,
	// and the walk may stop once nothing else is left in it.
	early := len(s.clientShallow) == 0 && len(s.shallow) == 0
	for q.Len() > 0 && (!early || anyLacks(q, flags)) {
		x := q.next()
		order = append(order, x)
		for _, p := range x.c.parents {
			flag := 0
			if flags[x.h]&had != 0 && !s.clientShallow[x.h] {
				flag |= had
			}
			if flags[x.h]&wanted != 0 && !s.shallow[x.h] {
				flag |= wanted
			}
			if flag == 0 {
				continue
			}
			if err := add(p, flag); err != nil {
				return nil, nil, err
			}
		}
	}
	send, edges = s.split(order, flags)
	return send, edges, nil
}

// anyLacks reports whether a queued commit is not known to be had.
func anyLacks(q queue, flags map[hash]int) bool {
	for _, x := range q {
		if flags[x.h]&had == 0 {
			return true
		}
	}
	return false
}

func (s selection) split(order []queued, flags map[hash]int) (send, edges []hash) {
	done, edge := map[hash]bool{}, map[hash]bool{}
	addEdge := func(h hash) {
		if !edge[h] {
			edge[h] = true
			edges = append(edges, h)
		}
	}
	for _, x := range order {
		if flags[x.h]&had != 0 || done[x.h] {
			continue
		}
		done[x.h] = true
		send = append(send, x.h)
		for _, p := range x.c.parents {
			if flags[p]&had != 0 {
				addEdge(p)
			}
		}
	}
	if len(send) > 0 {
		for h := range s.clientShallow {
			addEdge(h)
		}
		for _, h := range s.haves {
			addEdge(h)
		}
	}
	return send, edges
}

// boundary returns the commits that are depth steps away from the given ones
// (which are one step away themselves) and have parents, and those that are
// nearer.
func boundary(src source, from []hash, depth int) (edge, inside map[hash]bool, err error) {
	edge, inside = map[hash]bool{}, map[hash]bool{}
	level := from
	for n := 1; len(level) > 0; n++ {
		var next []hash
		for _, h := range level {
			if inside[h] || edge[h] {
				continue
			}
			c, err := readCommit(src, h)
			if err != nil {
				return nil, nil, err
			}
			if n >= depth && len(c.parents) > 0 {
				edge[h] = true
				continue
			}
			inside[h] = true
			next = append(next, c.parents...)
		}
		level = next
	}
	return edge, inside, nil
}

// closure returns the commits and all that they refer to, without what the
// trees of the edges hold.
func closure(src source, commits, edges []hash) ([]hash, error) {
	seen := map[hash]bool{}
	var list []hash
	for _, h := range edges {
		c, err := readCommit(src, h)
		if err != nil {
			return nil, err
		}
		if err := markTree(src, c.tree, seen, func(hash) {}); err != nil {
			return nil, err
		}
	}
	for _, h := range commits {
		c, err := readCommit(src, h)
		if err != nil {
			return nil, err
		}
		list = append(list, h)
		if err := markTree(src, c.tree, seen, func(h hash) { list = append(list, h) }); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// markTree calls f for the tree and each object in it that was not seen.
func markTree(src source, tree hash, seen map[hash]bool, f func(hash)) error {
	if seen[tree] {
		return nil
	}
	seen[tree] = true
	f(tree)
	entries, err := readTree(src, tree)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case seen[e.hash] || e.mode == modeModule:
		case e.isDir():
			if err := markTree(src, e.hash, seen, f); err != nil {
				return err
			}
		default:
			seen[e.hash] = true
			f(e.hash)
		}
	}
	return nil
}
