package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nephos-cloud/nephos"
)

// Source lists what there is of one kind of resource.
type Source struct {
	Service, Resource string // as in events: compute, server
	// List returns, page by page, what the context's caller may see; the caller's
	// rights are the source's to check. A caller who may not list at all gets
	// [nephos.ErrForbidden], and the snapshot holds none of the kind.
	List func(ctx context.Context, p nephos.Page) ([]Object, bool, error)
}

// Object is one resource of a snapshot.
type Object struct {
	ID, ProjectID string
	At            time.Time // of its last change, where known
	Data          any       // as in the resource's events
}

// snapshotPage is how many resources are asked for at a time.
const snapshotPage = 200

type pages func(ctx context.Context) (events []Event, more bool, err error)

// present returns the next events of the snapshot, and Synced behind the last.
func (st *Stream) present(ctx context.Context) ([]Event, error) {
	events, more, err := st.pages(ctx)
	if err != nil {
		return nil, err
	}
	events = st.mine(events)
	if !more {
		st.pages = nil
		events = append(events, Event{Kind: Synced, Token: st.Token()})
	}
	return events, nil
}

func (st *Stream) mine(events []Event) []Event {
	kept := events[:0]
	for _, e := range events {
		if (st.query.ResourceID == "" || st.query.ResourceID == e.ResourceID) && (st.query.ProjectID == "" || st.query.ProjectID == e.ProjectID) {
			e.Data = st.viewer.data(e.Data)
			kept = append(kept, e)
		}
	}
	return kept
}

// snapshot walks the sources that the query's types concern.
func (s *Service) snapshot(q Query) pages {
	source, marker, again := 0, "", 0
	return func(ctx context.Context) ([]Event, bool, error) {
		for ; source < len(s.cfg.Sources); source, marker = source+1, "" {
			from := s.cfg.Sources[source]
			if !q.Types.concern(from.Service, from.Resource) {
				continue
			}
			objects, more, err := from.List(ctx, nephos.Page{Limit: snapshotPage, Marker: marker})
			if marker != "" && again < 10 && (errors.Is(err, nephos.ErrInvalid) || errors.Is(err, nephos.ErrNotFound)) {
				// What the last page ended with is gone: begin the kind again.
				marker = ""
				again++
				objects, more, err = from.List(ctx, nephos.Page{Limit: snapshotPage})
			}
			if refused(err) {
				continue
			}
			if err != nil {
				return nil, false, fmt.Errorf("listing %s.%s for a snapshot: %w", from.Service, from.Resource, err)
			}
			events := make([]Event, 0, len(objects))
			for _, o := range objects {
				data, err := json.Marshal(o.Data)
				if err != nil {
					return nil, false, fmt.Errorf("listing %s.%s for a snapshot: %w", from.Service, from.Resource, err)
				}
				events = append(events, Event{
					Kind: Present, Type: from.Service + "." + from.Resource, Service: from.Service, Resource: from.Resource,
					ResourceID: o.ID, ProjectID: o.ProjectID, At: o.At.UTC(), Data: data,
				})
			}
			if more && len(objects) > 0 {
				marker = objects[len(objects)-1].ID
			} else {
				source, marker = source+1, ""
			}
			return events, true, nil
		}
		return nil, false, nil
	}
}

func refused(err error) bool {
	return errors.Is(err, nephos.ErrForbidden) || errors.Is(err, errors.ErrUnsupported)
}
