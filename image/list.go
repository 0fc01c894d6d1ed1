package image

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// SortKeys are the keys that a list of images can be ordered by.
func SortKeys() []string {
	return []string{"name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"}
}

// maxList bounds a page.
const maxList = 1000

// ListImages implements [Images].
func (s *Service) ListImages(ctx context.Context, f Filter, p nephos.Page) ([]Image, bool, error) {
	c, _ := nephos.CallerFrom(ctx)
	if err := s.enforce(ctx, "get_images", policy.Target{"project_id": orNil(c.ProjectID)}); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	if p.Limit <= 0 || p.Limit > maxList {
		p.Limit = maxList
	}
	var rows []imageRow
	q, err := f.where(s.listed(ctx, db.NewSelect().Model(&rows), f, c.ProjectID))
	if err != nil {
		return nil, false, err
	}
	order, err := orderOf(p.Sort)
	if err != nil {
		return nil, false, err
	}
	if p.Marker != "" { // one that the caller sees
		if _, err := s.loadRow(ctx, db, p.Marker); errors.Is(err, nephos.ErrNotFound) {
			return nil, false, order.Missing(p.Marker)
		} else if err != nil {
			return nil, false, err
		}
	}
	more, err := store.ReadPage(ctx, db, order, q, &rows, p)
	if err != nil {
		return nil, false, err
	}
	imgs, err := whole(ctx, db, rows)
	if err != nil {
		return nil, false, err
	}
	imgs = slices.DeleteFunc(imgs, func(img Image) bool { return s.enforceOn(ctx, "get_image", img) != nil })
	return imgs, more, nil
}

// listed leaves of a query what the caller's lists show.
func (s *Service) listed(ctx context.Context, q *bun.SelectQuery, f Filter, project string) *bun.SelectQuery {
	if !s.seesAll(ctx) {
		q = q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
			q = q.Where("image.visibility IN (?)", bun.List([]string{Public, Community}))
			if project == "" {
				return q
			}
			// LOWER keeps the planner from looking at all shared images instead.
			member := "LOWER(image.visibility) = ? AND image.id IN (SELECT m.image_id FROM image_members m WHERE m.member_id = ?"
			args := []any{Shared, project}
			if f.MemberStatus != "all" {
				member += " AND m.status = ?"
				status := f.MemberStatus
				if status == "" {
					status = Accepted
				}
				args = append(args, status)
			}
			return q.WhereOr("image.owner = ?", project).WhereOr(member+")", args...)
		})
	}
	switch {
	case f.Visibility == "all":
	case f.Visibility != "":
		q = q.Where("image.visibility = ?", f.Visibility)
	case project == "":
		q = q.Where("image.visibility <> ?", Community)
	default:
		q = q.Where("(image.visibility <> ? OR image.owner = ?)", Community, project)
	}
	return q
}

// where adds the filter's conditions.
func (f Filter) where(q *bun.SelectQuery) (*bun.SelectQuery, error) {
	for _, in := range []struct {
		column string
		values []string
	}{
		{"id", f.ID},
		{"name", f.Name},
		{"status", f.Status},
		{"disk_format", f.DiskFormat},
		{"container_format", f.ContainerFormat},
	} {
		switch {
		case in.values == nil:
		case len(in.values) == 0:
			q = q.Where("1 = 0")
		default:
			q = q.Where("? IN (?)", column(in.column), bun.List(in.values))
		}
	}
	for _, eq := range []struct {
		column string
		value  *string
	}{{"owner", f.Owner}, {"checksum", f.Checksum}, {"hash_value", f.HashValue}} {
		if eq.value != nil {
			q = q.Where("? = ?", column(eq.column), *eq.value)
		}
	}
	for _, b := range []struct {
		column string
		value  *bool
	}{{"protected", f.Protected}, {"hidden", f.Hidden}} {
		if b.value != nil {
			q = q.Where("? = ?", column(b.column), *b.value)
		}
	}
	for _, t := range f.Tags {
		q = q.Where("EXISTS (SELECT 1 FROM image_tags t WHERE t.image_id = image.id AND t.tag = ?)", t)
	}
	for k, v := range f.Properties {
		q = q.Where("EXISTS (SELECT 1 FROM image_properties p WHERE p.image_id = image.id AND p.name = ? AND p.value = ?)", k, v)
	}
	for _, n := range f.Numbers {
		ops := map[string]string{"eq": "=", "gte": ">=", "lte": "<="}
		if ops[n.Op] == "" || !slices.Contains([]string{"size", "virtual_size", "min_disk", "min_ram"}, n.Field) {
			return nil, nephos.Errorf(nephos.ErrInvalid, "Unable to filter %s by operator '%s'.", clip(n.Field), clip(n.Op))
		}
		q = q.Where("? "+ops[n.Op]+" ?", column(n.Field), n.Value)
	}
	for _, t := range f.Times {
		var err error
		if q, err = t.where(q); err != nil {
			return nil, err
		}
	}
	return q, nil
}

func column(name string) bun.Safe { return bun.Safe("image." + name) }

// where adds the condition. A shown time stands for its whole second.
func (t TimeMatch) where(q *bun.SelectQuery) (*bun.SelectQuery, error) {
	if t.Field != "created_at" && t.Field != "updated_at" {
		return nil, nephos.Errorf(nephos.ErrInvalid, "Unable to filter %s by time.", clip(t.Field))
	}
	col := column(t.Field)
	from := t.Value.UTC().Truncate(time.Second)
	to := from.Add(time.Second)
	switch t.Op {
	case "gt":
		return q.Where("? >= ?", col, to), nil
	case "gte":
		return q.Where("? >= ?", col, from), nil
	case "lt":
		return q.Where("? < ?", col, from), nil
	case "lte":
		return q.Where("? < ?", col, to), nil
	case "eq":
		return q.Where("? >= ? AND ? < ?", col, from, col, to), nil
	case "neq":
		return q.Where("(? < ? OR ? >= ?)", col, from, col, to), nil
	}
	return nil, nephos.Errorf(nephos.ErrInvalid, "Unable to filter by unknown operator '%s'.", clip(t.Op))
}

// orderOf completes an order: it ends with created_at and id, which make it
// total.
func orderOf(sort []nephos.SortKey) (store.Keyset, error) {
	order := store.Keyset{Table: "image_images", Alias: "image", Missing: func(marker string) error {
		return nephos.Errorf(nephos.ErrInvalid, "No image found with ID %s", clip(marker)).WithField("marker")
	}}
	desc := true
	if len(sort) > 0 {
		desc = sort[0].Desc
		for _, k := range sort {
			if k.Desc != desc {
				desc = true
				break
			}
		}
	}
	for _, k := range sort {
		if !slices.Contains(SortKeys(), k.Key) {
			return order, nephos.Errorf(nephos.ErrInvalid, "Invalid sort key: %s. It must be one of the following: %s.",
				clip(k.Key), strings.Join(SortKeys(), ", ")).WithField("sort_key")
		}
		order.Keys = append(order.Keys, store.Key{Expr: sortColumn(k.Key), Desc: k.Desc})
	}
	for _, key := range []string{"created_at", "id"} {
		if expr := sortColumn(key); !order.Has(expr) {
			order.Keys = append(order.Keys, store.Key{Expr: expr, Desc: desc})
		}
	}
	return order, nil
}

// sortColumn is what a key compares: what is not set counts as the least.
func sortColumn(key string) string {
	switch key {
	case "name", "disk_format", "container_format":
		return "COALESCE(@." + key + ", '')"
	case "size":
		return "COALESCE(@.size, -1)"
	}
	return "@." + key
}
