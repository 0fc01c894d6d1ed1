package blockstorage

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// Manageable is something that lies in a pool.
type Manageable struct {
	Reference string // by which it is managed
	SizeGiB   int    // rounded up
	VolumeID  string // of the volume that it is; empty: of none
	Reason    string // why it cannot be managed; empty: it can
}

// ManageSpec says what in a pool is to become a volume.
type ManageSpec struct {
	Host              string // host@backend#pool
	Cluster           string // of hosts; there are none
	Reference         string // as the pool calls it, or volume- and the ID that it had as a volume
	Name, Description *string
	Type              string // ID or name; empty: the project's default or the service's
	Zone              string
	Bootable          bool
	Metadata          map[string]string
}

// Manageables is what the Block Storage API needs to take in volumes that it
// did not make, and to let go of ones that it should know no longer.
type Manageables interface {
	// ListManageable tells what lies in the pool of a host.
	ListManageable(ctx context.Context, host, cluster string) ([]Manageable, error)
	// ManageVolume makes a record, managing, in the caller's project; a worker finds
	// the size and has the pool adopt the bytes. What cannot be adopted ends in
	// error_managing and stays as it is.
	ManageVolume(ctx context.Context, spec ManageSpec) (Volume, error)
	// UnmanageVolume has a volume forgotten, whose bytes stay.
	UnmanageVolume(ctx context.Context, id string) error
}

var _ Manageables = (*Service)(nil)

// onHost names a host, without a pool, in an error.
func onHost(host string) string {
	host, _, _ = strings.Cut(host, "#")
	return " on host " + clip(host)
}

// adopter finds the pool of a host that can adopt.
func (s *Service) adopter(host string) (*volume.Pool, error) {
	name, ok := s.poolNamed(host)
	if !ok {
		return nil, nephos.Errorf(nephos.ErrNotFound, "Service cinder-volume could not be found%s.", onHost(host))
	}
	pool, err := s.pools.Of(name)
	if err == nil && !pool.Can(volume.AbilityAdopter) {
		err = notBuilt("managing volumes")
	}
	return pool, err
}

// ListManageable implements [Manageables].
func (s *Service) ListManageable(ctx context.Context, host, cluster string) ([]Manageable, error) {
	if err := s.enforce(ctx, "volume_extension:list_manageable", own(ctx)); err != nil {
		return nil, err
	}
	pool, err := s.adopter(cmp.Or(host, cluster))
	if err != nil {
		return nil, err
	}
	list, err := pool.ListAdoptable(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Manageable, len(list))
	for i, a := range list {
		out[i] = Manageable{a.Reference, gib(a.SizeBytes), a.VolumeID, a.Reason}
	}
	return out, nil
}

