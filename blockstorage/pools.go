package blockstorage

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// pools are where volumes live, by name. The default one has the volumes of a
// time before there were names.
type pools struct{ driver.Named[*volume.Pool] }

func newPools(all []*volume.Pool) (pools, error) {
	n, err := driver.NewNamed(all, driver.Names{What: "pool", Option: "volume.PoolOptions.Name", Default: "volumes", Without: "@#/"})
	return pools{n}, err
}

// can reports whether the pool of that name offers the ability.
func (p pools) can(name, ability string) bool {
	pool, err := p.Of(name)
	return err == nil && pool.Can(ability)
}

// anyCan reports whether there is a pool that offers the ability.
func (p pools) anyCan(ability string) bool {
	for _, pool := range p.All() {
		if pool.Can(ability) {
			return true
		}
	}
	return false
}

// poolOf returns the pool that a volume lives in.
func (s *Service) poolOf(ctx context.Context, volumeID string) (*volume.Pool, error) {
	row, err := s.volumeRow(ctx, volumeID)
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, nephos.NotFound("Volume", clip(volumeID))
	}
	return s.pools.Of(row.Pool)
}

// disconnect has the volume's pool let go of an attachment. Where the volume is
// forgotten, every pool does.
func (s *Service) disconnect(ctx context.Context, a *attachmentRow) error {
	pool, err := s.poolOf(ctx, a.VolumeID)
	if err == nil {
		return pool.Disconnect(ctx, a.VolumeID, a.connector())
	}
	if !errors.Is(err, nephos.ErrNotFound) {
		return err
	}
	var errs []error
	for _, pool := range s.pools.All() {
		errs = append(errs, pool.Disconnect(ctx, a.VolumeID, a.connector()))
	}
	return errors.Join(errs...)
}

// HostOf implements [Backends].
func (s *Service) HostOf(v Volume) string {
	if v.Pool == "" && (v.Status == Creating || v.Status == Errored) {
		return ""
	}
	return s.backend(s.poolName(volumeRow{Volume: v}))
}

// host is how operators see a pool's host, and backend the pool.
func (s *Service) host(pool string) string    { return s.cfg.HostName + "@" + pool }
func (s *Service) backend(pool string) string { return s.host(pool) + "#" + pool }

// place chooses the pool of a volume that has none, and writes it down before
// anybody makes it there.
func (s *Service) place(ctx context.Context, it *reconcile.Item, row *volumeRow) error {
	t, err := loadType(ctx, s.cfg.Store.Reader(), row.TypeID)
	if err != nil {
		return err
	}
	limits, err := limitsFor(ctx, s.cfg.Store.Reader(), t, row.SizeGiB)
	if err != nil {
		return err
	}
	candidates, err := s.candidates(ctx, limiting(limits, func(p *volume.Pool) bool { return row.ImageID == "" || p.Can(volume.AbilityImageWriter) }))
	if err != nil {
		return err
	}
	req := scheduler.VolumeRequest{
		ID: row.ID, ProjectID: row.ProjectID, SizeGB: int64(row.SizeGiB), Zone: row.Zone, ExtraSpecs: t.ExtraSpecs, Hints: row.Hints,
	}
	for _, name := range row.Tried {
		req.Ignore = append(req.Ignore, s.backend(name))
	}
	for _, hint := range []struct {
		name string
		to   *[]string
	}{{"same_host", &req.Same}, {"different_host", &req.Different}} {
		if *hint.to, err = s.backendsOf(ctx, row.Hints[hint.name]); err != nil {
			return err
		}
	}
	chosen, err := s.choose.SelectPool(candidates, req, scheduler.Options{})
	if errors.Is(err, nephos.ErrNoCapacity) {
		if err := s.keepRefusal(ctx, it, row.ID, chosen.Explanation); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	_, name, _ := strings.Cut(chosen.Choices[0].Host.ID, "#")
	err = it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := s.keepDecision(ctx, tx, row.ID, chosen.Explanation); err != nil {
			return err
		}
		_, err := tx.NewRaw("UPDATE blockstorage_volumes SET pool = ? WHERE id = ? AND status = ?", name, row.ID, Creating).Exec(ctx)
		return err
	})
	row.Pool = name
	return err
}

