package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/volume"
)

var _ volume.Grouper = (*Driver)(nil)

// member is one snapshot of a group on its way.
type member struct {
	volume.GroupMember
	k      disk
	src    *os.File
	temp   *durable.Temp
	before version
}

// CreateGroupSnapshot implements volume.Grouper: all volumes are copied again
// until none of them was written to from the first copy's begin to the last
// one's end. Guests that never stop writing must be paused.
func (d *Driver) CreateGroupSnapshot(ctx context.Context, groupID string, members []volume.GroupMember) error {
	if err := volume.CheckID("group ID", groupID); err != nil {
		return err
	}
	if err := d.groupSnapshot(ctx, members); err != nil {
		return fmt.Errorf("creating group snapshot %s: %w", groupID, meaning(err))
	}
	return nil
}

func (d *Driver) groupSnapshot(ctx context.Context, list []volume.GroupMember) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	members := make([]*member, 0, len(list))
	defer func() {
		for _, m := range members {
			_ = m.src.Close()
			m.temp.Abort()
		}
	}()
	there := 0
	for _, g := range list {
		k, err := d.find(g.VolumeID)
		if err != nil {
			return err
		}
		if _, err := d.snapshot(g.VolumeID, g.SnapshotID); err == nil {
			there++
		} else if !errors.Is(err, nephos.ErrNotFound) {
			return err
		}
		src, err := os.Open(k.path)
		if err != nil {
			return err
		}
		t, err := d.temp()
		if err != nil {
			return errors.Join(err, src.Close())
		}
		members = append(members, &member{GroupMember: g, k: k, src: src, temp: t})
	}
	if there == len(list) {
		return nil
	}
	if err := d.copyTogether(ctx, members); err != nil {
		return err
	}
	for _, m := range members {
		if err := m.temp.Sync(); err != nil {
			return err
		}
	}
	return d.commitGroup(ctx, members)
}

func (d *Driver) copyTogether(ctx context.Context, members []*member) error {
	start := d.cfg.Clock.Now()
	for try := range stillMost {
		for _, m := range members {
			var err error
			if m.before, err = stamp(ctx, m.src); err != nil {
				return err
			}
		}
		for _, m := range members {
			if reflink(m.temp.File, m.src) == nil {
				continue
			}
			if err := copySparse(ctx, m.temp.File, m.src, try > 0); err != nil {
				return err
			}
		}
		still := true
		for _, m := range members {
			info, err := m.src.Stat()
			if err != nil {
				return err
			}
			still = still && version{info.ModTime(), info.Size()} == m.before
		}
		if still {
			return nil
		}
		if try+1 >= stillTries && d.cfg.Clock.Now().Sub(start) > stillTime {
			break
		}
	}
	return nephos.Errorf(nephos.ErrUnavailable, "the volumes are written to faster than they can be copied; pause their guests")
}

// commitGroup names the snapshots. What a process left that died half-way is of
// another moment, and is replaced.
func (d *Driver) commitGroup(ctx context.Context, members []*member) error {
	order := slices.Clone(members)
	slices.SortFunc(order, func(a, b *member) int { return strings.Compare(a.VolumeID, b.VolumeID) })
	for i, m := range order {
		if i > 0 && order[i-1].VolumeID == m.VolumeID {
			return nephos.Errorf(nephos.ErrInvalid, "volume %s is in the group twice", m.VolumeID)
		}
		unlock, err := d.locks.Lock(ctx, m.VolumeID)
		if err != nil {
			return err
		}
		defer unlock()
		if still, err := sameFile(m.src, m.k.path); err != nil || !still {
			return nephos.Errorf(nephos.ErrConflict, "volume %s was deleted or reverted meanwhile", m.VolumeID)
		}
	}
	var made []string
	undo := func(err error) error {
		for _, path := range made {
			err = errors.Join(err, durable.Remove(path))
		}
		return err
	}
	for _, m := range order {
		snaps, err := d.snapshots(m.VolumeID)
		if err != nil {
			return undo(err)
		}
		seq := 1
		for _, s := range snaps {
			if s.id != m.SnapshotID {
				seq = s.seq + 1
			} else if err := durable.Remove(s.path); err != nil {
				return undo(err)
			}
		}
		if err := durable.MkdirAll(d.dir("snapshots", m.VolumeID), 0o711); err != nil {
			return undo(err)
		}
		path := d.dir("snapshots", m.VolumeID, strconv.Itoa(seq)+"@"+m.SnapshotID+"."+m.k.format)
		if err := m.temp.Commit(path); err != nil {
			return undo(err)
		}
		made = append(made, path)
	}
	return nil
}
