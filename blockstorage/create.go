package blockstorage

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// CreateVolume implements [Volumes].
func (s *Service) CreateVolume(ctx context.Context, spec VolumeSpec) (Volume, error) {
	return s.createVolume(ctx, spec, nil)
}

// createVolume makes the record of a volume, an owner's if there is a key.
func (s *Service) createVolume(ctx context.Context, spec VolumeSpec, ownerKey *string) (Volume, error) {
	rule := "volume:create"
	if spec.ImageID != "" {
		rule = "volume:create_from_image"
	}
	if err := s.enforce(ctx, rule, own(ctx)); err != nil {
		return Volume{}, err
	}
	if err := checkMetadata(spec.Metadata); err != nil {
		return Volume{}, err
	}
	img, err := s.imageFor(ctx, spec)
	if err != nil {
		return Volume{}, err
	}
	c := caller(ctx)
	id := s.cfg.IDs.New()
	var out volumeRow
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if ownerKey != nil {
			made, err := volumeOf(ctx, tx, *ownerKey)
			if err != nil || made != nil {
				if made != nil {
					out = *made
				}
				return err
			}
		}
		first, fresh, err := tx.Once(ctx, "blockstorage.create_volume", id)
		if err != nil {
			return err
		}
		if !fresh {
			out, err = s.loadVolume(ctx, tx, first)
			return err
		}
		row := volumeRow{OwnerKey: ownerKey, Tried: []string{}, Hints: hints(spec.Hints), Volume: Volume{
			ID: id, ProjectID: c.ProjectID, UserID: c.UserID, Name: spec.Name, Description: spec.Description, SizeGiB: spec.SizeGiB,
			Status: Creating, Zone: spec.Zone, SnapshotID: spec.SnapshotID, SourceVolumeID: spec.SourceVolumeID, ImageID: spec.ImageID,
			Metadata: orEmpty(spec.Metadata), ImageMetadata: map[string]string{}, CreatedAt: tx.Now(),
		}}
		if img != nil {
			row.Bootable, row.ImageMetadata = true, imageMetadata(*img)
		}
		typeID, err := s.fromSource(ctx, tx, &row)
		if err != nil {
			return err
		}
		t, err := s.typeFor(ctx, tx, spec.Type, typeID)
		if err != nil {
			return err
		}
		row.TypeID, row.TypeName, row.MultiAttach = t.ID, t.Name, t.multiattach()
		row.Limited = t.QoSID != ""
		if err := s.enforceMultiAttach(ctx, t, own(ctx)); err != nil {
			return err
		}
		if err := refuseEncrypted(ctx, tx, t); err != nil {
			return err
		}
		if row.Zone = cmp.Or(row.Zone, s.cfg.Zone); row.Zone != s.cfg.Zone {
			return nephos.Errorf(nephos.ErrInvalid, "Availability zone '%s' is invalid.", clip(row.Zone)).WithField("availability_zone")
		}
		if err := s.checkCreateQuota(ctx, tx, c.ProjectID, usage{volumes: 1, gigabytes: row.SizeGiB}, t); err != nil {
			return err
		}
		if err := insert(ctx, tx, &row); err != nil {
			return err
		}
		out = row
		if err := s.enqueueVolume(ctx, tx, row.ID); err != nil {
			return err
		}
		return s.emitVolume(ctx, tx, "create", row)
	})
	if err != nil {
		return Volume{}, err
	}
	vs, err := withAttachments(ctx, s.cfg.Store.Reader(), out)
	if err != nil {
		return Volume{}, err
	}
	return vs[0], nil
}

// hints keeps those hints that say where to live; others say nothing here.
func hints(all map[string][]string) map[string][]string {
	out := map[string][]string{}
	for _, name := range []string{"same_host", "different_host", "query"} {
		if len(all[name]) > 0 {
			out[name] = all[name]
		}
	}
	return out
}

