package blockstorage

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// ExtendVolume implements [VolumeActions].
func (s *Service) ExtendVolume(ctx context.Context, id string, sizeGiB int, attached bool) error {
	rule, expected := "volume:extend", Available
	if attached {
		rule, expected = "volume:extend_attached_volume", InUse
	}
	_, err := s.changeVolume(ctx, id, rule, "update", func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
		if sizeGiB <= row.SizeGiB {
			return false, invalidInput("new_size", "New size for extend must be greater than current size. (current: %d, extended: %d).", row.SizeGiB, sizeGiB)
		}
		if sizeGiB > volume.MaxSizeGiB {
			return false, invalidInput("new_size", "New size for extend must not be greater than %d.", volume.MaxSizeGiB)
		}
		if row.Status != expected {
			return false, invalidVolume("Volume %s status must be '{'status': '%s'}' to extend, currently %s.", row.ID, expected, row.Status)
		}
		if err := refuseMoving(row); err != nil {
			return false, err
		}
		if !s.pools.can(row.Pool, volume.AbilityExtender) {
			return false, notBuilt("growing volumes")
		}
		if err := s.checkExtendQuota(ctx, tx, *row, sizeGiB); err != nil {
			return false, err
		}
		row.Status, row.NewSize, row.Reason = Extending, sizeGiB, ""
		return true, s.enqueueVolume(ctx, tx, row.ID)
	})
	return err
}

// RevertVolume implements [VolumeActions].
func (s *Service) RevertVolume(ctx context.Context, id, snapshotID string) error {
	_, err := s.changeVolume(ctx, id, "volume:revert_to_snapshot", "update", func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
		var snaps []snapshotRow
		if err := tx.NewSelect().Model(&snaps).Where("snap.volume_id = ?", row.ID).Order("snap.created_at DESC", "snap.id DESC").Limit(1).Scan(ctx); err != nil {
			return false, err
		}
		if len(snaps) == 0 {
			return false, badRequest("Volume %s doesn't have any snapshots.", row.ID)
		}
		snap := &snaps[0]
		switch {
		case snap.ID != snapshotID:
			return false, badRequest("Specified snapshot %s is None or not the latest one of volume %s.", clip(snapshotID), row.ID)
		case row.SizeGiB != snap.SizeGiB:
			return false, badRequest("Can't revert volume %s to its latest snapshot %s. The volume size must be equal to the snapshot size.", row.ID, snap.ID)
		case row.Status != Available:
			return false, nephos.Errorf(nephos.ErrConflict, "Invalid volume: Can't revert volume %s to its latest snapshot %s. Volume's status must be 'available'.", row.ID, snap.ID)
		case snap.Status != Available:
			return false, nephos.Errorf(nephos.ErrConflict, "Invalid snapshot: Can't revert volume %s to its latest snapshot %s. Snapshot's status must be 'available'.", row.ID, snap.ID)
		case row.moving():
			return false, refuseMoving(row)
		case !s.pools.can(row.Pool, volume.AbilityReverter):
			return false, notBuilt("reverting volumes")
		}
		now := tx.Now()
		snap.Status, snap.UpdatedAt = Restoring, &now
		if err := save(ctx, tx, snap); err != nil {
			return false, err
		}
		row.Status, row.TargetID, row.Reason = Reverting, snap.ID, ""
		return true, s.enqueueVolume(ctx, tx, row.ID)
	})
	return err
}

// ResetVolume implements [VolumeActions].
func (s *Service) ResetVolume(ctx context.Context, id string, r VolumeReset) error {
	_, err := s.changeVolume(ctx, id, "volume_extension:volume_admin_actions:reset_status", "update",
		func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
			status := strings.ToLower(r.Status)
			if slices.Contains([]string{Deleting, ErrorDeleting, Detaching}, status) {
				return false, badRequest("Cannot reset-state to %s", status)
			}
			by, err := attachmentsOf(ctx, tx, row.ID)
			if err != nil {
				return false, err
			}
			if status == InUse && len(by[row.ID]) == 0 {
				return false, badRequest("Cannot reset-state to in-use because volume does not have any attachments.")
			}
			if status != "" {
				row.Status, row.NewSize, row.TargetID, row.ToType, row.MayMove = status, 0, "", "", false
				if row.moving() {
					row.MigrationStatus = moveError // what was copied goes
				}
			}
			if m := strings.ToLower(r.MigrationStatus); m != "" {
				if row.MigrationStatus = m; m == "none" {
					row.MigrationStatus = ""
				}
			}
			if row.Stray != "" {
				if err := s.enqueueVolume(ctx, tx, row.ID); err != nil {
					return false, err
				}
			}
			if strings.ToLower(r.AttachStatus) == "detached" {
				for i := range by[row.ID] {
					if err := s.beginDetach(ctx, tx, &by[row.ID][i]); err != nil {
						return false, err
					}
				}
			}
			return true, nil
		})
	return err
}

