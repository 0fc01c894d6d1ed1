package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// attachment names a server's disk to the host half of its pool. Both IDs are
// in it, so that the host half itself remembers whose it is.
func attachment(serverID, diskID string) string { return serverID + "." + diskID }

// attachVolumes has the host halves make the disks' connections usable here,
// and says in the disks how.
func (a *Agent) attachVolumes(ctx context.Context, id string, disks []driver.Disk) error {
	for i := range disks {
		half := a.cfg.Volumes[disks[i].Source.Type]
		if half == nil {
			continue
		}
		local, err := half.Attach(ctx, attachment(id, disks[i].ID), disks[i].Source)
		if err != nil {
			return fmt.Errorf("attaching disk %s: %w", disks[i].ID, err)
		}
		disks[i].Source = local
	}
	return nil
}

// detachVolumes lets go of what the server has attached on this host beyond the
// disks that it is to have, once the guest does not use it any more. What a
// guest has not let go of yet is ErrUnavailable: it is tried again.
func (a *Agent) detachVolumes(ctx context.Context, id string, keep []driver.Disk) error {
	var errs []error
	for _, half := range a.cfg.Volumes {
		all, err := half.Attached(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, one := range all {
			diskID, ours := strings.CutPrefix(one, id+".")
			if !ours || slices.ContainsFunc(keep, func(d driver.Disk) bool { return d.ID == diskID }) {
				continue
			}
			err := half.Detach(ctx, one)
			if errors.Is(err, nephos.ErrConflict) {
				err = nephos.Errorf(nephos.ErrUnavailable, "detaching disk %s: the guest still has it: %w", diskID, err)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
