//go:build ceph

package rbd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
	"github.com/nephos-cloud/nephos/driver/internal/convert"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/internal/keyed"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// Driver implements volume.Driver and its abilities but Grouper, Encrypter and
// Attacher.
type Driver struct {
	cfg   Config
	pool  *ceph.Pool
	tool  convert.Tool
	locks keyed.Locks // of volumes

	mu    sync.Mutex
	sizes map[string]int // GiB of volumes that have been seen
}

const (
	gibibyte       = 1 << 30
	volumePrefix   = "volume-"
	makingPrefix   = "making-"
	snapshotPrefix = "snapshot-"
	// workPrefix begins the names of snapshots that are ours, for a moment.
	workPrefix = "nephos-"
	// The keys of an image's metadata.
	labelPrefix     = "nephos."
	labelCloud      = "nephos.cloud"
	labelID         = "nephos.id"
	labelAttachment = "nephos.attachment."
	labelLimits     = "nephos.limits"
	labelReference  = "nephos.reference" // what it was adopted as
	// making images are removed when they are old.
	makingTime = time.Hour
)

// Open connects to the cluster.
func Open(ctx context.Context, cfg Config) (*Driver, error) {
	d, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening volume pool in Ceph: %w", err)
	}
	return d, nil
}

func open(ctx context.Context, cfg Config) (*Driver, error) {
	cc, err := cfg.check()
	if err != nil {
		return nil, err
	}
	pool, err := ceph.Open(ctx, cc)
	if err != nil {
		return nil, err
	}
	d := &Driver{
		cfg: cfg, pool: pool, sizes: make(map[string]int),
		tool: convert.Tool{Path: cfg.QEMUImg, UID: cfg.UID, GID: cfg.GID, Timeout: cfg.ToolTimeout, Log: cfg.Log},
	}
	err = pool.Do(ctx, func() error {
		if err := d.claim(); err != nil {
			return err
		}
		n, err := pool.Sweep(d.stale)
		if err == nil && n > 0 {
			cfg.Log.Info("removed images that nobody needs", "pool", cfg.Pool, "count", n)
		}
		return err
	})
	if err == nil {
		err = durable.MkdirAll(cfg.Scratch, 0o711)
	}
	if err == nil {
		_, err = durable.Clean(cfg.Scratch)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return d, nil
}

// claim marks a new pool as our cloud's, and refuses another's.
func (d *Driver) claim() error {
	const object, key = "nephos.pool", "cloud"
	values, err := d.pool.IO.GetOmapValues(object, "", "", 10)
	if err != nil && !ceph.Is(err, ceph.ENOENT) {
		return ceph.Meaning(err)
	}
	if id, ok := values[key]; ok {
		if string(id) != d.cfg.CloudID {
			return nephos.Errorf(nephos.ErrConflict, "it belongs to the cloud %q, not to %q; use another pool or namespace", id, d.cfg.CloudID)
		}
		return nil
	}
	return ceph.Meaning(d.pool.IO.SetOmap(object, map[string][]byte{key: []byte(d.cfg.CloudID)}))
}

// stale tells of a volume that somebody began to make and never will.
func (d *Driver) stale(name string) bool {
	if !strings.HasPrefix(name, makingPrefix) {
		return false
	}
	im, err := rbd.OpenImageReadOnly(d.pool.IO, name, rbd.NoSnapshot)
	if err != nil {
		return ceph.Is(err, ceph.ENOENT)
	}
	defer im.Close()
	made, err := im.GetCreateTimestamp()
	return err == nil && d.cfg.Clock.Now().Sub(time.Unix(made.Sec, made.Nsec)) > makingTime
}

// Close implements volume.Driver.
func (d *Driver) Close() error {
	d.pool.Close()
	return nil
}

// locked runs a call about one volume after those before it.
func (d *Driver) locked(ctx context.Context, id string, call func() error) error {
	return d.pool.Do(ctx, func() error {
		unlock, err := d.locks.Lock(ctx, id)
		if err != nil {
			return err
		}
		defer unlock()
		return call()
	})
}

// image opens a volume's image, or says that there is no such volume.
func (d *Driver) image(id, snapshot string) (*rbd.Image, error) {
	if err := volume.CheckID("volume ID", id); err != nil {
		return nil, err
	}
	im, err := rbd.OpenImage(d.pool.IO, volumePrefix+id, snapshot)
	if ceph.Is(err, ceph.ENOENT) {
		return nil, nephos.NotFound("Volume", id)
	}
	if err != nil {
		return nil, fmt.Errorf("opening volume %s: %w", id, ceph.Meaning(err))
	}
	return im, nil
}

// with opens a volume's image for a call.
func (d *Driver) with(id string, call func(im *rbd.Image) error) error {
	im, err := d.image(id, rbd.NoSnapshot)
	if err != nil {
		return err
	}
	return errors.Join(call(im), ceph.Meaning(im.Close()))
}

// snapshots returns the user's snapshots, oldest first.
func snapshots(im *rbd.Image) ([]rbd.SnapInfo, error) {
	all, err := im.GetSnapshotNames()
	if err != nil {
		return nil, ceph.Meaning(err)
	}
	out := all[:0]
	for _, s := range all {
		if strings.HasPrefix(s.Name, snapshotPrefix) {
			out = append(out, s)
		}
	}
	return out, nil
}

// attachments returns the keys of those who are connected.
func attachments(im *rbd.Image) ([]string, error) {
	labels, err := im.ListMetadata()
	if err != nil {
		return nil, ceph.Meaning(err)
	}
	var out []string
	for key := range labels {
		if strings.HasPrefix(key, labelAttachment) {
			out = append(out, key)
		}
	}
	return out, nil
}

// unused gives ErrConflict if anybody is connected.
func unused(im *rbd.Image, id string) error {
	keys, err := attachments(im)
	if err == nil && len(keys) > 0 {
		err = nephos.Errorf(nephos.ErrConflict, "volume %s is connected", id)
	}
	return err
}

func size(im *rbd.Image) (int64, error) {
	n, err := im.GetSize()
	return int64(n), ceph.Meaning(err)
}

func ceilGiB(n int64) int { return int((n + gibibyte - 1) / gibibyte) }

// existing tells whether the volume is there already, in that size.
func (d *Driver) existing(id string, sizeGiB int) (bool, error) {
	var n int64
	err := d.with(id, func(im *rbd.Image) (err error) { n, err = size(im); return err })
	if errors.Is(err, nephos.ErrNotFound) {
		return false, nil
	}
	if err == nil && ceilGiB(n) != sizeGiB {
		err = nephos.Errorf(nephos.ErrConflict, "volume %s exists with %d GiB", id, ceilGiB(n))
	}
	return err == nil, err
}

// make makes a volume: fill makes an image of the name that it is given, of any
// size up to the spec's; it is grown, labelled, and then becomes the volume.
func (d *Driver) make(ctx context.Context, id string, spec volume.Spec, fill func(name string) error) error {
	return d.pool.Do(ctx, func() error { return d.makeNow(ctx, id, spec, fill) })
}

// makeNow is make in the caller's own goroutine, which waits to the end: for what
// reads what the caller owns.
func (d *Driver) makeNow(ctx context.Context, id string, spec volume.Spec, fill func(name string) error) (err error) {
	if err := errors.Join(volume.CheckID("volume ID", id), spec.Check(), ctx.Err()); err != nil {
		return err
	}
	if spec.Encryption != nil {
		return fmt.Errorf("encrypted volumes: %w", errors.ErrUnsupported)
	}
	if there, err := d.existing(id, spec.SizeGiB); there || err != nil {
		return err
	}
	name := makingPrefix + d.cfg.IDs.Hex()
	defer func() {
		if err != nil {
			_ = d.pool.Remove(name)
		}
	}()
	if err := fill(name); err != nil {
		return err
	}
	if err := d.finish(name, id, spec); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = rbd.GetImage(d.pool.IO, name).Rename(volumePrefix + id)
	if ceph.Is(err, ceph.EEXIST) { // another call was faster
		_ = d.pool.Remove(name)
		_, err = d.existing(id, spec.SizeGiB)
		return err
	}
	if err == nil {
		d.remember(id, spec.SizeGiB)
	}
	return ceph.Meaning(err)
}

func (d *Driver) finish(name, id string, spec volume.Spec) error {
	im, err := rbd.OpenImage(d.pool.IO, name, rbd.NoSnapshot)
	if err != nil {
		return ceph.Meaning(err)
	}
	// A copy has all the labels of its source: its own are others.
	labels, err := im.ListMetadata()
	for key := range labels {
		if err == nil && strings.HasPrefix(key, labelPrefix) {
			err = im.RemoveMetadata(key)
		}
	}
	err = ceph.Meaning(err)
	if err == nil {
		err = d.label(im, id, spec.SizeGiB)
	}
	if err == nil {
		err = setLimits(im, spec.Limits)
	}
	return errors.Join(err, ceph.Meaning(im.Close()))
}

func (d *Driver) label(im *rbd.Image, id string, sizeGiB int) error {
	n, err := size(im)
	if err != nil {
		return err
	}
	if want := int64(sizeGiB) * gibibyte; n != want {
		if err := im.Resize(uint64(want)); err != nil {
			return ceph.Meaning(err)
		}
	}
	for key, value := range map[string]string{labelCloud: d.cfg.CloudID, labelID: id} {
		if err := im.SetMetadata(key, value); err != nil {
			return ceph.Meaning(err)
		}
	}
	return nil
}

func (d *Driver) remember(id string, sizeGiB int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sizeGiB == 0 {
		delete(d.sizes, id)
		return
	}
	d.sizes[id] = sizeGiB
}

// monCommand asks the monitors and decodes the answer.
func (d *Driver) monCommand(args map[string]string, out any) error {
	in, err := json.Marshal(args)
	if err != nil {
		return err
	}
	answer, err := d.pool.Command(in)
	if err != nil {
		return ceph.Meaning(err)
	}
	return json.Unmarshal(answer, out)
}
