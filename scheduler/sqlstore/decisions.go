package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// Decision is a decision that was made, as it is kept.
type Decision struct {
	// ID numbers decisions in the order in which they were made.
	ID         int64
	RequestID  string
	ConsumerID string // the server's, mostly
	At         time.Time
	scheduler.Explanation
}

// Keep keeps, in the caller's transaction, why a decision fell that was made
// elsewhere for a consumer, such as the choice of a pool for a volume by
// [scheduler.Scheduler.SelectPool]. It is kept among the others, as long as they.
func (s *Store) Keep(ctx context.Context, tx *store.Tx, consumerID string, e scheduler.Explanation) error {
	if err := (Consumer{ID: consumerID}).check(); err != nil {
		return err
	}
	if e.RequestID == "" {
		e.RequestID = consumerID
	}
	body, err := encodeExplanation(e)
	if err != nil {
		return err
	}
	return s.keepExplanations(ctx, tx, e.RequestID, explained{consumerID, body})
}

// DecisionFilter chooses among kept decisions; empty fields ask nothing.
type DecisionFilter struct {
	ConsumerID, RequestID string
	// Failed asks for those that found no host.
	Failed bool
}

func (r *explanationRow) decision() (Decision, error) {
	d := Decision{ID: r.Seq, RequestID: r.RequestID, ConsumerID: r.ConsumerUUID, At: r.At}
	if err := json.Unmarshal([]byte(r.Body), &d.Explanation); err != nil {
		return Decision{}, fmt.Errorf("reading decision %d: %w", r.Seq, err)
	}
	return d, nil
}

// Decisions returns the kept decisions, the newest first; the page's marker is
// an ID. The bool says whether more follow.
func (s *Store) Decisions(ctx context.Context, f DecisionFilter, p nephos.Page) ([]Decision, bool, error) {
	var rows []explanationRow
	q := s.cfg.Store.Reader().NewSelect().Model(&rows).Order("seq DESC")
	if p.Limit > 0 {
		q = q.Limit(int64(p.Limit) + 1)
	}
	if f.ConsumerID != "" {
		q = q.Where("consumer_uuid = ?", f.ConsumerID)
	}
	if f.RequestID != "" {
		q = q.Where("request_id = ?", f.RequestID)
	}
	if f.Failed { // all or none is placed, and chosen is there if something was
		q = q.Where(`body NOT LIKE '%"chosen":[%'`)
	}
	if p.Marker != "" {
		seq, err := strconv.ParseInt(p.Marker, 10, 64)
		if err != nil {
			return nil, false, nephos.Errorf(nephos.ErrInvalid, "listing decisions: marker %.64q is not a decision's id", p.Marker).WithField("marker")
		}
		q = q.Where("seq < ?", seq)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, false, fmt.Errorf("listing decisions: %w", err)
	}
	more := p.Limit > 0 && len(rows) > p.Limit
	if more {
		rows = rows[:p.Limit]
	}
	out := make([]Decision, len(rows))
	for i := range rows {
		d, err := rows[i].decision()
		if err != nil {
			return nil, false, err
		}
		out[i] = d
	}
	return out, more, nil
}

// Decision returns a kept decision by its ID, or the newest for a request or a
// consumer by that id. It fails with nephos.ErrNotFound if there is none or it
// was forgotten.
func (s *Store) Decision(ctx context.Context, id string) (Decision, error) {
	var rows []explanationRow
	q := s.cfg.Store.Reader().NewSelect().Model(&rows).Order("seq DESC").Limit(1)
	if seq, err := strconv.ParseInt(id, 10, 64); err == nil && len(id) < 20 {
		q = q.Where("seq = ?", seq)
	} else {
		q = q.Where("consumer_uuid = ? OR request_id = ? AND request_id <> consumer_uuid", id, id)
	}
	if err := q.Scan(ctx); err != nil {
		return Decision{}, fmt.Errorf("reading decision %.64s: %w", id, err)
	}
	if len(rows) == 0 {
		return Decision{}, nephos.NotFound("Decision", id)
	}
	return rows[0].decision()
}

// Explain thinks a decision through by what is known of the hosts now, without
// claiming or keeping anything; see [scheduler.Scheduler].
func (s *Store) Explain(ctx context.Context, req scheduler.Request, o scheduler.ExplainOptions) (scheduler.Report, error) {
	if err := s.refresh(ctx); err != nil {
		return scheduler.Report{}, err
	}
	return s.sched.Explain(s.snap, req, o)
}
