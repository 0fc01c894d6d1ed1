package image

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
)

// Limits bound what a project may have. In the first block 0 means no limit, in
// the second the default, and a negative number no limit.
type Limits struct {
	TotalMiB  int64 // bytes of all its images, in MiB; checked before an upload begins
	Count     int64 // images
	Uploading int64 // images that are being uploaded at one time

	ImageSize  int64 // bytes of one image; default 1 TiB
	Properties int   // of one image; default 128
	Tags       int   // of one image; default 128
	Members    int   // of one image; default 128
}

func (l Limits) withDefaults() Limits {
	if l.ImageSize == 0 {
		l.ImageSize = 1 << 40
	}
	for _, n := range []*int{&l.Properties, &l.Tags, &l.Members} {
		if *n == 0 {
			*n = 128
		}
	}
	return l
}

// Quota is a limit and how much of it a project uses. Limit is -1 where there is
// none.
type Quota struct{ Usage, Limit int64 }

// Quotas is what the Image API's usage needs.
type Quotas interface {
	// Usage returns the caller's project's quotas by their names: image_size_total
	// (MiB), image_stage_total (MiB, of images that wait for an import),
	// image_count_total, image_count_uploading.
	Usage(ctx context.Context) (map[string]Quota, error)
}

// The names of the quotas.
const (
	quotaSize      = "image_size_total"
	quotaStage     = "image_stage_total"
	quotaCount     = "image_count_total"
	quotaUploading = "image_count_uploading"
)

// Usage implements [Quotas].
func (s *Service) Usage(ctx context.Context) (map[string]Quota, error) {
	c, _ := nephos.CallerFrom(ctx)
	if err := s.enforce(ctx, "get_images", policy.Target{"project_id": orNil(c.ProjectID)}); err != nil {
		return nil, err
	}
	u, err := usageOf(ctx, s.cfg.Store.Reader(), c.ProjectID)
	if err != nil {
		return nil, err
	}
	l := s.cfg.Limits
	return map[string]Quota{
		quotaSize:      {u.Bytes >> 20, orUnlimited(l.TotalMiB)},
		quotaStage:     {u.Staged >> 20, -1},
		quotaCount:     {u.Count, orUnlimited(l.Count)},
		quotaUploading: {u.Uploading, orUnlimited(l.Uploading)},
	}, nil
}

func orUnlimited(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}

type usage struct{ Bytes, Staged, Count, Uploading int64 }

// usageOf counts what a project has.
func usageOf(ctx context.Context, db bun.IDB, project string) (usage, error) {
	var u usage
	err := db.NewRaw(`SELECT CAST(COALESCE(SUM(CASE WHEN status = ? THEN 0 ELSE size END), 0) AS BIGINT),
		CAST(COALESCE(SUM(CASE WHEN status = ? THEN size ELSE 0 END), 0) AS BIGINT), COUNT(*), COALESCE(SUM(CASE WHEN status IN (?, ?) THEN 1 ELSE 0 END), 0)
		FROM image_images WHERE owner = ?`, Uploading, Uploading, Saving, Uploading, project).Scan(ctx, &u.Bytes, &u.Staged, &u.Count, &u.Uploading)
	return u, err
}

// checkCreate refuses one more image of a project that has enough.
func (l Limits) checkCreate(ctx context.Context, db bun.IDB, project string) error {
	if l.Count <= 0 {
		return nil
	}
	u, err := usageOf(ctx, db, project)
	if err != nil {
		return err
	}
	return overQuota(project, quotaCount, u.Count, 1, l.Count)
}

// checkUpload refuses one more upload of a project that is over its quota. As in
// Glance, an upload may pass the limit on bytes: it stops the next one.
func (l Limits) checkUpload(ctx context.Context, db bun.IDB, project string) error {
	if l.TotalMiB <= 0 && l.Uploading <= 0 {
		return nil
	}
	u, err := usageOf(ctx, db, project)
	if err != nil {
		return err
	}
	if err := l.checkSize(project, u); err != nil {
		return err
	}
	if l.Uploading > 0 {
		return overQuota(project, quotaUploading, u.Uploading, 1, l.Uploading)
	}
	return nil
}

func (l Limits) checkSize(project string, u usage) error {
	if l.TotalMiB <= 0 {
		return nil
	}
	return overQuota(project, quotaSize, u.Bytes>>20, 0, l.TotalMiB)
}

func overQuota(project, name string, used, delta, limit int64) error {
	if used+delta <= limit {
		return nil
	}
	return nephos.Errorf(nephos.ErrQuota, "The request returned a 413 Request Entity Too Large. This generally means that rate limiting "+
		"or a quota threshold was breached.\n\nThe response body:\nProject %s is over a limit for [Resource %s is over limit of %d "+
		"due to current usage %d and delta %d]", project, name, limit, used, delta).WithReason(name)
}

func (l Limits) checkTags(n int) error {
	if l.Tags < 0 || n <= l.Tags {
		return nil
	}
	return nephos.Errorf(nephos.ErrTooLarge, "The limit has been exceeded on the number of allowed image tags. Attempted: %d, Maximum: %d", n, l.Tags).WithField("tags")
}

func (l Limits) checkProperties(n int) error {
	if l.Properties < 0 || n <= l.Properties {
		return nil
	}
	return nephos.Errorf(nephos.ErrTooLarge, "The limit has been exceeded on the number of allowed image properties. Attempted: %d, Maximum: %d", n, l.Properties)
}

func (l Limits) checkMembers(n int) error {
	if l.Members < 0 || n <= l.Members {
		return nil
	}
	return nephos.Errorf(nephos.ErrTooLarge, "The limit has been exceeded on the number of allowed image members for this image. Attempted: %d, Maximum: %d", n, l.Members)
}
