package network

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/driver"
	host "github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// The kinds of work: to see to it that the hosts know an object as it is.
const (
	kindPort    = "network.port"
	kindGroup   = "network.group"
	kindRouter  = "network.router"
	kindNetwork = "network.network"
)

var kindOf = map[driver.Kind]string{
	driver.KindPort: kindPort, driver.KindSecurityGroup: kindGroup, driver.KindRouter: kindRouter, driver.KindNetwork: kindNetwork,
}

// epoch is that of all objects: their revisions come from the database, which
// fences stalled controllers.
const epoch = 1

// placedRow is what a host should know of an object. A row that says deleted is
// a tombstone; its spec is the last that was wanted.
type placedRow struct {
	bun.BaseModel `bun:"table:network_placed,alias:placed"`

	Host     string      `bun:",pk"`
	Kind     driver.Kind `bun:",pk"`
	ID       string      `bun:",pk"`
	Revision int64
	Seen     int64
	Deleted  bool
	Spec     string
	Error    string
	Since    time.Time // when the revision was made
}

func (r placedRow) pending() bool { return r.Seen < r.Revision }

// object is the row as it is sent.
func (r placedRow) object() (driver.Object, error) {
	o := driver.Object{Kind: r.Kind, ID: r.ID, Epoch: epoch, Revision: r.Revision, Deleted: r.Deleted}
	if r.Deleted {
		return o, nil
	}
	spec, err := stamp(json.RawMessage(r.Spec), r.Revision)
	o.Spec = spec
	return o, err
}

// Kinds returns the work that the service does, to be added to a queue.
func (s *Service) Kinds() []reconcile.Kind {
	kinds := make([]reconcile.Kind, 0, len(kindOf))
	for _, kind := range []driver.Kind{driver.KindNetwork, driver.KindSecurityGroup, driver.KindPort, driver.KindRouter} {
		kinds = append(kinds, reconcile.Kind{
			Name:   kindOf[kind],
			Handle: func(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) { return s.sync(ctx, it, kind) },
		})
	}
	return kinds
}

func (s *Service) enqueue(ctx context.Context, tx *store.Tx, work string, ids ...string) error {
	if s.cfg.Fleet == nil {
		return nil
	}
	return reconcile.EnqueueAll(ctx, tx, work, ids, time.Time{})
}

// sync computes what every host should know of an object, writes it down, and
// sends what has not been reported, until it has.
func (s *Service) sync(ctx context.Context, it *reconcile.Item, kind driver.Kind) (reconcile.Next, error) {
	if s.cfg.Fleet == nil {
		return reconcile.Done(), nil
	}
	var send []placedRow
	next := reconcile.Done()
	err := it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		send = send[:0]
		next = reconcile.Done()
		if kind == driver.KindRouter {
			placed, err := s.placeRouter(ctx, tx, it.ID)
			if err != nil {
				return err
			}
			send = append(send, placed...)
		}
		placed, wait, err := s.place(ctx, tx, kind, it.ID)
		if err != nil {
			return err
		}
		send = append(send, placed...)
		if wait > 0 {
			next = reconcile.Again(tx.Now().Add(wait))
		}
		return it.Settle(ctx, tx, next)
	})
	if err != nil {
		return next, fmt.Errorf("placing %s %s: %w", kind, it.ID, err)
	}
	s.send(ctx, send)
	return next, nil
}

// place writes down what every host should know of an object. It returns what
// is to be sent, and how long the hosts have to report it, zero for nothing.
func (s *Service) place(ctx context.Context, tx *store.Tx, kind driver.Kind, id string) (send []placedRow, wait time.Duration, err error) {
	rows, err := s.converge(ctx, tx, kind, id)
	if err != nil {
		return nil, 0, err
	}
	if kind == driver.KindPort {
		if send, err = s.ground(ctx, tx, rows); err != nil {
			return nil, 0, err
		}
	}
	for _, r := range rows {
		if !r.pending() {
			continue
		}
		send = append(send, r)
		w, err := s.overdue(ctx, tx, r)
		if err != nil {
			return nil, 0, err
		}
		if wait == 0 || w < wait {
			wait = w
		}
	}
	return send, wait, nil
}