func (s *Service) keepDecision(ctx context.Context, tx *store.Tx, id string, e scheduler.Explanation) error {
	if s.cfg.Decisions == nil {
		return nil
	}
	return s.cfg.Decisions.Keep(ctx, tx, id, e)
}

// keepRefusal keeps why there was no pool.
func (s *Service) keepRefusal(ctx context.Context, it *reconcile.Item, id string, e scheduler.Explanation) error {
	return it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return s.keepDecision(ctx, tx, id, e) })
}

// poolName is the name of the pool that a volume lives in.
func (s *Service) poolName(row volumeRow) string {
	return cmp.Or(row.Pool, s.pools.Default())
}

// canMove reports whether a volume that its pool has no room for may be tried in
// another: not if it is made of what is in the pool.
func (s *Service) canMove(row *volumeRow) bool {
	return row.Status == Creating && row.SourceVolumeID == "" && row.SnapshotID == "" && len(row.Tried)+1 < len(s.pools.All())
}

// elsewhere gives up a pool that had no room after all, for another.
func (s *Service) elsewhere(ctx context.Context, it *reconcile.Item, pool *volume.Pool, row *volumeRow) (reconcile.Next, error) {
	if err := pool.Delete(ctx, row.ID); err != nil {
		return reconcile.Next{}, err
	}
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		moved := *row
		moved.Tried, moved.Pool = append(slices.Clone(row.Tried), row.Pool), ""
		_, err := tx.NewUpdate().Model(&moved).Column("tried", "pool").WherePK().Where("status = ?", Creating).Returning("NULL").Exec(ctx)
		if err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
	})
}

// backendsOf names the pools of volumes.
func (s *Service) backendsOf(ctx context.Context, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var names []string
	err := s.cfg.Store.Reader().NewSelect().Table("blockstorage_volumes").Column("pool").Where("id IN (?)", bun.List(ids)).Scan(ctx, &names)
	for i := range names {
		names[i] = s.backend(s.poolName(volumeRow{Volume: Volume{Pool: names[i]}}))
	}
	return names, err
}

// candidates describes the pools to the scheduler. A pool that cannot do what
// the volume needs, or does not answer, is down for it, and so is one that
// operators disabled.
func (s *Service) candidates(ctx context.Context, can func(*volume.Pool) bool) ([]scheduler.Pool, error) {
	var sums []struct {
		Pool string
		N    int
		GiB  int64 `bun:"gib"`
	}
	err := s.cfg.Store.Reader().NewRaw("SELECT pool, COUNT(*) AS n, SUM(size_gib) AS gib FROM blockstorage_volumes WHERE pool <> '' OR status <> ? GROUP BY pool", Creating).Scan(ctx, &sums)
	if err != nil {
		return nil, err
	}
	disabled, err := s.disabledHosts(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]scheduler.Pool, 0, len(s.pools.All()))
	for i, pool := range s.pools.All() {
		name := s.pools.NameOf(pool)
		stats, err := pool.Stats(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			s.cfg.Log.Warn("a pool does not tell its capacity: it gets no volumes", "pool", name, "error", err)
		}
		p := scheduler.Pool{
			ID: s.backend(name), Zone: s.cfg.Zone, Up: err == nil, Enabled: can(pool) && !disabled[s.host(name)],
			TotalGB: stats.TotalGiB, FreeGB: stats.FreeGiB, Thin: stats.Thin, Thick: !stats.Thin,
			Filter: stats.Filter, Goodness: stats.Goodness, ReservedPercentage: stats.ReservedPercentage, MaxOverSubscription: stats.MaxOverSubscription,
			Capabilities: map[string]string{
				"volume_backend_name": cmp.Or(stats.Backend, name), "storage_protocol": stats.Protocol, "pool_name": name,
				"thin_provisioning_support": strconv.FormatBool(stats.Thin), "vendor_name": "Nephos",
				"multiattach": strconv.FormatBool(pool.MultiAttach() != 0),
			},
		}
		for _, sum := range sums {
			if sum.Pool == name || sum.Pool == "" && i == 0 {
				p.ProvisionedGB, p.Volumes = p.ProvisionedGB+float64(sum.GiB), p.Volumes+sum.N
			}
		}
		out = append(out, p)
	}
	return out, nil
}
