package blockstorage

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func volumeList() *listing {
	return &listing{
		table: "blockstorage_volumes", alias: "vol", missing: volumeNotFound,
		fields: map[string]field{
			"id":                {expr: "@.id"},
			"name":              {expr: "COALESCE(@.name, '')"},
			"display_name":      {expr: "COALESCE(@.name, '')"},
			"description":       {expr: "COALESCE(@.description, '')"},
			"status":            {expr: "@.status"},
			"migration_status":  {expr: "@.migration_status"},
			"size":              {expr: "@.size_gib", kind: integer},
			"bootable":          {expr: "@.bootable", kind: boolean},
			"multiattach":       {expr: "@.multiattach", kind: boolean},
			"attach_status":     {expr: "CASE WHEN EXISTS (SELECT 1 FROM blockstorage_attachments AS a WHERE a.volume_id = @.id AND a.status = 'attached') THEN 'attached' ELSE 'detached' END"},
			"availability_zone": {expr: "@.zone"},
			"created_at":        {expr: "@.created_at", kind: moment},
			"updated_at":        {expr: "COALESCE(@.updated_at, @.created_at)", kind: moment},
			"project_id":        {expr: "@.project_id"},
			"user_id":           {expr: "@.user_id"},
			"volume_type_id":    {expr: "@.type_id"},
			"snapshot_id":       {expr: "@.snapshot_id"},
			"source_volid":      {expr: "@.source_volume_id"},
			"group_id":          {expr: "CASE WHEN @.id = '' THEN 'x' ELSE '' END"}, // no bare constant: PostgreSQL orders by none
			"host":              {expr: "@.pool"},                                   // which a host's name ends in
		},
	}
}

// projectOnly narrows a list to the caller's project, unless an admin asks for
// all of them.
func (s *Service) projectOnly(ctx context.Context, q *bun.SelectQuery, column string, all bool) *bun.SelectQuery {
	if all && s.seesAll(ctx) {
		return q
	}
	return q.Where("? = ?", bun.Safe(column), caller(ctx).ProjectID)
}

// filterVolumes adds a filter's conditions.
func (s *Service) filterVolumes(ctx context.Context, q *bun.SelectQuery, f VolumeFilter) (*bun.SelectQuery, error) {
	l := volumeList()
	match := maps.Clone(f.Match)
	if host, ok := match["host"]; ok {
		delete(match, "host")
		q = s.onHost(q, host)
	}
	q = l.filter(s.projectOnly(ctx, q, "vol.project_id", f.AllProjects), match)
	q, err := l.having(q, "metadata", f.Metadata)
	if err != nil {
		return nil, err
	}
	if q, err = l.having(q, "image_metadata", f.ImageMetadata); err != nil {
		return nil, err
	}
	for _, m := range f.Times {
		op, ok := map[string]string{"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[m.Op]
		fd, known := l.fields[m.Field]
		if !ok || !known {
			return nil, badRequest("Invalid %s operator", clip(m.Op))
		}
		q = q.Where("? ? ?", l.column(fd.expr), bun.Safe(op), m.Value.UTC())
	}
	return q, nil
}

// onHost narrows volumes to those in pools that the name means: host@backend#pool
// one, host@backend those of the backend, host all of them.
func (s *Service) onHost(q *bun.SelectQuery, name string) *bun.SelectQuery {
	var pools []string
	for i, pool := range s.pools.All() {
		p := s.pools.NameOf(pool)
		if name != s.backend(p) && name != s.host(p) && name != s.cfg.HostName {
			continue
		}
		if pools = append(pools, p); i == 0 {
			pools = append(pools, "")
		}
	}
	if len(pools) == 0 {
		return q.Where("1 = 0")
	}
	return q.Where("vol.pool IN (?) AND NOT (vol.pool = '' AND vol.status IN (?))", bun.List(pools), bun.List([]string{Creating, Errored}))
}

// Volume implements [Volumes].
func (s *Service) Volume(ctx context.Context, id string) (Volume, error) {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return Volume{}, s.enforce(ctx, "volume:get", nil)
	}
	row, err := s.loadVolume(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return Volume{}, err
	}
	if err := s.enforceSeen(ctx, "volume:get", &row); err != nil {
		return Volume{}, err
	}
	vs, err := withAttachments(ctx, s.cfg.Store.Reader(), row)
	if err != nil {
		return Volume{}, err
	}
	return vs[0], nil
}

// enforceSeen checks a rule against a volume. To one who may not even see it,
// it does not exist.
func (s *Service) enforceSeen(ctx context.Context, rule string, row *volumeRow) error {
	err := s.enforce(ctx, rule, row.target())
	if errors.Is(err, nephos.ErrForbidden) && (rule == "volume:get" || s.enforce(ctx, "volume:get", row.target()) != nil) {
		return volumeNotFound(row.ID)
	}
	return err
}

// ListVolumes implements [Volumes].
func (s *Service) ListVolumes(ctx context.Context, f VolumeFilter, p nephos.Page) ([]Volume, bool, error) {
	if err := s.enforce(ctx, "volume:get_all", own(ctx)); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []volumeRow
	q, err := s.filterVolumes(ctx, selectVolumes(db, &rows), f)
	if err != nil {
		return nil, false, err
	}
	follow, err := find(ctx, db, volumeList(), q, &rows, p, f.Offset)
	if err != nil {
		return nil, false, err
	}
	vs, err := withAttachments(ctx, db, rows...)
	return vs, follow, err
}

// CountVolumes implements [Volumes].
func (s *Service) CountVolumes(ctx context.Context, f VolumeFilter) (int, error) {
	if err := s.enforce(ctx, "volume:get_all", own(ctx)); err != nil {
		return 0, err
	}
	q, err := s.filterVolumes(ctx, s.cfg.Store.Reader().NewSelect().Model((*volumeRow)(nil)), f)
	if err != nil {
		return 0, err
	}
	n, err := q.Count(ctx)
	return int(n), err
}

// SummarizeVolumes implements [Volumes].
func (s *Service) SummarizeVolumes(ctx context.Context, f VolumeFilter) (VolumeSummary, error) {
	if err := s.enforce(ctx, "volume:get_all", own(ctx)); err != nil {
		return VolumeSummary{}, err
	}
	var rows []volumeRow
	q := s.cfg.Store.Reader().NewSelect().Model(&rows).Column("id", "size_gib", "metadata").Order("vol.created_at", "vol.id")
	q, err := s.filterVolumes(ctx, q, f)
	if err != nil {
		return VolumeSummary{}, err
	}
	if err := q.Scan(ctx); err != nil {
		return VolumeSummary{}, err
	}
	sum := VolumeSummary{Count: len(rows), Metadata: map[string][]string{}}
	for _, r := range rows {
		sum.SizeGiB += r.SizeGiB
		for k, v := range r.Metadata {
			if !slices.Contains(sum.Metadata[k], v) {
				sum.Metadata[k] = append(sum.Metadata[k], v)
			}
		}
	}
	return sum, nil
}
