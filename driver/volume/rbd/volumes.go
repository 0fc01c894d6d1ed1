//go:build ceph

package rbd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ceph/go-ceph/rbd"
	"golang.org/x/sync/errgroup"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// Create implements volume.Driver.
func (d *Driver) Create(ctx context.Context, id string, spec volume.Spec) error {
	err := d.make(ctx, id, spec, func(name string) error {
		return d.pool.Create(name, int64(spec.SizeGiB)*gibibyte)
	})
	if err != nil {
		return fmt.Errorf("creating volume %s: %w", id, err)
	}
	return nil
}

// Delete implements volume.Driver. A volume with snapshots stays. One that copies
// share bytes with is gone at once, and its bytes when the last of them is.
func (d *Driver) Delete(ctx context.Context, id string) error {
	if err := volume.CheckID("volume ID", id); err != nil {
		return err
	}
	err := d.locked(ctx, id, func() error {
		err := d.with(id, func(im *rbd.Image) error {
			if err := unused(im, id); err != nil {
				return err
			}
			snaps, err := snapshots(im)
			if err == nil && len(snaps) > 0 {
				err = nephos.Errorf(nephos.ErrConflict, "volume %s has snapshots", id)
			}
			return err
		})
		if err != nil && !errors.Is(err, nephos.ErrNotFound) {
			return err
		}
		if err := d.remove(ctx, volumePrefix+id); err != nil {
			return err
		}
		d.remember(id, 0)
		return nil
	})
	if err != nil {
		return fmt.Errorf("deleting volume %s: %w", id, err)
	}
	return nil
}

// lingerStep is how often a dead client is looked for.
const lingerStep = time.Second

// remove removes an image, and waits for clients that died.
func (d *Driver) remove(ctx context.Context, name string) error {
	for waited := time.Duration(0); ; waited += lingerStep {
		err := d.pool.Remove(name)
		if !ceph.Is(err, ceph.EBUSY) || waited >= d.cfg.Linger {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.cfg.Clock.After(lingerStep):
		}
	}
}

// Get implements volume.Driver.
func (d *Driver) Get(ctx context.Context, id string) (volume.Volume, error) {
	return ceph.Ask(ctx, d.pool, func() (volume.Volume, error) { return d.view(id) })
}

func (d *Driver) view(id string) (volume.Volume, error) {
	v := volume.Volume{ID: id, Format: volume.FormatRaw}
	err := d.with(id, func(im *rbd.Image) error {
		n, err := size(im)
		if err != nil {
			return err
		}
		v.SizeGiB = ceilGiB(n)
		snaps, err := snapshots(im)
		for _, s := range snaps {
			v.Snapshots = append(v.Snapshots, strings.TrimPrefix(s.Name, snapshotPrefix))
		}
		return err
	})
	if err != nil {
		return volume.Volume{}, err
	}
	d.remember(id, v.SizeGiB)
	return v, nil
}

// lookers is how many images are opened at a time to look at them.
const lookers = 8

// ids returns the IDs of all volumes, sorted.
func (d *Driver) ids() ([]string, error) {
	names, err := rbd.GetImageNames(d.pool.IO)
	if err != nil {
		return nil, ceph.Meaning(err)
	}
	var ids []string
	for _, name := range names {
		if id, ok := strings.CutPrefix(name, volumePrefix); ok && volume.CheckID("ID", id) == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// List implements volume.Driver, in the order of the IDs.
func (d *Driver) List(ctx context.Context) ([]volume.Volume, error) {
	out, err := ceph.Ask(ctx, d.pool, func() ([]volume.Volume, error) {
		ids, err := d.ids()
		if err != nil {
			return nil, err
		}
		return d.views(ctx, ids)
	})
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	return out, nil
}

// views looks at volumes, side by side; one deleted meanwhile is left out.
func (d *Driver) views(ctx context.Context, ids []string) ([]volume.Volume, error) {
	found := make([]*volume.Volume, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookers)
	for i, id := range ids {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			v, err := d.view(id)
			if errors.Is(err, nephos.ErrNotFound) {
				return nil
			}
			found[i] = &v
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make([]volume.Volume, 0, len(found))
	for _, v := range found {
		if v != nil {
			out = append(out, *v)
		}
	}
	return out, nil
}

// Stats implements volume.Driver. What is allocated are the sizes of the volumes;
// what is free is what the cluster would still store in the pool.
func (d *Driver) Stats(ctx context.Context) (volume.Stats, error) {
	s, err := ceph.Ask(ctx, d.pool, func() (volume.Stats, error) { return d.stats(ctx) })
	if err != nil {
		return volume.Stats{}, fmt.Errorf("asking for the pool's capacity: %w", err)
	}
	return s, nil
}

func (d *Driver) stats(ctx context.Context) (volume.Stats, error) {
	s := volume.Stats{TotalGiB: -1, FreeGiB: -1, Backend: d.cfg.Backend, Protocol: "ceph", Thin: true}
	ids, err := d.ids()
	if err != nil {
		return s, err
	}
	var unknown []string
	d.mu.Lock()
	for _, id := range ids {
		if n, ok := d.sizes[id]; ok {
			s.AllocatedGiB += float64(n)
		} else {
			unknown = append(unknown, id)
		}
	}
	d.mu.Unlock()
	vs, err := d.views(ctx, unknown)
	if err != nil {
		return s, err
	}
	for _, v := range vs {
		s.AllocatedGiB += float64(v.SizeGiB)
	}
	var df struct {
		Pools []struct {
			Name  string `json:"name"`
			Stats struct {
				Stored   float64 `json:"stored"`
				MaxAvail float64 `json:"max_avail"`
			} `json:"stats"`
		} `json:"pools"`
	}
	if err := d.monCommand(map[string]string{"prefix": "df", "format": "json"}, &df); err != nil {
		return s, err
	}
	name := d.cfg.Pool
	if d.cfg.DataPool != "" {
		name = d.cfg.DataPool
	}
	for _, p := range df.Pools {
		if p.Name == name && p.Stats.MaxAvail > 0 { // zero: no manager counts
			s.FreeGiB = p.Stats.MaxAvail / gibibyte
			s.TotalGiB = s.FreeGiB + p.Stats.Stored/gibibyte
		}
	}
	return s, nil
}

// Extend implements volume.Extender, for a volume in use as well: its hypervisor
// has to be told.
func (d *Driver) Extend(ctx context.Context, id string, sizeGiB int, _ volume.ExtendOptions) error {
	if err := errors.Join(volume.CheckID("volume ID", id), volume.Spec{SizeGiB: sizeGiB}.Check()); err != nil {
		return err
	}
	err := d.locked(ctx, id, func() error {
		return d.with(id, func(im *rbd.Image) error {
			n, err := size(im)
			if err != nil {
				return err
			}
			if ceilGiB(n) > sizeGiB {
				return nephos.Errorf(nephos.ErrInvalid, "%d GiB is smaller than the %d GiB that %s has", sizeGiB, ceilGiB(n), id).WithField("size")
			}
			if n < int64(sizeGiB)*gibibyte {
				if err := im.Resize(uint64(sizeGiB) * gibibyte); err != nil {
					return ceph.Meaning(err)
				}
			}
			d.remember(id, sizeGiB)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("extending volume %s: %w", id, err)
	}
	return nil
}