// placePort does for a new port at once what would otherwise be the work's
// first step, and returns what is to be sent when that is durable. The work is
// due when the host should have reported.
func (s *Service) placePort(ctx context.Context, tx *store.Tx, p Port) ([]placedRow, error) {
	if s.cfg.Fleet == nil || !told(p) {
		return nil, s.portChanged(ctx, tx, p, p.SecurityGroups)
	}
	if err := s.membersChanged(ctx, tx, p, p.SecurityGroups); err != nil {
		return nil, err
	}
	send, wait, err := s.place(ctx, tx, driver.KindPort, p.ID)
	if err != nil {
		return nil, err
	}
	return send, reconcile.Enqueue(ctx, tx, kindPort, p.ID, tx.Now().Add(wait))
}

// send puts objects on their way. What is lost is sent again when its time
// comes, so that failures are only told to the log.
func (s *Service) send(ctx context.Context, rows []placedRow) {
	for _, r := range rows {
		o, err := r.object()
		if err == nil {
			err = s.cfg.Fleet.Put(ctx, r.Host, o)
		}
		if err != nil {
			s.cfg.Log.WarnContext(ctx, "sending to a host", "host", r.Host, "kind", r.Kind, "id", r.ID, "error", err)
		}
	}
}

// overdue returns when an unreported revision is to be sent again. A port that
// should long be up gets the status ERROR.
func (s *Service) overdue(ctx context.Context, tx *store.Tx, r placedRow) (time.Duration, error) {
	age := tx.Now().Sub(r.Since)
	wait := min(max(s.cfg.Resend, age/4), time.Minute)
	if r.Kind != driver.KindPort || r.Deleted || age < s.cfg.BindDeadline {
		return wait, nil
	}
	reason := fmt.Sprintf("host %s did not bring the port up within %s", r.Host, s.cfg.BindDeadline)
	if r.Error != "" {
		reason += ": " + r.Error
	}
	return wait, s.portStatus(ctx, tx, r.ID, r.Host, StatusError, reason)
}

