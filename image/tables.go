package image

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

type imageRow struct {
	bun.BaseModel `bun:"table:image_images,alias:image"`

	ID              string `bun:",pk"`
	Name            *string
	Status          string
	Visibility      string
	Owner           *string
	DiskFormat      *string
	ContainerFormat *string
	MinDisk         int64
	MinRAM          int64 `bun:"min_ram"`
	Protected       bool
	Hidden          bool
	Size            *int64
	VirtualSize     *int64
	Checksum        *string
	HashAlgo        *string
	HashValue       *string
	Store           string
	CreatedAt       time.Time
	UpdatedAt       time.Time
	// BlobID names the object that holds the bytes, or is to hold them.
	BlobID *string `bun:"blob_id"`
	// OwnerKey is what EnsureImage was given.
	OwnerKey *string
}

type propertyRow struct {
	bun.BaseModel `bun:"table:image_properties,alias:property"`

	ImageID string `bun:"image_id,pk"`
	Name    string `bun:",pk"`
	Value   string
}

type tagRow struct {
	bun.BaseModel `bun:"table:image_tags,alias:tag"`

	ImageID string `bun:"image_id,pk"`
	Tag     string `bun:",pk"`
}

type memberRow struct {
	bun.BaseModel `bun:"table:image_members,alias:member"`

	ImageID   string `bun:"image_id,pk"`
	MemberID  string `bun:"member_id,pk"`
	Status    string
	CreatedAt time.Time
	UpdatedAt time.Time
}

type uploadRow struct {
	bun.BaseModel `bun:"table:image_uploads,alias:upload"`

	BlobID  string `bun:"blob_id,pk"`
	ImageID string `bun:"image_id"`
	BeatAt  time.Time
}

func (r imageRow) image() Image {
	return Image{
		ID: r.ID, Name: r.Name, Status: r.Status, Visibility: r.Visibility, Owner: deref(r.Owner),
		DiskFormat: deref(r.DiskFormat), ContainerFormat: deref(r.ContainerFormat),
		MinDisk: r.MinDisk, MinRAM: r.MinRAM, Protected: r.Protected, Hidden: r.Hidden,
		Size: r.Size, VirtualSize: r.VirtualSize, Checksum: deref(r.Checksum),
		HashAlgo: deref(r.HashAlgo), HashValue: deref(r.HashValue), Store: r.Store,
		Tags: []string{}, Properties: map[string]string{},
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

// rowOf is the row of an image; what only the row has stays as it is in old.
func rowOf(img Image, old imageRow) imageRow {
	return imageRow{
		ID: img.ID, Name: img.Name, Status: img.Status, Visibility: img.Visibility, Owner: ref(img.Owner),
		DiskFormat: ref(img.DiskFormat), ContainerFormat: ref(img.ContainerFormat),
		MinDisk: img.MinDisk, MinRAM: img.MinRAM, Protected: img.Protected, Hidden: img.Hidden,
		Size: img.Size, VirtualSize: img.VirtualSize, Checksum: ref(img.Checksum),
		HashAlgo: ref(img.HashAlgo), HashValue: ref(img.HashValue), Store: img.Store,
		CreatedAt: img.CreatedAt, UpdatedAt: img.UpdatedAt,
		BlobID: old.BlobID, OwnerKey: old.OwnerKey,
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func ref(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// loadRow returns the row of an image that exists for the caller.
func (s *Service) loadRow(ctx context.Context, db bun.IDB, id string) (imageRow, error) {
	if !uuidForm.MatchString(id) {
		return imageRow{}, notFound(id)
	}
	var row imageRow
	q := s.scope(ctx, db.NewSelect().Model(&row).Where("image.id = ?", id))
	switch err := q.Limit(1).Scan(ctx); {
	case errors.Is(err, sql.ErrNoRows):
		return imageRow{}, notFound(id)
	case err != nil:
		return imageRow{}, err
	}
	return row, nil
}

// scope leaves of a query what exists for the caller.
func (s *Service) scope(ctx context.Context, q *bun.SelectQuery) *bun.SelectQuery {
	if s.seesAll(ctx) {
		return q
	}
	c, _ := nephos.CallerFrom(ctx)
	return q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
		q = q.Where("image.visibility IN (?)", bun.List([]string{Public, Community})).WhereOr("image.owner IS NULL")
		if c.ProjectID == "" {
			return q
		}
		return q.WhereOr("image.owner = ?", c.ProjectID).
			WhereOr("image.visibility = ? AND EXISTS (SELECT 1 FROM image_members m WHERE m.image_id = image.id AND m.member_id = ?)", Shared, c.ProjectID)
	})
}

// load returns an image that exists for the caller, whole.
func (s *Service) load(ctx context.Context, db bun.IDB, id string) (Image, imageRow, error) {
	row, err := s.loadRow(ctx, db, id)
	if err != nil {
		return Image{}, imageRow{}, err
	}
	imgs, err := whole(ctx, db, []imageRow{row})
	if err != nil {
		return Image{}, imageRow{}, err
	}
	return imgs[0], row, nil
}

// whole adds tags and properties to images, in two queries.
func whole(ctx context.Context, db bun.IDB, rows []imageRow) ([]Image, error) {
	imgs := make([]Image, len(rows))
	if len(rows) == 0 {
		return imgs, nil
	}
	ids := make([]string, len(rows))
	at := make(map[string]*Image, len(rows))
	for i, r := range rows {
		imgs[i], ids[i] = r.image(), r.ID
		at[r.ID] = &imgs[i]
	}
	var props []propertyRow
	if err := db.NewSelect().Model(&props).Where("property.image_id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, err
	}
	for _, p := range props {
		at[p.ImageID].Properties[p.Name] = p.Value
	}
	var tags []tagRow
	if err := db.NewSelect().Model(&tags).Where("tag.image_id IN (?)", bun.List(ids)).Order("tag.tag").Scan(ctx); err != nil {
		return nil, err
	}
	for _, t := range tags {
		at[t.ImageID].Tags = append(at[t.ImageID].Tags, t.Tag)
	}
	return imgs, nil
}

// saveChildren writes an image's properties and tags where they differ from
// the old ones.
func saveChildren(ctx context.Context, db bun.IDB, old, img Image) error {
	if !maps.Equal(old.Properties, img.Properties) {
		if len(old.Properties) > 0 {
			if _, err := db.NewRaw("DELETE FROM image_properties WHERE image_id = ?", img.ID).Exec(ctx); err != nil {
				return err
			}
		}
		props := make([]propertyRow, 0, len(img.Properties))
		for _, k := range slices.Sorted(maps.Keys(img.Properties)) {
			props = append(props, propertyRow{ImageID: img.ID, Name: k, Value: img.Properties[k]})
		}
		if len(props) > 0 {
			if _, err := db.NewInsert().Model(&props).Exec(ctx); err != nil {
				return err
			}
		}
	}
	if slices.Equal(old.Tags, img.Tags) {
		return nil
	}
	if len(old.Tags) > 0 {
		if _, err := db.NewRaw("DELETE FROM image_tags WHERE image_id = ?", img.ID).Exec(ctx); err != nil {
			return err
		}
	}
	tags := make([]tagRow, len(img.Tags))
	for i, t := range img.Tags {
		tags[i] = tagRow{ImageID: img.ID, Tag: t}
	}
	if len(tags) == 0 {
		return nil
	}
	_, err := db.NewInsert().Model(&tags).Exec(ctx)
	return err
}
