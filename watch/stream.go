package watch

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// Query says what a stream holds. The zero value is all that happens from now
// on and that the caller may see.
type Query struct {
	Types Types
	// Since is the token of the event behind which the stream begins; empty
	// begins with what comes next.
	Since string
	// Snapshot asks for the present state first, as events of the kind Present,
	// and one of the kind Synced behind the last of them. Between the two lies
	// nothing else, and what follows may repeat what the snapshot holds already.
	Snapshot bool
	// ResourceID and ProjectID, where set, keep out the events of others.
	ResourceID, ProjectID string
}

// Kind tells the events of a stream apart.
type Kind int

// The kinds.
const (
	Change  Kind = iota // something happened
	Present             // of a snapshot: this is there
	Synced              // the snapshot ends here
)

// Event is one change of a resource, as the caller may see it.
type Event struct {
	Kind Kind
	// Token resumes a stream behind this event; empty for those of a snapshot,
	// which cannot be resumed in the middle.
	Token string
	// Type is service, resource and what happened: compute.server.update.
	Type, Service, Resource string
	ResourceID, ProjectID   string
	UserID, RequestID       string // of whoever made the change
	At                      time.Time
	// Data are some of the resource's fields, as a JSON object or null.
	Data json.RawMessage
}

// Stream is an open stream. It belongs to one goroutine.
type Stream struct {
	service *Service
	reader  *reader
	viewer  *viewer
	query   Query
	epoch   uint64
	seq     int64 // the last event looked at
	pages   pages // of the snapshot; nil when it is over
	close   sync.Once
	user    string
}

// Open opens a stream for the context's caller. Errors: [nephos.ErrInvalid] for
// a token that is none, [nephos.ErrGone] for one that has expired,
// [nephos.ErrForbidden], and [nephos.ErrUnavailable] when too many are open.
func (s *Service) Open(ctx context.Context, q Query) (_ *Stream, err error) {
	if err := s.cfg.Policy.Enforce(ctx, ruleList, policy.Target{}); err != nil {
		return nil, err
	}
	var epoch uint64
	var since int64
	if q.Since != "" {
		if epoch, since, err = readToken(q.Since); err != nil {
			return nil, err
		}
	}
	ours, err := s.generation(ctx)
	if err != nil {
		return nil, err
	}
	st := &Stream{service: s, viewer: s.viewer(ctx), query: q, epoch: ours, user: callerOf(ctx).UserID}
	if err := s.count(st.user); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			st.Close()
		}
	}()
	if st.reader, err = s.feed.join(ctx, ""); err != nil {
		return nil, err
	}
	forgotten, newest, err := s.cfg.Store.EventsRange(ctx)
	if err != nil {
		return nil, err
	}
	st.seq = newest
	if q.Since != "" {
		if epoch != ours || since < forgotten || since > newest {
			return nil, gone()
		}
		st.seq = since
	}
	if q.Snapshot {
		st.pages = s.snapshot(q)
	}
	return st, nil
}

func (s *Service) count(user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[user] >= s.cfg.MaxStreams {
		return nephos.Errorf(nephos.ErrUnavailable, "You have %d open streams already, which is the most: close one, or watch more types with one stream.", s.cfg.MaxStreams)
	}
	s.streams[user]++
	return nil
}

// Close ends the stream. It may be called more than once.
func (st *Stream) Close() {
	st.close.Do(func() {
		if st.reader != nil {
			st.reader.leave()
		}
		s := st.service
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.streams[st.user]--; s.streams[st.user] <= 0 {
			delete(s.streams, st.user)
		}
	})
}

// Token resumes a stream behind all that this one has looked at, also what was
// not for its caller.
func (st *Stream) Token() string { return makeToken(st.epoch, st.seq) }

// Recheck forgets what the stream remembers of its caller's rights: call it now
// and then, and when the caller in the context is another.
func (st *Stream) Recheck(ctx context.Context) { st.viewer = st.service.viewer(ctx) }

// Next waits for events and returns at least one, or the context's error. A
// reader that is so slow that events were forgotten meanwhile gets
// [nephos.ErrGone]. The caller's rights are those of the context.
func (st *Stream) Next(ctx context.Context) ([]Event, error) {
	for st.pages != nil {
		events, err := st.present(ctx)
		if err != nil || len(events) > 0 {
			return events, err
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows, err := st.service.feed.after(ctx, st.seq)
		if err != nil {
			return nil, err
		}
		var events []Event
		for i := range rows {
			st.seq = rows[i].Seq
			if st.wants(ctx, &rows[i]) {
				events = append(events, st.viewer.event(&rows[i], makeToken(st.epoch, st.seq)))
			}
		}
		if len(events) > 0 {
			return events, nil
		}
		if len(rows) == 0 {
			if err := st.reader.wait(ctx); err != nil {
				return nil, err
			}
		}
	}
}

func (st *Stream) wants(ctx context.Context, e *store.Event) bool {
	q := &st.query
	return (q.ResourceID == "" || q.ResourceID == e.ResourceID) && (q.ProjectID == "" || q.ProjectID == e.ProjectID) &&
		q.Types.Match(e.Service, e.Type) && st.viewer.sees(ctx, e.Service, resourceOf(e.Type), e.ProjectID, e.UserID)
}

// InSnapshot reports whether the stream's snapshot is not over: it cannot be
// resumed yet.
func (st *Stream) InSnapshot() bool { return st.pages != nil }
