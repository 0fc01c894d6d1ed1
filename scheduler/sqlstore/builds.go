package sqlstore

import (
	"time"

	"github.com/nephos-cloud/nephos/store"
)

// build is a build under way.
type build struct {
	host  string
	since time.Time
}

// What is known of builds is this process's own, and begins anew with it: it is
// there to prefer hosts that are quiet and well, and no claim depends on it.
const (
	// maxBuilds bounds the builds that are watched; then those that nobody ended
	// within buildLife are forgotten.
	maxBuilds = 10_000
	buildLife = time.Hour
)

// began counts a build on a host until it ends.
func (s *Store) began(consumer, hostID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock.Now()
	if len(s.builds) >= maxBuilds {
		for id, b := range s.builds {
			if now.Sub(b.since) >= buildLife {
				s.drop(id)
			}
		}
	}
	s.drop(consumer)
	if h := s.hosts[hostID]; h != nil && len(s.builds) < maxBuilds {
		s.builds[consumer] = build{hostID, now}
		h.building++
		s.settle(h)
	}
}

// drop forgets a build. The caller holds mu.
func (s *Store) drop(consumer string) {
	b, ok := s.builds[consumer]
	if !ok {
		return
	}
	delete(s.builds, consumer)
	if h := s.hosts[b.host]; h != nil && h.building > 0 {
		h.building--
		s.settle(h)
	}
}

// BuildEnded says, when the transaction is committed, that a build which
// Options.Building announced has ended on a host, and how. Builds that fail are
// counted until one succeeds, so that the scheduler avoids a host on which
// nothing will run. Ending what never began counts all the same.
func (s *Store) BuildEnded(tx *store.Tx, consumer, hostID string, ok bool) {
	tx.AfterCommit(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(consumer)
		h := s.hosts[hostID]
		if h == nil {
			return
		}
		if ok {
			h.broken = 0
		} else {
			h.broken++
		}
		s.settle(h)
	})
}
