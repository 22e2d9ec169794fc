package controller

import (
	"maps"
	"sync"
)

// memo keeps values that are computed from the caches, until they are forgotten. The
// zero value is empty.
type memo[K comparable, V any] struct {
	lock   sync.RWMutex
	values map[K]V
	// changes counts the calls of forget, forgetIf and clear.
	changes uint64
}

// get returns the value, and the number of changes so far, which put takes.
func (m *memo[K, V]) get(key K) (value V, changes uint64, ok bool) {
	m.lock.RLock()
	defer m.lock.RUnlock()
	value, ok = m.values[key]
	return value, m.changes, ok
}

// put keeps a value, unless something has changed since the number of changes was
// read: the value may have been computed before that.
func (m *memo[K, V]) put(key K, value V, changes uint64) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if changes != m.changes {
		return
	}
	if m.values == nil {
		m.values = make(map[K]V)
	}
	m.values[key] = value
}

func (m *memo[K, V]) forget(key K) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.changes++
	delete(m.values, key)
}

func (m *memo[K, V]) forgetIf(matches func(K) bool) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.changes++
	maps.DeleteFunc(m.values, func(key K, _ V) bool { return matches(key) })
}

func (m *memo[K, V]) clear() {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.changes++
	clear(m.values)
}
