package gateway

import (
	"hash/maphash"
	"iter"
	"maps"
)

// spreadOver is the number of parts of a spread.
const spreadOver = 256

var seed = maphash.MakeSeed()

// spread is a map from hosts in parts. A copy shares all parts until one is
// changed, so that a change of one service costs little, however many there
// are. The zero value is empty.
type spread[V any] struct {
	parts [spreadOver]map[string]V
}

func partOf(host string) uint64 { return maphash.String(seed, host) % spreadOver }

func (s *spread[V]) get(host string) V { return s.parts[partOf(host)][host] }

// set changes the copy that it is called on, and no other.
func (s *spread[V]) set(host string, v V) {
	n := partOf(host)
	part := make(map[string]V, len(s.parts[n])+1)
	maps.Copy(part, s.parts[n])
	part[host] = v
	s.parts[n] = part
}

// remove changes the copy that it is called on, and no other.
func (s *spread[V]) remove(host string) {
	n := partOf(host)
	part := maps.Clone(s.parts[n])
	delete(part, host)
	s.parts[n] = part
}

func (s *spread[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, part := range s.parts {
			for host, v := range part {
				if !yield(host, v) {
					return
				}
			}
		}
	}
}
