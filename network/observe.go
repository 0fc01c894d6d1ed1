package network

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/store"
)

var _ driver.Observer = (*Service)(nil)

// hostRow is a host that was heard of.
type hostRow struct {
	bun.BaseModel `bun:"table:network_hosts,alias:host"`

	Host        string `bun:",pk"`
	AgentID     string
	ID          string
	Zone        string
	Abilities   []string
	Routes      bool
	AdminUp     bool
	Description string
	CreatedAt   time.Time
	StartedAt   time.Time
	BeatAt      time.Time
}

// asService is the caller as which hosts are heard.
func asService(ctx context.Context) context.Context {
	return nephos.WithCaller(ctx, nephos.Service("network", caller(ctx)))
}

// Reported implements [driver.Observer].
func (s *Service) Reported(ctx context.Context, r driver.Report) error {
	if _, mine := kindOf[r.Kind]; !mine {
		return nil
	}
	return s.cfg.Store.Tx(asService(ctx), func(ctx context.Context, tx *store.Tx) error {
		var row placedRow
		ok, err := one(ctx, tx.NewSelect().Model(&row).Where("placed.host = ? AND placed.kind = ? AND placed.id = ?", r.Host, r.Kind, r.ID))
		if err != nil || !ok {
			return err // not ours, or long gone: it is left alone
		}
		if r.Kind == driver.KindPort && len(r.Moments) > 0 {
			if err := s.portHappened(ctx, tx, r); err != nil {
				return err
			}
		}
		if r.Error != "" {
			return s.failed(ctx, tx, row, r)
		}
		if r.Revision > row.Seen {
			row.Seen, row.Error = r.Revision, ""
			if _, err := tx.NewUpdate().Model(&row).Column("seen", "error").WherePK().Exec(ctx); err != nil {
				return err
			}
		}
		switch {
		case r.Deleted:
			if row.Deleted && !row.pending() {
				return s.enqueue(ctx, tx, kindOf[r.Kind], r.ID) // to forget it
			}
		case row.Deleted || r.Revision < row.Revision:
		case r.Kind == driver.KindPort:
			status := StatusActive
			if r.State == "down" {
				status = StatusDown
			}
			return s.portStatus(ctx, tx, r.ID, r.Host, status, "")
		case r.Kind == driver.KindRouter:
			return s.routerUp(ctx, tx, row)
		}
		return nil
	})
}

// failed keeps why a host could not carry a revision out.
func (s *Service) failed(ctx context.Context, tx *store.Tx, row placedRow, r driver.Report) error {
	if r.Revision < row.Revision || row.Error == r.Error {
		return nil
	}
	row.Error = r.Error
	if _, err := tx.NewUpdate().Model(&row).Column("error").WherePK().Exec(ctx); err != nil {
		return err
	}
	if r.Fatal && r.Kind == driver.KindPort && !row.Deleted {
		return s.portStatus(ctx, tx, r.ID, r.Host, StatusError, r.Error)
	}
	return nil
}

// portStatus sets the status of a port that is bound to the host.
func (s *Service) portStatus(ctx context.Context, tx *store.Tx, id, hostName, status, reason string) error {
	ports, err := loadPorts(ctx, tx, id)
	if err != nil || len(ports) == 0 {
		return err
	}
	p := ports[0]
	if p.Host != hostName || p.Status == status && p.Reason == reason {
		return nil
	}
	p.Status, p.Reason = status, reason
	p.touch(tx.Now())
	if _, err := tx.NewUpdate().Model(&portRow{Port: p}).Column("status", "reason", "revision", "updated_at").WherePK().Exec(ctx); err != nil {
		return err
	}
	return emit(ctx, tx, "port.update", p.Meta, portEvent(p))
}

// portHappened passes on what happened to a port, such as its first DHCP lease.
func (s *Service) portHappened(ctx context.Context, tx *store.Tx, r driver.Report) error {
	ports, err := loadPorts(ctx, tx, r.ID)
	if err != nil || len(ports) == 0 {
		return err
	}
	for _, m := range r.Moments {
		data := portEvent(ports[0])
		data["at"] = m.At
		if err := emit(ctx, tx, "port."+m.Name, ports[0].Meta, data); err != nil {
			return err
		}
	}
	return nil
}

// Beat implements [driver.Observer].
func (s *Service) Beat(ctx context.Context, h driver.HostBeat) error {
	return s.cfg.Store.Tx(asService(ctx), func(ctx context.Context, tx *store.Tx) error {
		now := tx.Now()
		var old hostRow
		known, err := one(ctx, tx.NewSelect().Model(&old).Where("host.host = ?", h.Host))
		if err != nil {
			return err
		}
		row := old
		row.Host, row.AgentID, row.Zone, row.Abilities, row.BeatAt = h.Host, h.AgentID, h.Zone, nonNil(h.Networks), now
		row.Routes = slices.Contains(h.Networks, "RouterDriver")
		if !known {
			row.ID, row.CreatedAt, row.AdminUp = nephos.ChildID(h.Host, "network agent"), now, true
			row.StartedAt = now
			_, err = tx.NewInsert().Model(&row).Exec(ctx)
		} else {
			if old.AgentID != h.AgentID {
				row.StartedAt = now
			}
			_, err = tx.NewUpdate().Model(&row).WherePK().Exec(ctx)
		}
		if err != nil {
			return err
		}
		back := now.Sub(old.BeatAt) > s.cfg.HostTimeout
		if row.Routes && (!known || !old.Routes || back) {
			return s.placeWaitingRouters(ctx, tx)
		}
		return nil
	})
}

// republishOrder is the order in which a host can use the kinds at once.
var republishOrder = []driver.Kind{driver.KindNetwork, driver.KindSecurityGroup, driver.KindPort, driver.KindRouter}

// Republish implements [driver.Observer].
func (s *Service) Republish(ctx context.Context, hostName string, put func(driver.Object) error) error {
	for _, kind := range republishOrder {
		var rows []placedRow
		err := s.cfg.Store.Reader().NewSelect().Model(&rows).Where("placed.host = ? AND placed.kind = ?", hostName, kind).OrderExpr("placed.id").Scan(ctx)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Deleted && !r.pending() {
				continue // gone, and the host has said so
			}
			o, err := r.object()
			if err := errors.Join(err, putOne(put, o, err)); err != nil {
				return err
			}
		}
	}
	return nil
}

func putOne(put func(driver.Object) error, o driver.Object, err error) error {
	if err != nil {
		return nil
	}
	return put(o)
}
