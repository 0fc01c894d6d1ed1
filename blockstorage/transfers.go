package blockstorage

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// AwaitingTransfer is the state of a volume that is offered to another project.
const AwaitingTransfer = "awaiting-transfer"

// Transfer is a volume on offer to whoever knows its key.
type Transfer struct {
	ID          string `bun:",pk"`
	VolumeID    string
	ProjectID   string // that offers it
	Name        *string
	NoSnapshots bool // the volume's snapshots stay
	CreatedAt   time.Time
	AuthKey     string `bun:"-"` // told once, when it is made
}

// TransferSpec describes a transfer to create.
type TransferSpec struct {
	VolumeID    string
	Name        *string
	NoSnapshots bool
}

// TransferFilter narrows a list of transfers; see [VolumeFilter].
type TransferFilter struct {
	AllProjects bool
	Offset      int
	Match       map[string]string
}

// Transfers is what the Block Storage API's volume transfers need.
type Transfers interface {
	// CreateTransfer offers an available volume: nobody can do anything with it
	// until the offer is accepted or taken back.
	CreateTransfer(ctx context.Context, spec TransferSpec) (Transfer, error)
	Transfer(ctx context.Context, id string) (Transfer, error)
	ListTransfers(ctx context.Context, f TransferFilter, p nephos.Page) ([]Transfer, bool, error)
	// DeleteTransfer takes an offer back.
	DeleteTransfer(ctx context.Context, id string) error
	// AcceptTransfer makes the volume the caller's project's, of any project, within
	// its quotas. A wrong key is ErrInvalid.
	AcceptTransfer(ctx context.Context, id, authKey string) (Transfer, error)
}

var _ Transfers = (*Service)(nil)

// transferRow is a transfer and what its key is checked by.
type transferRow struct {
	bun.BaseModel `bun:"table:blockstorage_transfers,alias:tra"`
	Transfer
	Salt, Hash string
}

func (r *transferRow) sum(authKey string) string {
	h := hmac.New(sha256.New, []byte(r.Salt))
	h.Write([]byte(authKey))
	return hex.EncodeToString(h.Sum(nil))
}

func transferNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Transfer %s could not be found.", clip(id))
}

func transferList() *listing {
	return &listing{
		table: "blockstorage_transfers", alias: "tra", missing: transferNotFound,
		fields: map[string]field{
			"id": {expr: "@.id"}, "name": {expr: "COALESCE(@.name, '')"}, "display_name": {expr: "COALESCE(@.name, '')"},
			"volume_id": {expr: "@.volume_id"}, "created_at": {expr: "@.created_at", kind: moment},
		},
	}
}

// loadTransfer loads a transfer; of any project if anybody's.
func (s *Service) loadTransfer(ctx context.Context, db bun.IDB, id string, anybodys bool) (*transferRow, error) {
	var rows []transferRow
	q := db.NewSelect().Model(&rows).Where("tra.id = ?", id)
	if !anybodys {
		q = s.scope(ctx, q, "tra.project_id")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, transferNotFound(id)
	}
	return &rows[0], nil
}

// CreateTransfer implements [Transfers].
func (s *Service) CreateTransfer(ctx context.Context, spec TransferSpec) (Transfer, error) {
	if spec.Name != nil && utf8.RuneCountInString(*spec.Name) > 255 {
		return Transfer{}, invalidInput("name", "name has more than 255 characters.")
	}
	var secret [12]byte
	s.cfg.IDs.Fill(secret[:])
	row := transferRow{Salt: hex.EncodeToString(secret[:4]), Transfer: Transfer{
		ID: s.cfg.IDs.New(), VolumeID: spec.VolumeID, Name: spec.Name, NoSnapshots: spec.NoSnapshots, AuthKey: hex.EncodeToString(secret[4:]),
	}}
	row.Hash = row.sum(row.AuthKey)
	_, err := s.changeVolume(ctx, spec.VolumeID, "volume:create_transfer", "transfer.create", func(ctx context.Context, tx *store.Tx, vol *volumeRow) (bool, error) {
		if vol.Status != Available || vol.onTheWay() {
			return false, invalidVolume("status must be available")
		}
		if !spec.NoSnapshots {
			snaps, err := snapshotsOf(ctx, tx, vol.ID)
			if err != nil {
				return false, err
			}
			for _, snap := range snaps {
				if snap.Status != Available {
					return false, invalidSnapshot("snapshot: %s status must be available", snap.ID)
				}
			}
		}
		row.CreatedAt, row.ProjectID, row.VolumeID, vol.Status = tx.Now(), vol.ProjectID, vol.ID, AwaitingTransfer
		if _, err := tx.NewRaw("DELETE FROM blockstorage_transfers WHERE volume_id = ?", vol.ID).Exec(ctx); err != nil {
			return false, err // an offer that an operator ended by setting the state
		}
		return true, insert(ctx, tx, &row)
	})
	if err != nil {
		return Transfer{}, err
	}
	return row.Transfer, nil
}

