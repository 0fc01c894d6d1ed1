package compute

import (
	"context"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// live carries out what is wished of a server that is on its host.
func (s *Service) live(ctx context.Context, it *reconcile.Item, row *serverRow) (reconcile.Next, error) {
	disks, err := loadDisks(ctx, s.cfg.Store.Reader(), row.ID)
	if err != nil {
		return reconcile.Next{}, err
	}
	switch connected, err := s.connectDevices(ctx, it, row, disks); {
	case err != nil && final(err):
		return s.refuseDevices(ctx, it, row, err)
	case err != nil:
		return reconcile.Next{}, err
	case connected:
		return reconcile.Again(time.Time{}), nil
	}
	if row.SeenRevision < row.Revision {
		if row.Deadline != nil && s.cfg.Clock.Now().After(*row.Deadline) {
			return s.stopWaiting(ctx, it, row)
		}
		return reconcile.Done(), s.resend(ctx, it, row, disks)
	}
	return reconcile.Done(), s.settleDevices(ctx, it, row, disks)
}

// connectDevices makes the ports and connects the volumes that are being
// attached. It reports whether the server has to be sent again for it.
func (s *Service) connectDevices(ctx context.Context, it *reconcile.Item, row *serverRow, disks []diskRow) (bool, error) {
	var changed []diskRow
	cards := false
	for i := range row.NICs {
		n := &row.NICs[i]
		if n.State != nicAttaching || n.PortID != "" {
			continue
		}
		if err := s.connectNIC(ctx, row, n); err != nil {
			return false, err
		}
		cards = true
	}
	for i := range disks {
		d := &disks[i]
		if d.State != diskAttaching || d.Connection.Type != "" {
			continue
		}
		ok, err := s.connectDisk(ctx, row, d)
		if err != nil {
			return false, err
		}
		if ok {
			changed = append(changed, *d)
		}
	}
	if !cards && len(changed) == 0 {
		return false, nil
	}
	s.cfg.Crash.Here("compute connected devices")
	return true, it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cur, err := current(ctx, tx, row)
		if err != nil {
			return err
		}
		if err := saveDisks(ctx, tx, changed); err != nil {
			return err
		}
		mergePorts(&cur, row.NICs)
		if err := s.wish(ctx, tx, &cur); err != nil {
			return err
		}
		return cur.save(ctx, tx, append([]string{"nics"}, wishColumns...)...)
	})
}

// mergePorts fills the cards in with the ports that were made for them.
func mergePorts(cur *serverRow, made []NIC) {
	for i := range cur.NICs {
		n := &cur.NICs[i]
		for _, m := range made {
			if m.Key == n.Key && n.PortID == "" && m.PortID != "" {
				state := n.State
				*n = m
				n.State, n.Plan = state, nil
			}
		}
	}
}

// refuseDevices takes back an attachment that cannot be made.
func (s *Service) refuseDevices(ctx context.Context, it *reconcile.Item, row *serverRow, cause error) (reconcile.Next, error) {
	return reconcile.Again(time.Time{}), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cur, err := current(ctx, tx, row)
		if err != nil {
			return err
		}
		return s.abandon(ctx, tx, &cur, cause.Error(), "")
	})
}

// stopWaiting ends the action under way: its host does not answer. What is
// wished stays, and is done when the host is back.
func (s *Service) stopWaiting(ctx context.Context, it *reconcile.Item, row *serverRow) (reconcile.Next, error) {
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cur, err := current(ctx, tx, row)
		if err != nil {
			return err
		}
		if cur.SeenRevision >= cur.Revision || cur.Deadline == nil || !tx.Now().After(*cur.Deadline) {
			return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
		}
		cur.TaskState, cur.CheckAt, cur.Deadline = "", nil, nil
		if err := cur.finish(ctx, tx, "The host did not answer in time.", "host "+cur.Host, nil); err != nil {
			return err
		}
		if err := cur.save(ctx, tx, "task_state", "check_at", "deadline", "action"); err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Done())
	})
}

// pendingDevices reports whether cards or disks are on their way in or out.
func (s *Service) pendingDevices(ctx context.Context, tx *store.Tx, row *serverRow) (bool, error) {
	if slices.ContainsFunc(row.NICs, func(n NIC) bool { return n.State != "" }) {
		return true, nil
	}
	n, err := tx.NewSelect().Model((*diskRow)(nil)).Where("disk.server_id = ? AND disk.state IN (?, ?)", row.ID, diskAttaching, diskDetaching).Count(ctx)
	return n > 0, err
}

// settleDevices tells the other services what the guest has, and no longer has,
// now that its host has done what it was sent.
func (s *Service) settleDevices(ctx context.Context, it *reconcile.Item, row *serverRow, disks []diskRow) error {
	if err := s.completeDisks(ctx, disks); err != nil {
		return err
	}
	var released []string
	for i := range disks {
		if disks[i].State != diskDetaching {
			continue
		}
		if err := s.releaseDisk(ctx, &disks[i], false); err != nil {
			return err
		}
		released = append(released, disks[i].ID)
	}
	for i := range row.NICs {
		if row.NICs[i].State == nicDetaching {
			if err := s.cfg.Ports.ReleasePort(ctx, nicKey(row.ID, &row.NICs[i])); err != nil {
				return err
			}
		}
	}
	s.cfg.Crash.Here("compute settled devices")
	return it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cur, err := current(ctx, tx, row)
		if err != nil {
			return err
		}
		if cur.Revision != row.Revision {
			return it.Settle(ctx, tx, reconcile.Again(time.Time{})) // something else is wished by now
		}
		if err := saveDisks(ctx, tx, disks); err != nil {
			return err
		}
		if err := deleteDisks(ctx, tx, released); err != nil {
			return err
		}
		cur.NICs = slices.DeleteFunc(cur.NICs, func(n NIC) bool { return n.State == nicDetaching })
		for i := range cur.NICs {
			if cur.NICs[i].PortID != "" {
				cur.NICs[i].State = ""
			}
		}
		if err := s.calm(ctx, tx, &cur); err != nil {
			return err
		}
		if err := cur.save(ctx, tx, "nics"); err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Done())
	})
}
