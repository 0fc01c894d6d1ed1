package blockstorage

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/scheduler"
)

// Backend is where volumes live, as operators see it.
type Backend struct {
	Name  string // host@backend#pool
	Stats volume.Stats
	// MultiAttach tells whether its volumes take several attachments at once.
	MultiAttach bool
	At          time.Time // when it told this
}

// HostUsage is what a project, or all together, keep on the host.
type HostUsage struct {
	ProjectID  string // empty: all together
	Volumes    int
	VolumesGiB int `bun:"volumes_gib"`
	Snapshots  int
	SnapsGiB   int `bun:"snaps_gib"`
}

// Zone is an availability zone. It is available while one of its pools takes new
// volumes.
type Zone struct {
	Name      string
	Available bool
}

// Backends is what the Block Storage API's views of the pools need.
type Backends interface {
	// IsAdmin reports whether the caller is shown more of each resource.
	IsAdmin(ctx context.Context) bool
	// Allowed reports whether a rule allows the caller what concerns the project.
	Allowed(ctx context.Context, rule, projectID string) bool
	// HostOf names where a volume lives: host@backend#pool; empty until a pool was
	// chosen.
	HostOf(v Volume) string
	// Pools lists where volumes live: of the type that is named, by name or ID, or
	// with "" of any.
	Pools(ctx context.Context, typeNameOrID string) ([]Backend, error)
	// HostComponents lists the parts of the service, for views of its hosts.
	HostComponents(ctx context.Context) ([]Component, error)
	Zones(ctx context.Context) ([]Zone, error)
	// Host returns what is kept on a host, the sum first.
	Host(ctx context.Context, name string) ([]HostUsage, error)
}

// Allowed implements [Backends].
func (s *Service) Allowed(ctx context.Context, rule, projectID string) bool {
	return s.enforce(ctx, rule, map[string]any{"project_id": projectID}) == nil
}

// Pools implements [Backends].
func (s *Service) Pools(ctx context.Context, typeNameOrID string) ([]Backend, error) {
	if err := s.enforce(ctx, "scheduler_extension:scheduler_stats:get_pools", own(ctx)); err != nil {
		return nil, err
	}
	fit, err := s.fitting(ctx, typeNameOrID)
	if err != nil {
		return nil, err
	}
	out := make([]Backend, 0, len(s.pools.All()))
	for _, pool := range s.pools.All() {
		if !fit(s.backend(s.pools.NameOf(pool))) {
			continue
		}
		stats, err := pool.Stats(ctx)
		if err != nil {
			s.cfg.Log.Warn("a pool does not tell its capacity", "pool", s.pools.NameOf(pool), "error", err)
			continue
		}
		stats.Backend = cmp.Or(stats.Backend, s.pools.NameOf(pool))
		stats.MaxOverSubscription = cmp.Or(stats.MaxOverSubscription, scheduler.DefaultOverSubscription)
		out = append(out, Backend{Name: s.backend(s.pools.NameOf(pool)), Stats: stats, MultiAttach: pool.MultiAttach() != 0, At: s.cfg.Clock.Now()})
	}
	return out, nil
}

// fitting tells of each pool whether volumes of the type may live there.
func (s *Service) fitting(ctx context.Context, typeNameOrID string) (func(backend string) bool, error) {
	if typeNameOrID == "" {
		return func(string) bool { return true }, nil
	}
	t, err := s.findType(ctx, s.cfg.Store.Reader(), typeNameOrID)
	if err != nil {
		return nil, err
	}
	pools, err := s.candidates(ctx, func(*volume.Pool) bool { return true })
	if err != nil {
		return nil, err
	}
	fit := map[string]bool{}
	for _, p := range pools {
		_, err := s.choose.SelectPool([]scheduler.Pool{p}, scheduler.VolumeRequest{ID: t.ID, ExtraSpecs: t.ExtraSpecs}, scheduler.Options{})
		if err != nil && !errors.Is(err, nephos.ErrNoCapacity) {
			return nil, err
		}
		fit[p.ID] = err == nil
	}
	return func(backend string) bool { return fit[backend] }, nil
}

// Zones implements [Backends].
func (s *Service) Zones(ctx context.Context) ([]Zone, error) {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return nil, s.enforce(ctx, "volume:get_all", own(ctx))
	}
	disabled, err := s.disabledHosts(ctx)
	if err != nil {
		return nil, err
	}
	zone := Zone{Name: s.cfg.Zone}
	for _, pool := range s.pools.All() {
		zone.Available = zone.Available || !disabled[s.host(s.pools.NameOf(pool))]
	}
	return []Zone{zone}, nil
}

// Host implements [Backends].
func (s *Service) Host(ctx context.Context, name string) ([]HostUsage, error) {
	if err := s.enforce(ctx, "volume_extension:hosts", own(ctx)); err != nil {
		return nil, err
	}
	whole, in := name == s.cfg.HostName, []string{}
	if _, pool, _ := strings.Cut(name, "@"); !whole {
		if !s.pools.Has(pool) || name != s.host(pool) {
			return nil, nephos.Errorf(nephos.ErrNotFound, "Service %s could not be found on host %s.", componentVolume, clip(name))
		}
		if in = append(in, pool); pool == s.pools.Default() {
			in = append(in, "")
		}
	}
	var rows []HostUsage
	err := s.cfg.Store.Reader().NewRaw(`SELECT project_id, SUM(v) AS volumes, SUM(vg) AS volumes_gib, SUM(s) AS snapshots, SUM(sg) AS snaps_gib FROM (
		SELECT project_id, pool, 1 AS v, size_gib AS vg, 0 AS s, 0 AS sg FROM blockstorage_volumes
		UNION ALL SELECT snap.project_id, vol.pool, 0, 0, 1, snap.size_gib FROM blockstorage_snapshots AS snap
			JOIN blockstorage_volumes AS vol ON vol.id = snap.volume_id) AS held
		WHERE ? OR pool IN (?) GROUP BY project_id ORDER BY project_id`, whole, bun.List(in)).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	var sum HostUsage
	for _, r := range rows {
		sum.Volumes, sum.VolumesGiB = sum.Volumes+r.Volumes, sum.VolumesGiB+r.VolumesGiB
		sum.Snapshots, sum.SnapsGiB = sum.Snapshots+r.Snapshots, sum.SnapsGiB+r.SnapsGiB
	}
	return append([]HostUsage{sum}, rows...), nil
}
