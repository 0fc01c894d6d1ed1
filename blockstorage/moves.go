package blockstorage

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// How far a volume has come on its way to another pool. An empty status, error
// and success say that it is on none.
const (
	moveStarting   = "starting"
	moveMigrating  = "migrating"
	moveCompleting = "completing" // it is there; the old copy is still to be deleted
	moveSuccess    = "success"
	moveError      = "error"
)

// RetypeSpec says what a volume is to become.
type RetypeSpec struct {
	Type    string // ID or name
	MayMove bool   // to another pool, where its own cannot give it the type
}

// MigrateSpec says where a volume is to go.
type MigrateSpec struct {
	Host    string // host@backend#pool
	Cluster string // of hosts; there are none
	// Lock shows the volume in maintenance until it is there. Its bytes cannot
	// change on the way with or without.
	Lock bool
}

// VolumeMoves is what the Block Storage API needs to give volumes other types
// and other pools.
type VolumeMoves interface {
	// RetypeVolume has a volume's type changed, where it is or, if it may move, in
	// a pool that fits. What cannot be done leaves the volume as it was.
	RetypeVolume(ctx context.Context, id string, spec RetypeSpec) error
	// MigrateVolume has a volume that nobody has attached moved to another pool.
	// What cannot be done leaves it where it was.
	MigrateVolume(ctx context.Context, id string, spec MigrateSpec) error
	// CompleteMigration is what Compute tells of a migration that it carries out.
	// Here it carries out none, so it is refused for any volume on its way.
	CompleteMigration(ctx context.Context, id, newID string, failed bool) (volumeID string, err error)
}

var _ VolumeMoves = (*Service)(nil)

// moving reports whether the volume is being copied to the pool Stray.
func (r *volumeRow) moving() bool {
	return r.Stray != "" && (r.MigrationStatus == moveStarting || r.MigrationStatus == moveMigrating)
}

// onTheWay reports whether a migration of the volume has not ended.
func (r *volumeRow) onTheWay() bool {
	return r.Stray != "" || slices.Contains([]string{moveStarting, moveMigrating, moveCompleting}, r.MigrationStatus)
}

// refuseMoving refuses what cannot be done while the volume is being copied.
func refuseMoving(row *volumeRow) error {
	if !row.moving() {
		return nil
	}
	return invalidVolume("Volume %s is being migrated: wait until its migration_status is success or error.", row.ID)
}

// RetypeVolume implements [VolumeMoves].
func (s *Service) RetypeVolume(ctx context.Context, id string, spec RetypeSpec) error {
	_, err := s.changeVolume(ctx, id, "volume:retype", "retype", func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
		t, err := s.findType(ctx, tx, spec.Type)
		if err != nil {
			return false, err
		}
		if err := refuseEncrypted(ctx, tx, t); err != nil {
			return false, err
		}
		if err := s.checkRetypeMultiAttach(ctx, row, t); err != nil {
			return false, err
		}
		if err := s.checkRetypeQuota(ctx, tx, *row, t); err != nil {
			return false, err
		}
		sameSpeed, err := checkRetypeQoS(ctx, tx, row, t)
		if err != nil {
			return false, err
		}
		if row.Status != Available && row.Status != InUse || row.onTheWay() || row.TypeID == t.ID || !sameSpeed {
			return false, invalidVolume("Retype needs volume to be in available or in-use state, not be part of an active migration or a consistency group, " +
				"requested type has to be different that the one from the volume, and for in-use volumes front-end qos specs cannot change.")
		}
		row.Status, row.ToType, row.MayMove, row.Reason = Retyping, t.ID, spec.MayMove, ""
		return true, s.enqueueVolume(ctx, tx, row.ID)
	})
	return err
}

// MigrateVolume implements [VolumeMoves].
func (s *Service) MigrateVolume(ctx context.Context, id string, spec MigrateSpec) error {
	_, err := s.changeVolume(ctx, id, "volume_extension:volume_admin_actions:migrate_volume", "migrate",
		func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
			to, ok := s.poolNamed(spec.Host)
			if !ok {
				named := spec.Cluster
				if named == "" {
					named = spec.Host
				}
				return false, nephos.Errorf(nephos.ErrInvalid, "Invalid host: No available service named '%s'", clip(named)).WithField("host")
			}
			snapshots, err := tx.NewSelect().Model((*snapshotRow)(nil)).Where("snap.volume_id = ?", row.ID).Exists(ctx)
			if err != nil {
				return false, err
			}
			if row.Status != Available && row.Status != InUse || row.onTheWay() || snapshots || to == s.poolName(*row) {
				return false, invalidVolume("Volume %s status must be available or in-use, must not be migrating, have snapshots, be replicated, "+
					"be part of a group and destination host/cluster must be different than the current one", row.ID)
			}
			by, err := attachmentsOf(ctx, tx, row.ID)
			if err != nil {
				return false, err
			}
			if len(by[row.ID]) > 0 {
				return false, &nephos.Error{Kind: errors.ErrUnsupported, Message: "Volumes that are attached cannot be migrated: detach volume " + row.ID + " first."}
			}
			row.MigrationStatus, row.Stray, row.Reason = moveStarting, to, ""
			if spec.Lock {
				row.Status = Maintenance
			}
			return true, s.enqueueVolume(ctx, tx, row.ID)
		})
	return err
}

// poolNamed finds a pool by host@backend#pool, or host@backend, as each backend
// has one.
func (s *Service) poolNamed(host string) (name string, ok bool) {
	backend, pool, named := strings.Cut(host, "#")
	_, name, _ = strings.Cut(backend, "@")
	return name, s.pools.Has(name) && backend == s.host(name) && (!named || pool == name)
}

// CompleteMigration implements [VolumeMoves].
func (s *Service) CompleteMigration(ctx context.Context, id, newID string, failed bool) (string, error) {
	const rule = "volume_extension:volume_admin_actions:migrate_volume_completion"
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return "", s.enforce(ctx, rule, nil)
	}
	db := s.cfg.Store.Reader()
	source, err := s.loadVolume(ctx, db, id)
	if err != nil {
		return "", err
	}
	if err := s.enforceSeen(ctx, rule, &source); err != nil {
		return "", err
	}
	target, err := s.loadVolume(ctx, db, newID)
	if err != nil {
		return "", err
	}
	by, err := attachmentsOf(ctx, db, source.ID)
	switch {
	case err != nil:
		return "", err
	case source.MigrationStatus == "" && target.MigrationStatus == "" && (failed || len(by[source.ID]) == 0):
		return target.ID, nil // nothing is on its way, and nothing to hand over
	case source.MigrationStatus == "":
		return "", invalidVolume("Source volume not mid-migration.")
	case target.MigrationStatus == "":
		return "", invalidVolume("Destination volume not mid-migration.")
	}
	return "", invalidVolume("Destination has migration_status %s, expected target:%s.", target.MigrationStatus, source.ID)
}
