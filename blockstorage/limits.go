package blockstorage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/store"
)

// limits is what the specs mean for a volume of that size. Specs for the storage
// alone mean nothing.
func (q *QoS) limits(sizeGiB int) (driver.Limits, error) {
	var l driver.Limits
	if q.Consumer == QoSBackEnd {
		return l, nil
	}
	var err error
	number := func(key string) (n int64, given bool) {
		text, given := q.Specs[key]
		if !given || text == "" {
			return 0, false
		}
		n, e := strconv.ParseInt(text, 10, 64)
		if e != nil || n < 0 {
			err = errors.Join(err, invalidQoS("%s is %s, and must be a number of at least 0", key, clip(text)))
		}
		return n, true
	}
	for _, of := range []struct {
		key       string
		rate, max *int64
	}{
		{"total_bytes_sec", &l.TotalBytesSec, &l.TotalBytesSecMax},
		{"read_bytes_sec", &l.ReadBytesSec, &l.ReadBytesSecMax},
		{"write_bytes_sec", &l.WriteBytesSec, &l.WriteBytesSecMax},
		{"total_iops_sec", &l.TotalIOPS, &l.TotalIOPSMax},
		{"read_iops_sec", &l.ReadIOPS, &l.ReadIOPSMax},
		{"write_iops_sec", &l.WriteIOPS, &l.WriteIOPSMax},
	} {
		*of.rate, _ = number(of.key)
		most, bounded := number(of.key + "_max")
		perGiB, ok := number(of.key + "_per_gb")
		least, _ := number(of.key + "_per_gb_min")
		if !ok {
			*of.max = most
			continue
		}
		// A rate that grows with the volume is bounded by the maximum, which then is
		// no burst.
		rate := int64(math.MaxInt64)
		if perGiB <= math.MaxInt64/int64(max(sizeGiB, 1)) {
			rate = max(perGiB*int64(sizeGiB), least)
		}
		if bounded {
			rate = min(rate, most)
		}
		*of.rate = rate
	}
	l.SizeIOPS, _ = number("size_iops_sec")
	if err == nil {
		if e := l.Validate(); e != nil {
			err = invalidQoS("%s", e)
		}
	}
	return l, err
}

// limitsFor is what the QoS specs of a type mean for a volume of that size.
func limitsFor(ctx context.Context, db bun.IDB, t Type, sizeGiB int) (driver.Limits, error) {
	q, err := loadQoS(ctx, db, t.QoSID)
	if err != nil || q == nil {
		return driver.Limits{}, err
	}
	return q.limits(sizeGiB)
}

// limitVolume tells the pool what limits a volume has by now, before it is
// connected.
func (s *Service) limitVolume(ctx context.Context, pool *volume.Pool, row *volumeRow) error {
	db := s.cfg.Store.Reader()
	t, err := loadType(ctx, db, row.TypeID)
	if err != nil {
		return err
	}
	limits, err := limitsFor(ctx, db, t, row.SizeGiB)
	if err != nil || limits.IsZero() && !row.Limited {
		return err
	}
	if !row.Limited {
		// Written down first: by that they are lifted some day.
		if err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.NewRaw("UPDATE blockstorage_volumes SET limited = ? WHERE id = ?", true, row.ID).Exec(ctx)
			return err
		}); err != nil {
			return err
		}
	}
	if limits.IsZero() && !pool.Can(volume.AbilityLimiter) {
		return nil
	}
	if err := pool.SetLimits(ctx, row.ID, limits); err != nil {
		return fmt.Errorf("limiting volume %s as its type asks: %w", row.ID, err)
	}
	return nil
}

// limiting narrows the pools that can to those that honour the limits.
func limiting(limits driver.Limits, can func(*volume.Pool) bool) func(*volume.Pool) bool {
	return func(p *volume.Pool) bool { return can(p) && (limits.IsZero() || p.Can(volume.AbilityLimiter)) }
}

// checkRetypeQoS refuses to change the limits that a guest's connection carries.
func checkRetypeQoS(ctx context.Context, db bun.IDB, row *volumeRow, t Type) (allowed bool, err error) {
	if row.Status != InUse {
		return true, nil
	}
	was, err := loadType(ctx, db, row.TypeID)
	if err != nil || was.QoSID == t.QoSID {
		return true, err
	}
	for _, id := range []string{was.QoSID, t.QoSID} {
		q, err := loadQoS(ctx, db, id)
		if err != nil {
			return false, err
		}
		if q != nil && q.Consumer != QoSBackEnd {
			return false, nil
		}
	}
	return true, nil
}

// QoS writes the limits that the attachment's connection carries as QoS specs.
func (a Attachment) QoS() map[string]string {
	if a.Connection == nil || a.Connection.Limits == nil {
		return nil
	}
	l, out := a.Connection.Limits, map[string]string{}
	for key, n := range map[string]int64{
		"total_bytes_sec": l.TotalBytesSec, "read_bytes_sec": l.ReadBytesSec, "write_bytes_sec": l.WriteBytesSec,
		"total_iops_sec": l.TotalIOPS, "read_iops_sec": l.ReadIOPS, "write_iops_sec": l.WriteIOPS,
		"total_bytes_sec_max": l.TotalBytesSecMax, "read_bytes_sec_max": l.ReadBytesSecMax, "write_bytes_sec_max": l.WriteBytesSecMax,
		"total_iops_sec_max": l.TotalIOPSMax, "read_iops_sec_max": l.ReadIOPSMax, "write_iops_sec_max": l.WriteIOPSMax,
		"size_iops_sec": l.SizeIOPS,
	} {
		if n > 0 {
			out[key] = strconv.FormatInt(n, 10)
		}
	}
	return out
}