// volumeOf returns the volume of an owner key, nil when there is none.
func volumeOf(ctx context.Context, db bun.IDB, ownerKey string) (*volumeRow, error) {
	var rows []volumeRow
	if err := selectVolumes(db, &rows).Where("vol.owner_key = ?", ownerKey).Scan(ctx); err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// imageFor checks the image that a volume is to be made of; nil when there is
// none.
func (s *Service) imageFor(ctx context.Context, spec VolumeSpec) (*image.Image, error) {
	if spec.ImageID == "" {
		return nil, nil
	}
	if s.cfg.Images == nil || !s.pools.anyCan(volume.AbilityImageWriter) {
		return nil, notBuilt("creating a volume of an image")
	}
	img, err := s.cfg.Images.Image(ctx, spec.ImageID)
	if err != nil {
		if errors.Is(err, nephos.ErrNotFound) {
			return nil, nephos.Errorf(nephos.ErrInvalid, "Invalid image identifier or unable to access requested image.").WithField("imageRef")
		}
		return nil, err
	}
	if img.Status != image.Active {
		return nil, invalidInput("imageRef", "Image %s is not active.", img.ID)
	}
	if img.DiskFormat != volume.FormatRaw && img.DiskFormat != volume.FormatQCOW2 {
		return nil, nephos.Errorf(nephos.ErrInvalid, "Image %s is unacceptable: Image format %s is not one that volumes are made of.",
			img.ID, img.DiskFormat).WithField("imageRef")
	}
	if spec.SizeGiB == 0 {
		return &img, nil // the missing size is told of by itself
	}
	if img.Size != nil && gib(*img.Size) > spec.SizeGiB {
		return nil, invalidInput("size", "Size of specified image %dGB is larger than volume size %dGB.", gib(*img.Size), spec.SizeGiB)
	}
	if int64(spec.SizeGiB) < img.MinDisk {
		return nil, invalidInput("size", "Volume size %dGB cannot be smaller than the image minDisk size %dGB.", spec.SizeGiB, img.MinDisk)
	}
	if img.VirtualSize != nil && gib(*img.VirtualSize) > spec.SizeGiB {
		return nil, nephos.Errorf(nephos.ErrInvalid, "Image %s is unacceptable: Image virtual size is %dGB and doesn't fit in a volume of size %dGB.",
			img.ID, gib(*img.VirtualSize), spec.SizeGiB).WithField("size")
	}
	return &img, nil
}

// gib rounds bytes up to GiB.
func gib(n int64) int { return int((n + 1<<30 - 1) >> 30) }

// oneSource refuses a volume that is to be made of several things.
func (s *Service) oneSource(ctx context.Context, db bun.IDB, row *volumeRow) error {
	if row.SnapshotID != "" && row.SourceVolumeID != "" {
		if _, err := s.loadSnapshot(ctx, db, row.SnapshotID); err != nil {
			return err
		}
		if _, err := s.loadVolume(ctx, db, row.SourceVolumeID); err != nil {
			return err
		}
	}
	n := 0
	for _, id := range []string{row.SnapshotID, row.SourceVolumeID, row.ImageID} {
		if id != "" {
			n++
		}
	}
	if n > 1 {
		return invalidInput("imageRef", "May specify only one of backup, imageRef, snapshot, source volume")
	}
	return nil
}

// fromSource completes a volume from the snapshot or volume it is made of, and
// returns the type of that.
func (s *Service) fromSource(ctx context.Context, db bun.IDB, row *volumeRow) (typeID string, err error) {
	if err := s.oneSource(ctx, db, row); err != nil {
		return "", err
	}
	switch {
	case row.SourceVolumeID != "":
		src, err := s.loadVolume(ctx, db, row.SourceVolumeID)
		if err != nil {
			return "", err
		}
		if src.Status != Available && src.Status != InUse {
			return "", invalidVolume("Originating source volume status must be one of 'available, in-use' values")
		}
		if err := refuseMoving(&src); err != nil {
			return "", err
		}
		row.SizeGiB, row.Zone = cmp.Or(row.SizeGiB, src.SizeGiB), cmp.Or(row.Zone, src.Zone)
		if row.SizeGiB < src.SizeGiB {
			return "", invalidInput("size", "Volume size '%d'GB cannot be smaller than original volume size  %dGB. "+
				"They must be >= original volume size.", row.SizeGiB, src.SizeGiB)
		}
		row.Bootable, row.ImageMetadata, row.Pool = src.Bootable, orEmpty(src.ImageMetadata), s.poolName(src)
		return src.TypeID, nil
	case row.SnapshotID != "":
		src, err := s.loadSnapshot(ctx, db, row.SnapshotID)
		if err != nil {
			return "", err
		}
		if src.Status != Available {
			return "", invalidSnapshot("Originating snapshot status must be one of 'available' values")
		}
		of, err := s.loadVolume(ctx, db, src.VolumeID)
		if err != nil {
			return "", err
		}
		row.SizeGiB, row.Pool = cmp.Or(row.SizeGiB, src.SizeGiB), s.poolName(of)
		if row.SizeGiB < src.SizeGiB {
			return "", invalidInput("size", "Volume size '%d'GB cannot be smaller than the snapshot size %dGB. "+
				"They must be >= original snapshot size.", row.SizeGiB, src.SizeGiB)
		}
		row.Bootable, row.ImageMetadata = src.Bootable, orEmpty(src.ImageMetadata)
		return src.TypeID, nil
	}
	switch {
	case row.SizeGiB == 0:
		return "", nephos.Errorf(nephos.ErrInvalid, "The server could not comply with the request since it is either malformed or otherwise incorrect.").WithField("size")
	case row.SizeGiB < 0 || row.SizeGiB > volume.MaxSizeGiB:
		return "", invalidInput("size", "Volume size '%d' must be an integer between 1 and %d", row.SizeGiB, volume.MaxSizeGiB)
	}
	return "", nil
}

// imageMetadata is what a volume remembers of its image.
func imageMetadata(img image.Image) map[string]string {
	m := map[string]string{
		"image_id": img.ID, "container_format": img.ContainerFormat, "disk_format": img.DiskFormat, "checksum": img.Checksum,
		"min_disk": itoa(img.MinDisk), "min_ram": itoa(img.MinRAM),
	}
	if img.Name != nil {
		m["image_name"] = *img.Name
	}
	if img.Size != nil {
		m["size"] = itoa(*img.Size)
	}
	for k, v := range img.Properties {
		if _, taken := m[k]; !taken {
			m[k] = v
		}
	}
	return m
}

// enqueueVolume has a worker look at the volume.
func (s *Service) enqueueVolume(ctx context.Context, tx *store.Tx, id string) error {
	return reconcile.Enqueue(ctx, tx, kindVolume, id, time.Time{})
}

// volumeEvent is the data of a volume's events.
type volumeEvent struct {
	Status  string   `json:"status"`
	SizeGiB int      `json:"size"`
	Servers []string `json:"servers,omitempty"`
	Reason  string   `json:"reason,omitempty"`
}

// emitVolume records a change of a volume as volume.<verb>.
func (s *Service) emitVolume(ctx context.Context, tx *store.Tx, verb string, row volumeRow, servers ...string) error {
	return s.emit(ctx, tx, "volume."+verb, row.ID, row.ProjectID, volumeEvent{row.Status, row.SizeGiB, servers, row.Reason})
}

func notBuilt(what string) error {
	return &nephos.Error{Kind: errors.ErrUnsupported, Message: "The pool does not offer " + what + "."}
}
