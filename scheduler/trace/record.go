package trace

import (
	"io"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// Recorder is a snapshot and its decisions, each of which is written down in the
// order in which it takes effect. Decisions fall one after the other meanwhile.
// It is safe for concurrent use.
type Recorder struct {
	snap  *scheduler.Snapshot
	clock nephos.Clock
	began time.Time

	mu  sync.Mutex
	enc encoder
	err error
}

// NewRecorder returns a recorder of a snapshot that is empty yet, with the ratios
// that it was made with. It writes each event with one call, so w may be a file
// that is opened for appending.
func NewRecorder(w io.Writer, snap *scheduler.Snapshot, ratios map[string]float64, clock nephos.Clock) *Recorder {
	r := &Recorder{snap: snap, clock: clock, began: clock.Now(), enc: encoder{w: w}}
	if ratios != nil {
		r.write(Event{Ratios: ratios})
	}
	return r
}

// write keeps the first error; the caller holds mu, or nobody else knows r yet.
func (r *Recorder) write(e Event) {
	if r.err != nil {
		return
	}
	e.At = r.clock.Now().Sub(r.began).Seconds()
	r.err = r.enc.encode(e)
}

// Err is the first error of writing. Nothing was written after it; the snapshot
// and the decisions are not affected.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Put is [scheduler.Snapshot.Put].
func (r *Recorder) Put(h scheduler.Host) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.snap.Put(h)
	if err == nil {
		r.write(Event{Host: &h})
	}
	return err
}

// Remove is [scheduler.Snapshot.Remove].
func (r *Recorder) Remove(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok := r.snap.Remove(id)
	if ok {
		r.write(Event{Remove: id})
	}
	return ok
}

// SetUsage is [scheduler.Snapshot.SetUsage].
func (r *Recorder) SetUsage(id string, u scheduler.Usage) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.snap.SetUsage(id, u)
	if err == nil {
		r.write(Event{Usage: &Usage{id, u}})
	}
	return err
}

// Claim is [scheduler.Snapshot.Claim].
func (r *Recorder) Claim(id string, want scheduler.Resources) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.snap.Claim(id, want)
	if err == nil {
		r.write(Event{Claim: &Claim{id, want}})
	}
	return err
}

// Select is [scheduler.Scheduler.Select].
func (r *Recorder) Select(s *scheduler.Scheduler, req scheduler.Request, o scheduler.Options) (scheduler.Decision, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, err := s.Select(r.snap, req, o)
	made := Decision{Request: req, Seed: o.Seed, Alternates: o.Alternates}
	for _, c := range d.Choices {
		made.Chosen = append(made.Chosen, c.Host.ID)
	}
	if err == nil || d.Explanation.Wanted > 0 { // else it was refused as malformed
		r.write(Event{Decision: &made})
	}
	return d, err
}