// UploadSpec describes an image to make of a volume.
type UploadSpec struct {
	Name            string
	DiskFormat      string // raw, or empty for it
	ContainerFormat string // empty: bare
	Visibility      string // empty: private
	Protected       bool
}

// Upload is an image that is being made of a volume.
type Upload struct {
	Volume Volume
	Image  image.Image
}

// UploadVolume implements [VolumeActions]. The bytes are the volume's, raw.
func (s *Service) UploadVolume(ctx context.Context, id string, spec UploadSpec) (Upload, error) {
	const rule = "volume_extension:volume_actions:upload_image"
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return Upload{}, s.enforce(ctx, rule, nil)
	}
	row, err := s.loadVolume(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return Upload{}, err
	}
	if err := s.enforceSeen(ctx, rule, &row); err != nil {
		return Upload{}, err
	}
	if spec.Visibility == image.Public {
		if err := s.enforce(ctx, "volume_extension:volume_actions:upload_public", policy.Target{"project_id": row.ProjectID}); err != nil {
			return Upload{}, err
		}
	}
	spec.DiskFormat = cmp.Or(spec.DiskFormat, volume.FormatRaw)
	spec.ContainerFormat = cmp.Or(spec.ContainerFormat, "bare")
	spec.Visibility = cmp.Or(spec.Visibility, image.Private)
	switch {
	case s.cfg.Sink == nil || !s.pools.can(row.Pool, volume.AbilityImageReader):
		return Upload{}, notBuilt("making images of volumes")
	case spec.DiskFormat != volume.FormatRaw || spec.ContainerFormat != "bare":
		return Upload{}, notBuilt("making images of another format than raw and bare")
	}
	// The volume is taken first, so that two requests make no two images.
	if row, err = s.changeVolume(ctx, id, rule, "update", func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
		if row.Status != Available {
			return false, invalidVolume("Volume %s status must be available", row.ID)
		}
		if err := refuseMoving(row); err != nil {
			return false, err
		}
		row.Status, row.TargetID, row.Reason = Uploading, "", ""
		return true, reconcile.Enqueue(ctx, tx, kindVolume, row.ID, tx.Now().Add(uploadGrace))
	}); err != nil {
		return Upload{}, err
	}
	img, err := s.cfg.Sink.CreateImage(ctx, image.Spec{
		Name: &spec.Name, DiskFormat: spec.DiskFormat, ContainerFormat: spec.ContainerFormat, Visibility: spec.Visibility,
		Protected: spec.Protected, MinDisk: int64(row.SizeGiB), Properties: uploadProperties(row.ImageMetadata),
	})
	if err != nil {
		return Upload{}, errors.Join(err, s.cfg.Store.Tx(context.WithoutCancel(ctx), func(ctx context.Context, tx *store.Tx) error {
			return s.settle(ctx, tx, row.ID, Uploading)
		}))
	}
	if row, err = s.changeVolume(ctx, id, rule, "update", func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
		if row.Status != Uploading {
			return false, errBusy
		}
		row.TargetID = img.ID
		return true, s.enqueueVolume(ctx, tx, row.ID)
	}); err != nil {
		return Upload{}, err
	}
	return Upload{row.Volume, img}, nil
}

// uploadProperties is what an image of the volume inherits of the image that
// the volume was made of.
func uploadProperties(m map[string]string) map[string]string {
	core := []string{"checksum", "container_format", "disk_format", "image_name", "image_id", "min_disk", "min_ram", "name", "size"}
	out := map[string]string{}
	for k, v := range m {
		if !slices.Contains(core, k) && !strings.HasPrefix(k, "os_glance") {
			out[k] = v
		}
	}
	return out
}

// uploadGrace is how long the making of an image's record may take.
const uploadGrace = 2 * time.Minute
