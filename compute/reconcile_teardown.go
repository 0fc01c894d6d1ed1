package compute

import (
	"context"
	"errors"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

func ignoreGone(err error) error {
	if errors.Is(err, nephos.ErrNotFound) {
		return nil
	}
	return err
}

// teardown takes a server off its host and gives back what it had there: all of
// it, or, to try another host, only what belongs to the host. It waits for the
// host to confirm, unless that is down or takes too long: the tombstone then
// stays until the host has seen it.
func (s *Service) teardown(ctx context.Context, it *reconcile.Item, row *serverRow) (next reconcile.Next, waits bool, err error) {
	waits, err = s.awaitBurial(ctx, it, row)
	if err != nil || waits {
		return reconcile.Done(), waits, err
	}
	disks, err := loadDisks(ctx, s.cfg.Store.Reader(), row.ID)
	if err != nil {
		return next, false, err
	}
	all := row.Phase != phaseUnplace
	for i := range disks {
		d := &disks[i]
		// A failed boot takes back the volumes that it made; a delete those that
		// are to go with the server.
		andVolume := all && (d.DeleteOnTermination && row.Phase == phaseDeleting || d.State == diskBooting && d.Source != "volume")
		if err := s.releaseDisk(ctx, d, andVolume); err != nil {
			return next, false, err
		}
		d.AttachmentID, d.Connection = "", connectionCopy{}
		if andVolume {
			d.VolumeID = ""
		}
	}
	s.cfg.Crash.Here("compute released volumes")
	if all {
		for i := range row.NICs {
			if err := s.cfg.Ports.ReleasePort(ctx, nicKey(row.ID, &row.NICs[i])); err != nil {
				return next, false, err
			}
		}
		s.cfg.Crash.Here("compute released ports")
	}
	return reconcile.Done(), false, it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cur, err := current(ctx, tx, row)
		if err != nil {
			return err
		}
		if err := s.cfg.Claims.Release(ctx, tx, row.ID); err != nil {
			return err
		}
		switch row.Phase {
		case phaseUnplace:
			err = s.tryNext(ctx, tx, &cur, disks)
			*row = cur // for the step to go on with
			return err
		case phaseRelease:
			err = s.failed(ctx, tx, &cur, disks)
		default:
			err = s.gone(ctx, tx, &cur)
		}
		if err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Done())
	})
}

// awaitBurial sends the tombstone and reports whether the host is still to
// confirm it.
func (s *Service) awaitBurial(ctx context.Context, it *reconcile.Item, row *serverRow) (bool, error) {
	if row.Host == "" {
		return false, nil
	}
	var stones []tombstoneRow
	err := s.cfg.Store.Reader().NewSelect().Model(&stones).
		Where("tombstone.host = ? AND tombstone.server_id = ?", row.Host, row.ID).Scan(ctx)
	if err != nil || len(stones) == 0 {
		return false, err
	}
	err = s.cfg.Fleet.Put(ctx, row.Host, driver.Object{Kind: driver.KindServer, ID: row.ID, Revision: stones[0].Revision, Deleted: true})
	if err != nil {
		return false, err
	}
	s.cfg.Crash.Here("compute sent tombstone")
	hosts, err := loadHosts(ctx, s.cfg.Store.Reader(), row.Host)
	if err != nil {
		return false, err
	}
	down := len(hosts) == 0 || !hosts[0].Up
	if down || row.Deadline != nil && s.cfg.Clock.Now().After(*row.Deadline) {
		return false, nil
	}
	return true, it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cur, err := current(ctx, tx, row)
		if err != nil {
			return err
		}
		check := tx.Now().Add(s.cfg.Resend)
		cur.CheckAt = &check
		if err := cur.save(ctx, tx, "check_at"); err != nil {
			return err
		}
		n, err := tx.NewSelect().Model((*tombstoneRow)(nil)).Where("tombstone.host = ? AND tombstone.server_id = ?", row.Host, row.ID).Count(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			return it.Settle(ctx, tx, reconcile.Again(time.Time{})) // the host was faster than we
		}
		return it.Settle(ctx, tx, reconcile.Done())
	})
}

// tryNext makes the server ready to be scheduled to another host.
func (s *Service) tryNext(ctx context.Context, tx *store.Tx, row *serverRow, disks []diskRow) error {
	if err := saveDisks(ctx, tx, disks); err != nil {
		return err
	}
	s.buildEnded(tx, row, false)
	row.Tried = append(row.Tried, row.Host)
	row.Host, row.Node, row.Zone = "", "", row.PinnedZone
	row.Phase, row.TaskState, row.CheckAt, row.Failures = phaseSchedule, TaskScheduling, nil, 0
	row.Revision++
	return row.save(ctx, tx, "tried", "host", "node", "zone", "phase", "task_state", "check_at", "failures", "revision")
}

// failed leaves the server in error, with nothing held.
func (s *Service) failed(ctx context.Context, tx *store.Tx, row *serverRow, disks []diskRow) error {
	if err := saveDisks(ctx, tx, disks); err != nil {
		return err
	}
	s.buildEnded(tx, row, false)
	row.Host, row.Node, row.Zone = "", "", row.PinnedZone
	row.Phase, row.CheckAt, row.Deadline, row.PowerState = phaseFailed, nil, nil, PowerNone
	for i := range row.NICs {
		row.NICs[i].PortID, row.NICs[i].Addresses = "", []Address{}
	}
	return row.save(ctx, tx, "host", "node", "zone", "phase", "check_at", "deadline", "power_state", "nics")
}

// gone marks the server as deleted. Its record is kept for lists that ask for
// deleted servers, as long as the configuration says.
func (s *Service) gone(ctx context.Context, tx *store.Tx, row *serverRow) error {
	now := tx.Now()
	row.Deleted, row.DeletedAt, row.VMState, row.TaskState, row.PowerState = true, &now, Deleted, "", PowerNone
	row.CheckAt, row.Deadline = nil, nil
	for _, q := range []string{
		"DELETE FROM compute_disks WHERE server_id = ?",
		"DELETE FROM compute_consoles WHERE server_id = ?",
	} {
		if _, err := tx.NewRaw(q, row.ID).Exec(ctx); err != nil {
			return err
		}
	}
	if err := row.finish(ctx, tx, "", "", nil); err != nil {
		return err
	}
	if err := row.emit(ctx, tx, "delete"); err != nil {
		return err
	}
	tx.Wake(consoleTopic)
	return row.save(ctx, tx, "deleted", "deleted_at", "vm_state", "task_state", "power_state", "check_at", "deadline", "action")
}
