package blockstorage

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// Restoring is the state of a snapshot that its volume is being reverted to.
const Restoring = "restoring"

// Snapshot is a point in time of a volume.
type Snapshot struct {
	ID          string `bun:",pk"`
	ProjectID   string
	UserID      string
	VolumeID    string
	Name        *string
	Description *string
	SizeGiB     int    `bun:"size_gib"` // of the volume, then
	TypeID      string // of the volume
	Status      string // creating, available, deleting, restoring, error, error_deleting
	Progress    string // 0% to 100%
	Metadata    map[string]string
	Reason      string // why it failed
	CreatedAt   time.Time
	UpdatedAt   *time.Time
}

// SnapshotSpec describes a snapshot to create.
type SnapshotSpec struct {
	VolumeID          string
	Name, Description *string
	Metadata          map[string]string
	InUse             bool // also of a volume in use
}

// SnapshotUpdate changes a snapshot; what is nil stays.
type SnapshotUpdate struct {
	Name, Description **string
}

// SnapshotFilter narrows a list of snapshots; see [VolumeFilter].
type SnapshotFilter struct {
	AllProjects bool
	Offset      int
	Match       map[string]string
	Metadata    map[string]string
}

// Snapshots is what the Block Storage API's snapshots need.
type Snapshots interface {
	// CreateSnapshot makes a record, creating; a worker makes the snapshot.
	CreateSnapshot(ctx context.Context, spec SnapshotSpec) (Snapshot, error)
	// Snapshot returns a snapshot; ErrNotFound when it does not exist for the
	// caller.
	Snapshot(ctx context.Context, id string) (Snapshot, error)
	ListSnapshots(ctx context.Context, f SnapshotFilter, p nephos.Page) ([]Snapshot, bool, error)
	CountSnapshots(ctx context.Context, f SnapshotFilter) (int, error)
	UpdateSnapshot(ctx context.Context, id string, u SnapshotUpdate) (Snapshot, error)
	// DeleteSnapshot has a snapshot deleted, with force whatever its state.
	DeleteSnapshot(ctx context.Context, id string, force bool) error
	// ResetSnapshot sets the state by hand.
	ResetSnapshot(ctx context.Context, id, status string) error
	// ReportSnapshot records how far a snapshot that is made outside has come.
	ReportSnapshot(ctx context.Context, id, status, progress string) error
}

func snapshotList() *listing {
	return &listing{
		table: "blockstorage_snapshots", alias: "snap", missing: snapshotNotFound,
		fields: map[string]field{
			"id":                {expr: "@.id"},
			"name":              {expr: "COALESCE(@.name, '')"},
			"display_name":      {expr: "COALESCE(@.name, '')"},
			"description":       {expr: "COALESCE(@.description, '')"},
			"status":            {expr: "@.status"},
			"volume_id":         {expr: "@.volume_id"},
			"size":              {expr: "@.size_gib", kind: integer},
			"volume_size":       {expr: "@.size_gib", kind: integer},
			"created_at":        {expr: "@.created_at", kind: moment},
			"updated_at":        {expr: "COALESCE(@.updated_at, @.created_at)", kind: moment},
			"project_id":        {expr: "@.project_id"},
			"user_id":           {expr: "@.user_id"},
			"availability_zone": {expr: "(SELECT v.zone FROM blockstorage_volumes AS v WHERE v.id = @.volume_id)"},
		},
	}
}

// CreateSnapshot implements [Snapshots].
func (s *Service) CreateSnapshot(ctx context.Context, spec SnapshotSpec) (Snapshot, error) {
	return s.createSnapshot(ctx, spec, nil)
}