// ManageVolume implements [Manageables].
func (s *Service) ManageVolume(ctx context.Context, spec ManageSpec) (Volume, error) {
	if err := s.enforce(ctx, "volume_extension:volume_manage", own(ctx)); err != nil {
		return Volume{}, err
	}
	if err := checkMetadata(spec.Metadata); err != nil {
		return Volume{}, err
	}
	if spec.Reference == "" || len(spec.Reference) > 255 {
		return Volume{}, invalidInput("ref", "Reference must contain source-name element of 1 to 255 bytes.")
	}
	pool, err := s.adopter(spec.Host)
	if errors.Is(err, nephos.ErrNotFound) {
		what, name := "Host", spec.Host
		if name == "" {
			what, name = "Cluster", spec.Cluster
		}
		return Volume{}, badRequest("%s '%s' not found", what, clip(name))
	}
	if err != nil {
		return Volume{}, err
	}
	c := caller(ctx)
	row := volumeRow{Tried: []string{}, Hints: map[string][]string{}, Reference: spec.Reference, Volume: Volume{
		ID: s.cfg.IDs.New(), ProjectID: c.ProjectID, UserID: c.UserID, Name: spec.Name, Description: spec.Description, Status: Managing,
		Zone: cmp.Or(spec.Zone, s.cfg.Zone), Pool: s.pools.NameOf(pool), Bootable: spec.Bootable, Metadata: orEmpty(spec.Metadata), ImageMetadata: map[string]string{},
	}}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		first, fresh, err := tx.Once(ctx, "blockstorage.manage_volume", row.ID)
		if err != nil {
			return err
		}
		if !fresh {
			row, err = s.loadVolume(ctx, tx, first)
			return err
		}
		row.CreatedAt = tx.Now()
		if row.Zone != s.cfg.Zone {
			return nephos.Errorf(nephos.ErrInvalid, "Availability zone '%s' is invalid.", clip(row.Zone)).WithField("availability_zone")
		}
		known, err := tx.NewSelect().Model((*volumeRow)(nil)).Where("vol.id = ?", strings.TrimPrefix(spec.Reference, "volume-")).Exists(ctx)
		if err != nil {
			return err
		}
		if known {
			return invalidVolume("Unable to manage existing volume. The volume is already managed")
		}
		t, err := s.typeFor(ctx, tx, spec.Type, "")
		if err != nil {
			if errors.Is(err, nephos.ErrNotFound) && spec.Type != "" {
				err = badRequest("Invalid volume type: Cannot find requested '%s' volume type", clip(spec.Type))
			}
			return err
		}
		row.TypeID, row.TypeName, row.MultiAttach, row.Limited = t.ID, t.Name, t.multiattach(), t.QoSID != ""
		if err := refuseEncrypted(ctx, tx, t); err != nil {
			return err
		}
		if err := s.checkCreateQuota(ctx, tx, c.ProjectID, usage{volumes: 1}, t); err != nil {
			return err
		}
		if err := insert(ctx, tx, &row); err != nil {
			return err
		}
		if err := s.enqueueVolume(ctx, tx, row.ID); err != nil {
			return err
		}
		return s.emitVolume(ctx, tx, "manage", row)
	})
	return row.Volume, err
}

// UnmanageVolume implements [Manageables].
func (s *Service) UnmanageVolume(ctx context.Context, id string) error {
	_, err := s.changeVolume(ctx, id, "volume_extension:volume_unmanage", "unmanage", func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
		if row.Status == Unmanaging {
			return false, nil
		}
		if row.onTheWay() {
			return false, refuseDelete(false)
		}
		if err := s.beginDelete(ctx, tx, row, DeleteOptions{}); err != nil {
			return false, err
		}
		if !s.pools.can(row.Pool, volume.AbilityAdopter) {
			return false, notBuilt("unmanaging volumes")
		}
		row.Status = Unmanaging
		return true, nil
	})
	return err
}

// stepManage finds out what is to be managed, and has the pool adopt it.
func (s *Service) stepManage(ctx context.Context, it *reconcile.Item, pool *volume.Pool, row *volumeRow) (reconcile.Next, error) {
	if row.SizeGiB == 0 {
		return s.recognize(ctx, it, pool, row)
	}
	finished, next, err := s.pooled(ctx, it, row.Status, busy{row.BusyBy, row.BusyUntil}, s.markVolume(row.ID), func(ctx context.Context) error {
		v, err := pool.Adopt(ctx, row.ID, row.Reference)
		if err == nil && v.SizeGiB != row.SizeGiB {
			err = nephos.Errorf(nephos.ErrInvalid, "%s has %d GiB by now, not %d", row.Reference, v.SizeGiB, row.SizeGiB)
		}
		return err
	})
	switch {
	case !finished:
		return next, err
	case err != nil && (hopeless(err) || errors.Is(err, nephos.ErrConflict)):
		return s.giveUpVolume(ctx, it, err)
	case err != nil:
		return next, err
	}
	return s.volumeDone(ctx, it, pool, row)
}

