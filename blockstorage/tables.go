package blockstorage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/identity/policy"
)

// volumeRow is a volume and what is being done to it.
type volumeRow struct {
	bun.BaseModel `bun:"table:blockstorage_volumes,alias:vol"`
	Volume
	OwnerKey  *string
	Tried     []string            // pools that had no room after all
	Hints     map[string][]string // for the choice of a pool
	NewSize   int                 // GiB; 0 unless it is extending
	TargetID  string              // the snapshot it is reverting to, the image it is uploading to
	ToType    string              // the type that it is to have, while it is retyping
	MayMove   bool                // to another pool for that
	Reference string              // in the pool, of what it is made to manage
	Limited   bool                // its pool was ever told of limits
	Stray     string              // the pool that has, or is to have, a copy that is not the volume
	BusyBy    string              // the worker that has a long call of the pool under way
	BusyUntil *time.Time
}

func (r *volumeRow) target() policy.Target {
	return policy.Target{"project_id": r.ProjectID, "user_id": r.UserID}
}

// touch sets the time of the last change, to the database's clock.
func (r *volumeRow) touch(now time.Time) { r.UpdatedAt = &now }

type snapshotRow struct {
	bun.BaseModel `bun:"table:blockstorage_snapshots,alias:snap"`
	Snapshot
	Bootable      bool // what a volume made of it inherits
	ImageMetadata map[string]string
	OwnerKey      *string
	BusyBy        string
	BusyUntil     *time.Time
}

func (r *snapshotRow) target() policy.Target {
	return policy.Target{"project_id": r.ProjectID, "user_id": r.UserID}
}

// attachmentRow is an attachment and what its record must know beyond it.
type attachmentRow struct {
	bun.BaseModel `bun:"table:blockstorage_attachments,alias:att"`
	Attachment
	ConnectionText string `bun:"connection"` // JSON, with secrets; empty: not connected
	// Connecting says that the pool was asked to connect and that nobody knows
	// what came of it.
	Connecting bool
	OwnerKey   *string
	DetachedAt *time.Time // a tombstone, swept once the pool can no longer connect it
}

func (r *attachmentRow) target() policy.Target { return policy.Target{"project_id": r.ProjectID} }

// attachment returns the domain's view.
func (r *attachmentRow) attachment() (Attachment, error) {
	a := r.Attachment
	if r.ConnectionText != "" {
		a.Connection = &driver.Connection{}
		if err := json.Unmarshal([]byte(r.ConnectionText), a.Connection); err != nil {
			return a, fmt.Errorf("reading the connection of attachment %s: %w", r.ID, err)
		}
	}
	return a, nil
}

type typeRow struct {
	bun.BaseModel `bun:"table:blockstorage_types,alias:typ"`
	Type
}

type typeAccessRow struct {
	bun.BaseModel `bun:"table:blockstorage_type_access,alias:access"`
	TypeID        string `bun:",pk"`
	ProjectID     string `bun:",pk"`
}

type defaultTypeRow struct {
	bun.BaseModel `bun:"table:blockstorage_default_types,alias:def"`
	DefaultType
}

type quotaRow struct {
	bun.BaseModel `bun:"table:blockstorage_quotas,alias:quo"`
	ProjectID     string `bun:",pk"`
	Resource      string `bun:",pk"`
	Quota         int
}

// selectVolumes is the query of volumes with the names of their types.
func selectVolumes(db bun.IDB, rows any) *bun.SelectQuery {
	return db.NewSelect().Model(rows).ColumnExpr("vol.*").
		ColumnExpr("COALESCE((SELECT typ.name FROM blockstorage_types AS typ WHERE typ.id = vol.type_id), '') AS type_name")
}

// scope narrows a query to the caller's project, unless all exist for it.
func (s *Service) scope(ctx context.Context, q *bun.SelectQuery, column string) *bun.SelectQuery {
	if s.seesAll(ctx) {
		return q
	}
	return q.Where("? = ?", bun.Safe(column), caller(ctx).ProjectID)
}

// loadVolume loads a volume that exists for the caller, without attachments.
func (s *Service) loadVolume(ctx context.Context, db bun.IDB, id string) (volumeRow, error) {
	var rows []volumeRow
	if err := s.scope(ctx, selectVolumes(db, &rows).Where("vol.id = ?", id), "vol.project_id").Scan(ctx); err != nil {
		return volumeRow{}, err
	}
	if len(rows) == 0 {
		return volumeRow{}, volumeNotFound(id)
	}
	return rows[0], nil
}

func (s *Service) loadSnapshot(ctx context.Context, db bun.IDB, id string) (snapshotRow, error) {
	var rows []snapshotRow
	if err := s.scope(ctx, db.NewSelect().Model(&rows).Where("snap.id = ?", id), "snap.project_id").Scan(ctx); err != nil {
		return snapshotRow{}, err
	}
	if len(rows) == 0 {
		return snapshotRow{}, snapshotNotFound(id)
	}
	return rows[0], nil
}

// loadAttachment loads an attachment that exists for the caller.
func (s *Service) loadAttachment(ctx context.Context, db bun.IDB, id string) (attachmentRow, error) {
	var rows []attachmentRow
	q := db.NewSelect().Model(&rows).Where("att.id = ? AND att.detached_at IS NULL", id)
	if err := s.scope(ctx, q, "att.project_id").Scan(ctx); err != nil {
		return attachmentRow{}, err
	}
	if len(rows) == 0 {
		return attachmentRow{}, attachmentNotFound(id)
	}
	return rows[0], nil
}

// attachmentOf loads the attachment of an owner key; false when there is none.
func attachmentOf(ctx context.Context, db bun.IDB, ownerKey string) (attachmentRow, bool, error) {
	var rows []attachmentRow
	err := db.NewSelect().Model(&rows).Where("att.owner_key = ?", ownerKey).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return attachmentRow{}, false, err
	}
	return rows[0], true, nil
}

// attachmentsOf loads the attachments of volumes, tombstones left out.
func attachmentsOf(ctx context.Context, db bun.IDB, volumeIDs ...string) (map[string][]attachmentRow, error) {
	if len(volumeIDs) == 0 {
		return nil, nil
	}
	var rows []attachmentRow
	err := db.NewSelect().Model(&rows).Where("att.volume_id IN (?) AND att.detached_at IS NULL", bun.List(volumeIDs)).
		Order("att.created_at", "att.id").Scan(ctx)
	by := make(map[string][]attachmentRow, len(rows))
	for _, r := range rows {
		by[r.VolumeID] = append(by[r.VolumeID], r)
	}
	return by, err
}

// withAttachments turns rows into volumes with their attachments, by one query
// for all.
func withAttachments(ctx context.Context, db bun.IDB, rows ...volumeRow) ([]Volume, error) {
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	by, err := attachmentsOf(ctx, db, ids...)
	if err != nil {
		return nil, err
	}
	out := make([]Volume, len(rows))
	for i, r := range rows {
		out[i] = r.Volume
		for _, a := range by[r.ID] {
			view, err := a.attachment()
			if err != nil {
				return nil, err
			}
			out[i].Attachments = append(out[i].Attachments, view)
		}
	}
	return out, nil
}

// save writes a changed row.
func save(ctx context.Context, db bun.IDB, row any) error {
	_, err := db.NewUpdate().Model(row).WherePK().Exec(ctx)
	return err
}

func insert(ctx context.Context, db bun.IDB, row any) error {
	_, err := db.NewInsert().Model(row).Returning("NULL").Exec(ctx)
	return err
}
