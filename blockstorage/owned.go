package blockstorage

import (
	"cmp"
	"context"
	"errors"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// This file is what compute asks of volumes. It works by owner keys, which are
// compute's to choose: an owner's second call finds what the first made.

// AttachSpec says where an attachment is wanted.
type AttachSpec struct {
	VolumeID, ServerID string
	Host               string // the host that the server runs on
	Mountpoint         string // what the API shows, such as /dev/vdb
	ReadOnly           bool
}

// maxOwnerKey bounds owner keys in bytes.
const maxOwnerKey = 255

func checkOwnerKey(key string) error {
	if key == "" || len(key) > maxOwnerKey {
		return nephos.Errorf(nephos.ErrInvalid, "an owner key must have 1 to %d bytes", maxOwnerKey)
	}
	return nil
}

// enforceOwned lets services and those who may attach the project's volumes.
func (s *Service) enforceOwned(ctx context.Context, ownerKey string) error {
	if err := s.enforce(ctx, "volume:attachment_create", own(ctx)); err != nil {
		return err
	}
	return checkOwnerKey(ownerKey)
}

// CheckAttach fails, with ErrInvalid, unless the volume exists for the caller
// and nobody has it, or it is one that several may have.
func (s *Service) CheckAttach(ctx context.Context, id string) error {
	v, err := s.Volume(ctx, id)
	if err != nil {
		return err
	}
	if err := s.enforce(ctx, "volume:attachment_create", own(ctx)); err != nil {
		return err
	}
	if v.Status != Available && !(v.MultiAttach && v.Status == InUse) {
		return nephos.Errorf(nephos.ErrInvalid, "volume '%s' status must be 'available'. Currently in '%s'", v.ID, v.Status)
	}
	return nil
}

// ReserveVolume takes hold of an available volume for the owner: nobody else
// gets it until [Service.ReleaseAttachment], unless it is one that several may
// have. Done again, it returns the same
// attachment. A volume that somebody else has is ErrInvalid.
func (s *Service) ReserveVolume(ctx context.Context, ownerKey, volumeID, serverID string) (Attachment, error) {
	if err := s.enforceOwned(ctx, ownerKey); err != nil {
		return Attachment{}, err
	}
	var a attachmentRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		a, err = s.reserveOwned(ctx, tx, ownerKey, volumeID, serverID)
		return err
	})
	if err != nil {
		return Attachment{}, err
	}
	return a.attachment()
}

func (s *Service) reserveOwned(ctx context.Context, tx *store.Tx, ownerKey, volumeID, serverID string) (attachmentRow, error) {
	a, ok, err := attachmentOf(ctx, tx, ownerKey)
	if err != nil {
		return a, err
	}
	if ok {
		if a.VolumeID != volumeID {
			return a, nephos.Errorf(nephos.ErrConflict, "owner %s has volume %s, not %s", ownerKey, a.VolumeID, clip(volumeID))
		}
		return a, nil
	}
	vol, err := s.loadVolume(ctx, tx, volumeID)
	if err != nil {
		return a, err
	}
	a = attachmentRow{OwnerKey: &ownerKey, Attachment: Attachment{ID: s.cfg.IDs.New(), ServerID: serverID, Mode: "rw"}}
	return a, s.reserve(ctx, tx, &vol, &a)
}

// EnsureVolume returns the owner's volume, which the first call makes in the
// context's project. It is creating at first; [Service.Volume] tells when it is
// available, or in error and why.
func (s *Service) EnsureVolume(ctx context.Context, ownerKey string, spec VolumeSpec) (Volume, error) {
	if err := s.enforceOwned(ctx, ownerKey); err != nil {
		return Volume{}, err
	}
	made, err := volumeOf(ctx, s.cfg.Store.Reader(), ownerKey)
	if err != nil {
		return Volume{}, err
	}
	if made != nil {
		vs, err := withAttachments(ctx, s.cfg.Store.Reader(), *made)
		if err != nil {
			return Volume{}, err
		}
		return vs[0], nil
	}
	return s.createVolume(ctx, spec, &ownerKey)
}

// ReleaseVolume has the owner's volume deleted, whatever state it is in, once
// nobody has it attached; ErrConflict until then. An owner without a volume is
// success.
func (s *Service) ReleaseVolume(ctx context.Context, ownerKey string) error {
	if err := s.enforceOwned(ctx, ownerKey); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, err := volumeOf(ctx, tx, ownerKey)
		if err != nil || row == nil || row.Status == Deleting {
			return err
		}
		by, err := attachmentsOf(ctx, tx, row.ID)
		if err != nil {
			return err
		}
		if status, _ := statusBy(by[row.ID]); status != Available {
			return nephos.Errorf(nephos.ErrConflict, "volume %s is %s", row.ID, status)
		}
		if row.moving() {
			return nephos.Errorf(nephos.ErrConflict, "volume %s is being migrated", row.ID)
		}
		switch row.Status {
		case Extending, Reverting, Uploading, Retyping, Maintenance:
			return nephos.Errorf(nephos.ErrConflict, "volume %s is %s", row.ID, row.Status)
		}
		n, err := tx.NewSelect().Model((*snapshotRow)(nil)).Where("snap.volume_id = ?", row.ID).Count(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			// Somebody made snapshots of it: it is no longer the owner's alone.
			row.OwnerKey = nil
			row.touch(tx.Now())
			return save(ctx, tx, row)
		}
		row.Status, row.Reason = Deleting, ""
		row.touch(tx.Now())
		if err := save(ctx, tx, row); err != nil {
			return err
		}
		if err := s.enqueueVolume(ctx, tx, row.ID); err != nil {
			return err
		}
		return s.emitVolume(ctx, tx, "delete", *row)
	})
}