func (s *Service) createSnapshot(ctx context.Context, spec SnapshotSpec, ownerKey *string) (Snapshot, error) {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return Snapshot{}, s.enforce(ctx, "volume:create_snapshot", nil)
	}
	if err := checkMetadata(spec.Metadata); err != nil {
		return Snapshot{}, err
	}
	c := caller(ctx)
	id := s.cfg.IDs.New()
	var out snapshotRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if ownerKey != nil {
			var made []snapshotRow
			if err := tx.NewSelect().Model(&made).Where("snap.owner_key = ?", *ownerKey).Scan(ctx); err != nil {
				return err
			}
			if len(made) == 1 {
				out = made[0]
				return nil
			}
		}
		first, fresh, err := tx.Once(ctx, "blockstorage.create_snapshot", id)
		if err != nil {
			return err
		}
		if !fresh {
			out, err = s.loadSnapshot(ctx, tx, first)
			return err
		}
		vol, err := s.loadVolume(ctx, tx, spec.VolumeID)
		if err != nil {
			return err
		}
		if err := s.enforceSeen(ctx, "volume:create_snapshot", &vol); err != nil {
			return err
		}
		valid := []string{Available}
		if spec.InUse {
			valid = append(valid, InUse)
		}
		switch {
		case vol.Status == Errored:
			return invalidVolume("The snapshot cannot be created when the volume is in error status.")
		case !slices.Contains(valid, vol.Status):
			return invalidVolume("Volume %s status must be %s, but current status is: %s.", vol.ID, strings.Join(valid, ", "), vol.Status)
		case vol.moving():
			return refuseMoving(&vol)
		}
		if !s.pools.can(vol.Pool, volume.AbilitySnapshotter) {
			return notBuilt("snapshots")
		}
		t, err := loadType(ctx, tx, vol.TypeID)
		if err != nil {
			return err
		}
		if err := s.checkCreateQuota(ctx, tx, c.ProjectID, usage{snapshots: 1, gigabytes: vol.SizeGiB}, t); err != nil {
			return err
		}
		out = snapshotRow{OwnerKey: ownerKey, Bootable: vol.Bootable, ImageMetadata: orEmpty(vol.ImageMetadata), Snapshot: Snapshot{
			ID: id, ProjectID: c.ProjectID, UserID: c.UserID, VolumeID: vol.ID, Name: spec.Name, Description: spec.Description,
			SizeGiB: vol.SizeGiB, TypeID: vol.TypeID, Status: Creating, Progress: "0%", Metadata: orEmpty(spec.Metadata), CreatedAt: tx.Now(),
		}}
		if err := insert(ctx, tx, &out); err != nil {
			return err
		}
		if err := s.enqueueSnapshot(ctx, tx, id); err != nil {
			return err
		}
		return s.emitSnapshot(ctx, tx, "create", out)
	})
	return out.Snapshot, err
}

// Snapshot implements [Snapshots].
func (s *Service) Snapshot(ctx context.Context, id string) (Snapshot, error) {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return Snapshot{}, s.enforce(ctx, "volume:get_snapshot", nil)
	}
	row, err := s.loadSnapshot(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return Snapshot{}, err
	}
	return row.Snapshot, s.enforceSnapshot(ctx, "volume:get_snapshot", &row)
}

// enforceSnapshot checks a rule against a snapshot. To one who may not even see
// it, it does not exist.
func (s *Service) enforceSnapshot(ctx context.Context, rule string, row *snapshotRow) error {
	err := s.enforce(ctx, rule, row.target())
	if errors.Is(err, nephos.ErrForbidden) && (rule == "volume:get_snapshot" || s.enforce(ctx, "volume:get_snapshot", row.target()) != nil) {
		return snapshotNotFound(row.ID)
	}
	return err
}

func (s *Service) filterSnapshots(ctx context.Context, q *bun.SelectQuery, f SnapshotFilter) (*bun.SelectQuery, error) {
	l := snapshotList()
	return l.having(l.filter(s.projectOnly(ctx, q, "snap.project_id", f.AllProjects), f.Match), "metadata", f.Metadata)
}

// ListSnapshots implements [Snapshots].
func (s *Service) ListSnapshots(ctx context.Context, f SnapshotFilter, p nephos.Page) ([]Snapshot, bool, error) {
	if err := s.enforce(ctx, "volume:get_all_snapshots", own(ctx)); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []snapshotRow
	q, err := s.filterSnapshots(ctx, db.NewSelect().Model(&rows), f)
	if err != nil {
		return nil, false, err
	}
	follow, err := find(ctx, db, snapshotList(), q, &rows, p, f.Offset)
	if err != nil {
		return nil, false, err
	}
	out := make([]Snapshot, len(rows))
	for i, r := range rows {
		out[i] = r.Snapshot
	}
	return out, follow, nil
}