func snapshotsOf(ctx context.Context, tx *store.Tx, volumeID string) ([]snapshotRow, error) {
	var snaps []snapshotRow
	err := tx.NewSelect().Model(&snaps).Where("snap.volume_id = ?", volumeID).Scan(ctx)
	return snaps, err
}

// Transfer implements [Transfers].
func (s *Service) Transfer(ctx context.Context, id string) (Transfer, error) {
	if err := s.enforce(ctx, "volume:get_transfer", own(ctx)); err != nil {
		return Transfer{}, err
	}
	row, err := s.loadTransfer(ctx, s.cfg.Store.Reader(), id, false)
	if err != nil {
		return Transfer{}, err
	}
	return row.Transfer, nil
}

// ListTransfers implements [Transfers].
func (s *Service) ListTransfers(ctx context.Context, f TransferFilter, p nephos.Page) ([]Transfer, bool, error) {
	if err := s.enforce(ctx, "volume:get_all_transfers", own(ctx)); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []transferRow
	l := transferList()
	q := l.filter(s.projectOnly(ctx, db.NewSelect().Model(&rows), "tra.project_id", f.AllProjects), f.Match)
	follow, err := find(ctx, db, l, q, &rows, p, f.Offset)
	if err != nil {
		return nil, false, err
	}
	out := make([]Transfer, len(rows))
	for i, r := range rows {
		out[i] = r.Transfer
	}
	return out, follow, nil
}

// DeleteTransfer implements [Transfers].
func (s *Service) DeleteTransfer(ctx context.Context, id string) error {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return s.enforce(ctx, "volume:delete_transfer", nil)
	}
	row, err := s.loadTransfer(ctx, s.cfg.Store.Reader(), id, false)
	if err != nil {
		return err
	}
	_, err = s.changeVolume(ctx, row.VolumeID, "volume:delete_transfer", "transfer.delete", func(ctx context.Context, tx *store.Tx, vol *volumeRow) (bool, error) {
		row, err := s.loadTransfer(ctx, tx, id, false)
		if err != nil {
			return false, err
		}
		if vol.Status == AwaitingTransfer {
			vol.Status = Available
		}
		_, err = tx.NewDelete().Model(row).WherePK().Exec(ctx)
		return true, err
	})
	return err
}

// AcceptTransfer implements [Transfers].
func (s *Service) AcceptTransfer(ctx context.Context, id, authKey string) (Transfer, error) {
	if err := s.enforce(ctx, "volume:accept_transfer", own(ctx)); err != nil {
		return Transfer{}, err
	}
	c := caller(ctx)
	var out Transfer
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, err := s.loadTransfer(ctx, tx, id, true)
		if err != nil {
			return err
		}
		if !hmac.Equal([]byte(row.sum(authKey)), []byte(row.Hash)) {
			return badRequest("Invalid auth key: Attempt to transfer %s with invalid auth key.", row.ID)
		}
		out = row.Transfer
		var vols []volumeRow
		if err := selectVolumes(tx, &vols).Where("vol.id = ?", row.VolumeID).Scan(ctx); err != nil {
			return err
		}
		if len(vols) == 0 {
			return volumeNotFound(row.VolumeID)
		}
		vol := &vols[0]
		if vol.Status != AwaitingTransfer {
			return invalidVolume("Volume %s status must be awaiting-transfer, but current status is: %s.", vol.ID, vol.Status)
		}
		if err := s.handOver(ctx, tx, row, vol, c); err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model(row).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.emitVolume(ctx, tx, "transfer.accept", *vol)
	})
	return out, err
}

// handOver makes a volume, and its snapshots if they are on offer, the
// caller's.
func (s *Service) handOver(ctx context.Context, tx *store.Tx, row *transferRow, vol *volumeRow, c nephos.Caller) error {
	var snaps []snapshotRow
	if !row.NoSnapshots {
		var err error
		if snaps, err = snapshotsOf(ctx, tx, vol.ID); err != nil {
			return err
		}
	}
	if vol.ProjectID != c.ProjectID {
		t := Type{ID: vol.TypeID, Name: vol.TypeName}
		if err := s.checkCreateQuota(ctx, tx, c.ProjectID, usage{volumes: 1, gigabytes: vol.SizeGiB}, t); err != nil {
			return err
		}
		all := usage{snapshots: len(snaps), gigabytes: vol.SizeGiB}
		for _, snap := range snaps {
			all.gigabytes += snap.SizeGiB
		}
		if err := s.checkCreateQuota(ctx, tx, c.ProjectID, all, t); err != nil {
			return err
		}
	}
	for i := range snaps {
		now := tx.Now()
		snaps[i].ProjectID, snaps[i].UserID, snaps[i].OwnerKey, snaps[i].UpdatedAt = c.ProjectID, c.UserID, nil, &now
		if err := save(ctx, tx, &snaps[i]); err != nil {
			return err
		}
	}
	vol.ProjectID, vol.UserID, vol.OwnerKey, vol.Status = c.ProjectID, c.UserID, nil, Available
	vol.touch(tx.Now())
	return save(ctx, tx, vol)
}