// recognize looks for what is to be managed and writes down how large it is, if
// it may be managed at all.
func (s *Service) recognize(ctx context.Context, it *reconcile.Item, pool *volume.Pool, row *volumeRow) (reconcile.Next, error) {
	t, err := loadType(ctx, s.cfg.Store.Reader(), row.TypeID)
	if err != nil {
		return reconcile.Next{}, err
	}
	list, err := pool.ListAdoptable(ctx)
	if err != nil {
		return reconcile.Next{}, err
	}
	found, ok := referred(list, row.Reference)
	switch {
	case !ok:
		return s.giveUpVolume(ctx, it, nephos.Errorf(nephos.ErrInvalid, "Manage existing volume failed due to invalid backend reference %s: it is not in the pool.", row.Reference))
	case found.VolumeID != "":
		return s.giveUpVolume(ctx, it, nephos.Errorf(nephos.ErrInvalid, "Unable to manage existing volume. Volume %s already managed.", row.Reference))
	case found.Reason != "":
		return s.giveUpVolume(ctx, it, nephos.Errorf(nephos.ErrInvalid, "Manage existing volume failed due to invalid backend reference %s: %s", row.Reference, found.Reason))
	}
	size := max(1, gib(found.SizeBytes))
	limits, err := limitsFor(ctx, s.cfg.Store.Reader(), t, size)
	if err != nil {
		return s.giveUpVolume(ctx, it, err)
	}
	candidates, err := s.candidates(ctx, limiting(limits, func(*volume.Pool) bool { return true }))
	if err != nil {
		return reconcile.Next{}, err
	}
	req := scheduler.VolumeRequest{ID: row.ID, ProjectID: row.ProjectID, SizeGB: int64(size), Zone: row.Zone, ExtraSpecs: t.ExtraSpecs}
	judged, fits := s.fits(candidates, req, s.backend(s.poolName(*row)))
	if !fits {
		if err := s.keepRefusal(ctx, it, row.ID, judged); err != nil {
			return reconcile.Next{}, err
		}
		return s.giveUpVolume(ctx, it, nephos.Errorf(nephos.ErrInvalid, "Manage existing volume failed due to volume type mismatch: the pool is not one for volumes of type %s", t.Name))
	}
	err = it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := s.checkExtendQuota(ctx, tx, *row, size); err != nil {
			return err
		}
		if err := s.keepDecision(ctx, tx, row.ID, judged); err != nil {
			return err
		}
		_, err := tx.NewRaw("UPDATE blockstorage_volumes SET size_gib = ?, reference = ? WHERE id = ? AND status = ?", size, found.Reference, row.ID, Managing).Exec(ctx)
		if err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
	})
	if errors.Is(err, nephos.ErrQuota) {
		return s.giveUpVolume(ctx, it, err)
	}
	return reconcile.Done(), err
}

// referred finds what a reference means: a name as the pool tells it, or one
// made of the ID that the thing had when it was a volume.
func referred(list []volume.Adoptable, reference string) (volume.Adoptable, bool) {
	for _, a := range list {
		if a.Reference == reference {
			return a, true
		}
	}
	id := strings.TrimPrefix(reference, "volume-")
	if !idForm.MatchString(id) {
		return volume.Adoptable{}, false
	}
	for _, a := range list {
		if base, _, _ := strings.Cut(a.Reference, "."); strings.TrimPrefix(base, "volume-") == id {
			return a, true
		}
	}
	return volume.Adoptable{}, false
}

// giveBack lets go of what was adopted before something else failed.
func (s *Service) giveBack(ctx context.Context, row *volumeRow) error {
	pool, err := s.pools.Of(row.Pool)
	if err != nil {
		return err
	}
	if _, err := pool.Get(ctx, row.ID); err != nil {
		if errors.Is(err, nephos.ErrNotFound) {
			return nil
		}
		return err
	}
	_, err = pool.Release(ctx, row.ID)
	return err
}

// stepUnmanage has the pool let go of a volume, and forgets it.
func (s *Service) stepUnmanage(ctx context.Context, it *reconcile.Item, pool *volume.Pool, row *volumeRow) (reconcile.Next, error) {
	if waiting, err := dependants(ctx, s.cfg.Store.Reader(), "source_volume_id", row.ID); err != nil || waiting > 0 {
		return reconcile.Again(s.cfg.Clock.Now().Add(time.Second)), err
	}
	finished, next, err := s.pooled(ctx, it, row.Status, busy{row.BusyBy, row.BusyUntil}, s.markVolume(row.ID), func(ctx context.Context) error {
		_, err := pool.Release(ctx, row.ID)
		if errors.Is(err, nephos.ErrNotFound) {
			return nil // it never was there, or is gone already
		}
		return err
	})
	if !finished || err != nil {
		return next, err
	}
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := forget(ctx, tx, row.ID); err != nil {
			return err
		}
		if err := s.emitVolume(ctx, tx, "unmanaged", *row); err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Done())
	})
}