// EnsureAttachment reserves the volume for the owner, if [Service.ReserveVolume]
// did not, and connects it to the host; the answer says how the host reaches
// it. Done again, it gives the same answer; with another host it connects it to
// that one instead. The volume is in use once [Service.CompleteAttachment] says
// so. A volume that is not ready is ErrInvalid.
func (s *Service) EnsureAttachment(ctx context.Context, ownerKey string, spec AttachSpec) (Attachment, error) {
	if err := s.enforceOwned(ctx, ownerKey); err != nil {
		return Attachment{}, err
	}
	if spec.Host == "" || len(spec.Host) > 255 || len(spec.Mountpoint) > 255 {
		return Attachment{}, nephos.Errorf(nephos.ErrInvalid, "attaching a volume: a host with at most 255 bytes is needed").WithField("host")
	}
	var a attachmentRow
	var vol volumeRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if vol, err = s.loadVolume(ctx, tx, spec.VolumeID); err != nil {
			return err
		}
		if _, ok, err := attachmentOf(ctx, tx, ownerKey); err != nil || !ok && passing(vol.Status) {
			if err == nil {
				err = nephos.Errorf(nephos.ErrConflict, "volume %s is %s", vol.ID, vol.Status)
			}
			return err
		}
		a, err = s.reserveOwned(ctx, tx, ownerKey, spec.VolumeID, spec.ServerID)
		return err
	})
	if err != nil {
		return Attachment{}, err
	}
	to := connectTo{Host: spec.Host, Mountpoint: spec.Mountpoint, Connector: map[string]any{"host": spec.Host}}
	if spec.ReadOnly {
		to.Mode = "ro"
	}
	out, err := s.connect(ctx, a.ID, to)
	out.Format = cmp.Or(vol.Format, "raw")
	return out, err
}

// passing reports whether a status ends by itself.
func passing(status string) bool {
	switch status {
	case Creating, Managing, Extending, Reverting, Uploading, Retyping, Maintenance, Detaching:
		return true
	}
	return false
}

// CompleteAttachment says that the owner's guest has the volume. Done again, it
// changes nothing.
func (s *Service) CompleteAttachment(ctx context.Context, ownerKey string) error {
	return s.changeOwned(ctx, ownerKey, func(ctx context.Context, tx *store.Tx, a *attachmentRow) error {
		if a.Status == Detaching {
			return nephos.Errorf(nephos.ErrConflict, "attachment %s is being detached", a.ID)
		}
		return s.complete(ctx, tx, a)
	})
}

// BeginDetach says that the owner's guest is giving the volume back: it shows as
// detaching. [Service.CancelDetach] takes that back, and
// [Service.ReleaseAttachment] ends it. An owner without an attachment is success.
func (s *Service) BeginDetach(ctx context.Context, ownerKey string) error {
	err := s.changeOwned(ctx, ownerKey, func(ctx context.Context, tx *store.Tx, a *attachmentRow) error {
		by, err := attachmentsOf(ctx, tx, a.VolumeID)
		if err != nil || shared(by[a.VolumeID], a) {
			return err
		}
		return s.markDetaching(ctx, tx, a.VolumeID, InUse, Detaching)
	})
	if errors.Is(err, nephos.ErrNotFound) {
		return nil
	}
	return err
}

// CancelDetach takes [Service.BeginDetach] back: the guest keeps the volume.
func (s *Service) CancelDetach(ctx context.Context, ownerKey string) error {
	return s.changeOwned(ctx, ownerKey, func(ctx context.Context, tx *store.Tx, a *attachmentRow) error {
		if a.Status != Attached {
			return nil
		}
		return s.markDetaching(ctx, tx, a.VolumeID, Detaching, InUse)
	})
}

func (s *Service) markDetaching(ctx context.Context, tx *store.Tx, volumeID, from, to string) error {
	row, err := s.loadVolume(ctx, tx, volumeID)
	if err != nil || row.Status != from {
		return err
	}
	row.Status = to
	row.touch(tx.Now())
	if err := save(ctx, tx, &row); err != nil {
		return err
	}
	return s.emitVolume(ctx, tx, "update", row)
}

func (s *Service) changeOwned(ctx context.Context, ownerKey string, f func(ctx context.Context, tx *store.Tx, a *attachmentRow) error) error {
	if err := s.enforceOwned(ctx, ownerKey); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		a, ok, err := attachmentOf(ctx, tx, ownerKey)
		if err != nil {
			return err
		}
		if !ok {
			return attachmentNotFound(ownerKey)
		}
		if err := s.enforceAttachment(ctx, "volume:attachment_update", &a); err != nil {
			return err
		}
		return f(ctx, tx, &a)
	})
}

// ReleaseAttachment disconnects the owner's volume and gives it back: it is
// available to others when the call returns without an error. After an error a
// worker goes on, and the call may be made again. An owner without an
// attachment is success.
func (s *Service) ReleaseAttachment(ctx context.Context, ownerKey string) error {
	if err := s.enforceOwned(ctx, ownerKey); err != nil {
		return err
	}
	a, ok, err := attachmentOf(ctx, s.cfg.Store.Reader(), ownerKey)
	if err != nil || !ok {
		return err
	}
	if err := s.enforceAttachment(ctx, "volume:attachment_delete", &a); err != nil {
		return err
	}
	return s.detach(ctx, a.ID)
}

// EnsureSnapshot returns the owner's snapshot of a volume, which the first call
// makes, also of a volume in use.
func (s *Service) EnsureSnapshot(ctx context.Context, ownerKey string, spec SnapshotSpec) (Snapshot, error) {
	if err := checkOwnerKey(ownerKey); err != nil {
		return Snapshot{}, err
	}
	spec.InUse = true
	return s.createSnapshot(ctx, spec, &ownerKey)
}
