package keystone

import (
	"sync"
	"time"
)

// memo remembers what was made of values that never change, by their pointers.
// It forgets half at random when it is full, which costs little to make again.
type memo[K comparable] struct {
	limit int
	mu    sync.RWMutex
	byKey map[K][]byte
}

func newMemo[K comparable](limit int) *memo[K] { return &memo[K]{limit: limit, byKey: map[K][]byte{}} }

func (m *memo[K]) get(k K) ([]byte, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	b, ok := m.byKey[k]
	return b, ok
}

func (m *memo[K]) put(k K, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.byKey) >= m.limit {
		for old := range m.byKey {
			if delete(m.byKey, old); len(m.byKey) <= m.limit/2 {
				break
			}
		}
	}
	m.byKey[k] = b
}

// stamp writes a time as Keystone does.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// stampOrNull writes an optional time, which Keystone does without a zone.
func stampOrNull(t *time.Time) *string {
	if t == nil {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000000")
	return &s
}
