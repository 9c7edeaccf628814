package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Bounds, in bytes.
const (
	maxKey   = 512
	maxValue = 1 << 20
	maxTotal = 64 << 20 // of keys and values together
)

var (
	errNoKey  = errors.New("there is no such key")
	errBadKey = fmt.Errorf("a key has 1 to %d bytes", maxKey)
	errFull   = fmt.Errorf("the store is full with %d bytes; remove keys first", maxTotal)
)

// store maps keys to values. It is safe for concurrent use.
type store struct {
	mu     sync.RWMutex
	values map[string][]byte
	size   int   // of keys and values
	log    *wal  // nil: memory only
	broken error // why the log cannot be written any more
}

// openStore opens the store in dir, or one in memory when dir is empty.
func openStore(dir string) (*store, error) {
	s := &store{values: map[string][]byte{}}
	if dir == "" {
		return s, nil
	}
	var err error
	s.log, err = openLog(dir, s.apply)
	return s, err
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log == nil {
		return nil
	}
	return s.log.close()
}

// apply changes memory; mu is held, or nobody else knows the store yet.
func (s *store) apply(c change) {
	if old, ok := s.values[c.Key]; ok {
		s.size -= len(c.Key) + len(old)
		delete(s.values, c.Key)
	}
	if !c.Removed {
		s.values[c.Key] = c.Value
		s.size += len(c.Key) + len(c.Value)
	}
}

func (s *store) get(key string) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.values[key]
	if !ok {
		return nil, errNoKey
	}
	return v, nil
}

// keys returns the keys with the prefix, sorted.
func (s *store) keys(prefix string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := []string{}
	for k := range maps.Keys(s.values) {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func (s *store) put(key string, value []byte) error {
	if key == "" || len(key) > maxKey {
		return errBadKey
	}
	return s.change(change{Key: key, Value: value})
}

func (s *store) remove(key string) error { return s.change(change{Key: key, Removed: true}) }

// change stores c, first in the log: what is answered survives a crash.
func (s *store) change(c change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.values[c.Key]
	if c.Removed && !ok {
		return nil
	}
	if !c.Removed && s.size-len(old)+len(c.Key)+len(c.Value) > maxTotal {
		return errFull
	}
	if s.broken != nil {
		return s.broken
	}
	if s.log != nil {
		if err := s.log.append(c); err != nil {
			// What reached the disk is unknown; only a new start can tell.
			s.broken = fmt.Errorf("the log cannot be written, restart once there is space: %w", err)
			return s.broken
		}
	}
	s.apply(c)
	return nil
}

// healthy reports why changes cannot be stored.
func (s *store) healthy() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.broken
}