// CountSnapshots implements [Snapshots].
func (s *Service) CountSnapshots(ctx context.Context, f SnapshotFilter) (int, error) {
	if err := s.enforce(ctx, "volume:get_all_snapshots", own(ctx)); err != nil {
		return 0, err
	}
	q, err := s.filterSnapshots(ctx, s.cfg.Store.Reader().NewSelect().Model((*snapshotRow)(nil)), f)
	if err != nil {
		return 0, err
	}
	n, err := q.Count(ctx)
	return int(n), err
}

// changeSnapshot is changeVolume for snapshots.
func (s *Service) changeSnapshot(ctx context.Context, id, rule string, f func(ctx context.Context, tx *store.Tx, row *snapshotRow) error) (snapshotRow, error) {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return snapshotRow{}, s.enforce(ctx, rule, nil)
	}
	var row snapshotRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if row, err = s.loadSnapshot(ctx, tx, id); err != nil {
			return err
		}
		if err := s.enforceSnapshot(ctx, rule, &row); err != nil {
			return err
		}
		if err := f(ctx, tx, &row); err != nil {
			return err
		}
		now := tx.Now()
		row.UpdatedAt = &now
		if err := save(ctx, tx, &row); err != nil {
			return err
		}
		return s.emitSnapshot(ctx, tx, "update", row)
	})
	return row, err
}

// UpdateSnapshot implements [Snapshots].
func (s *Service) UpdateSnapshot(ctx context.Context, id string, u SnapshotUpdate) (Snapshot, error) {
	row, err := s.changeSnapshot(ctx, id, "volume:update_snapshot", func(_ context.Context, _ *store.Tx, row *snapshotRow) error {
		set(&row.Name, u.Name)
		set(&row.Description, u.Description)
		return nil
	})
	return row.Snapshot, err
}

// DeleteSnapshot implements [Snapshots].
func (s *Service) DeleteSnapshot(ctx context.Context, id string, force bool) error {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return s.enforce(ctx, "volume:delete_snapshot", nil)
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, err := s.loadSnapshot(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := s.enforceSnapshot(ctx, "volume:delete_snapshot", &row); err != nil {
			return err
		}
		if force {
			if err := s.enforce(ctx, "volume_extension:snapshot_admin_actions:force_delete", row.target()); err != nil {
				return err
			}
		}
		switch row.Status {
		case Available, Errored, ErrorDeleting, Deleting:
		default:
			if !force {
				return invalidSnapshot("Snapshot status must be available or error and must not be part of a group.")
			}
		}
		return s.beginDeleteSnapshot(ctx, tx, &row)
	})
}

// ResetSnapshot implements [Snapshots].
func (s *Service) ResetSnapshot(ctx context.Context, id, status string) error {
	_, err := s.changeSnapshot(ctx, id, "volume_extension:snapshot_admin_actions:reset_status", func(_ context.Context, _ *store.Tx, row *snapshotRow) error {
		row.Status = strings.ToLower(status)
		return nil
	})
	return err
}

// ReportSnapshot implements [Snapshots].
func (s *Service) ReportSnapshot(ctx context.Context, id, status, progress string) error {
	_, err := s.changeSnapshot(ctx, id, "volume_extension:snapshot_actions:update_snapshot_status", func(_ context.Context, _ *store.Tx, row *snapshotRow) error {
		next := map[string][]string{Creating: {Creating, Available, Errored}, Deleting: {Deleting, ErrorDeleting}}[row.Status]
		if next == nil {
			return badRequest("Snapshot status %s not allowed for update_snapshot_status", row.Status)
		}
		if !slices.Contains(next, status) {
			return badRequest("Provided snapshot status %s not allowed for snapshot with status %s.", clip(status), row.Status)
		}
		row.Status = status
		if progress != "" {
			row.Progress = progress
		}
		return nil
	})
	return err
}

func (s *Service) enqueueSnapshot(ctx context.Context, tx *store.Tx, id string) error {
	return reconcile.Enqueue(ctx, tx, kindSnapshot, id, time.Time{})
}

// emitSnapshot records a change of a snapshot as snapshot.<verb>.
func (s *Service) emitSnapshot(ctx context.Context, tx *store.Tx, verb string, row snapshotRow) error {
	return s.emit(ctx, tx, "snapshot."+verb, row.ID, row.ProjectID, volumeEvent{Status: row.Status, SizeGiB: row.SizeGiB, Reason: row.Reason})
}