// converge makes the rows of an object say what is wanted now, and returns them.
func (s *Service) converge(ctx context.Context, tx *store.Tx, kind driver.Kind, id string) ([]placedRow, error) {
	want, err := s.want(ctx, tx, kind, id)
	if err != nil {
		return nil, err
	}
	var rows []placedRow
	if err := tx.NewSelect().Model(&rows).Where("placed.kind = ? AND placed.id = ?", kind, id).OrderExpr("placed.host").Scan(ctx); err != nil {
		return nil, err
	}
	now := tx.Now()
	have := map[string]bool{}
	kept := rows[:0]
	for _, r := range rows {
		have[r.Host] = true
		spec, on := want.on[r.Host]
		switch {
		case !on && r.Deleted && !r.pending() && !want.exists:
			if _, err := tx.NewDelete().Model(&r).WherePK().Exec(ctx); err != nil {
				return nil, err
			}
			continue
		case !on && !r.Deleted:
			r.Deleted = true
		case on && (r.Deleted || !bytes.Equal(spec, []byte(r.Spec))):
			r.Deleted, r.Spec = false, string(spec)
		default:
			kept = append(kept, r)
			continue
		}
		r.Revision, r.Since, r.Error = max(r.Revision+1, now.UnixMicro()), now, ""
		if _, err := tx.NewUpdate().Model(&r).WherePK().Exec(ctx); err != nil {
			return nil, err
		}
		if r.Deleted && kind == driver.KindPort {
			if err := s.unground(ctx, tx, r); err != nil {
				return nil, err
			}
		}
		kept = append(kept, r)
	}
	for h, spec := range want.on {
		if have[h] {
			continue
		}
		r := placedRow{Host: h, Kind: kind, ID: id, Revision: now.UnixMicro(), Spec: string(spec), Since: now}
		if _, err := tx.NewInsert().Model(&r).Exec(ctx); err != nil {
			return nil, err
		}
		kept = append(kept, r)
	}
	slices.SortFunc(kept, func(a, b placedRow) int { return compareText(a.Host, b.Host) })
	return kept, nil
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// ground sees to it that a port's network and groups are on its host, and
// returns what must be sent there before it.
func (s *Service) ground(ctx context.Context, tx *store.Tx, rows []placedRow) ([]placedRow, error) {
	var out []placedRow
	for _, r := range rows {
		if r.Deleted || !r.pending() {
			continue
		}
		var p host.Port
		if err := json.Unmarshal([]byte(r.Spec), &p); err != nil {
			return nil, err
		}
		need := append([]string{p.NetworkID}, p.SecurityGroups...)
		remote, err := remoteGroups(ctx, tx, p.SecurityGroups)
		if err != nil {
			return nil, err
		}
		need = append(need, remote...)
		var there []string
		err = tx.NewSelect().Table("network_placed").Column("id").Where("host = ? AND kind IN (?) AND deleted = FALSE AND id IN (?)",
			r.Host, bun.List([]driver.Kind{driver.KindNetwork, driver.KindSecurityGroup}), bun.List(need)).Scan(ctx, &there)
		if err != nil {
			return nil, err
		}
		for i, id := range need {
			if slices.Contains(there, id) {
				continue
			}
			there = append(there, id)
			kind := driver.KindSecurityGroup
			if i == 0 {
				kind = driver.KindNetwork
			}
			placed, err := s.converge(ctx, tx, kind, id)
			if err != nil {
				return nil, err
			}
			for _, r := range placed {
				if r.pending() {
					out = append(out, r)
				}
			}
			if err := reconcile.Enqueue(ctx, tx, kindOf[kind], id, tx.Now().Add(s.cfg.Resend)); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func remoteGroups(ctx context.Context, tx *store.Tx, groups []string) ([]string, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	var remote []string
	err := tx.NewSelect().Table("network_security_rules").ColumnExpr("DISTINCT remote_group").
		Where("group_id IN (?) AND remote_group <> ''", bun.List(groups)).OrderExpr("remote_group").Scan(ctx, &remote)
	return remote, err
}

// unground looks, once a port leaves a host, whether its network and groups are
// still needed there.
func (s *Service) unground(ctx context.Context, tx *store.Tx, r placedRow) error {
	var p host.Port
	if err := json.Unmarshal([]byte(r.Spec), &p); err != nil {
		return err
	}
	remote, err := remoteGroups(ctx, tx, p.SecurityGroups)
	if err != nil {
		return err
	}
	return errors.Join(s.enqueue(ctx, tx, kindNetwork, p.NetworkID), s.enqueue(ctx, tx, kindGroup, append(remote, p.SecurityGroups...)...))
}

// portChanged has the hosts told of a port, and of the groups that it is or was
// in. It costs little for a port that no host knows.
func (s *Service) portChanged(ctx context.Context, tx *store.Tx, p Port, groups []string) error {
	if s.cfg.Fleet == nil {
		return nil
	}
	if told(p) {
		if err := s.enqueue(ctx, tx, kindPort, p.ID); err != nil {
			return err
		}
	} else if p.Host != "" {
		// A router's foot: its network may have come to the host, or may go.
		if err := s.republishNetwork(ctx, tx, p.NetworkID); err != nil {
			return err
		}
	}
	return s.membersChanged(ctx, tx, p, groups)
}

// told reports whether a port is one that its host is told of.
func told(p Port) bool {
	return p.Host != "" && p.DeviceOwner != OwnerRouterInterface && p.DeviceOwner != OwnerRouterGateway
}

// membersChanged has the hosts that know of a port or its groups told, but for
// a port that they are told of anyway.
func (s *Service) membersChanged(ctx context.Context, tx *store.Tx, p Port, groups []string) error {
	ids := append([]string{p.ID}, groups...)
	var placed []struct {
		Kind driver.Kind
		ID   string
	}
	err := tx.NewSelect().Table("network_placed").ColumnExpr("DISTINCT kind, id").Where("kind IN (?) AND id IN (?)",
		bun.List([]driver.Kind{driver.KindPort, driver.KindSecurityGroup}), bun.List(ids)).Scan(ctx, &placed)
	if err != nil {
		return err
	}
	for _, o := range placed {
		if o.Kind == driver.KindPort && told(p) {
			continue
		}
		due := time.Time{}
		if o.Kind == driver.KindSecurityGroup {
			// Only its members have changed: others may follow.
			due = tx.Now().Add(s.cfg.Coalesce)
		}
		if err := reconcile.Enqueue(ctx, tx, kindOf[o.Kind], o.ID, due); err != nil {
			return err
		}
	}
	return nil
}
