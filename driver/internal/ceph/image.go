//go:build ceph

package ceph

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/nephos-cloud/nephos"
)

// Ghost begins the names of images that are deleted but whose bytes others share.
const Ghost = "deleted-"

// Create makes a blank image.
func (p *Pool) Create(name string, size int64) error {
	o := rbd.NewRbdImageOptions()
	defer o.Destroy()
	err := o.SetUint64(rbd.ImageOptionFeatures, rbd.FeatureLayering|rbd.FeatureExclusiveLock|rbd.FeatureObjectMap|rbd.FeatureFastDiff|rbd.FeatureDeepFlatten)
	if err == nil && p.cfg.DataPool != "" {
		err = o.SetString(rbd.ImageOptionDataPool, p.cfg.DataPool)
	}
	if err == nil {
		err = rbd.CreateImage(p.IO, name, uint64(size), o)
	}
	return Meaning(err)
}

// Clone makes an image that shares what the snapshot of the parent, in a pool of
// the same cluster, has until one of them is written to. A chain that has grown
// too long ends here: the image becomes independent.
func (p *Pool) Clone(parent *rados.IOContext, image, snapshot, name string) error {
	o := rbd.NewRbdImageOptions()
	defer o.Destroy()
	if p.cfg.DataPool != "" {
		if err := o.SetString(rbd.ImageOptionDataPool, p.cfg.DataPool); err != nil {
			return Meaning(err)
		}
	}
	if err := rbd.CloneImage(parent, image, snapshot, p.IO, name, o); err != nil {
		return err
	}
	depth, err := p.depth(p.IO, name)
	if err != nil || depth <= p.cfg.CloneDepth {
		return err
	}
	return p.Flatten(name)
}

// Flatten makes an image independent of its parent.
func (p *Pool) Flatten(name string) error {
	im, err := rbd.OpenImage(p.IO, name, rbd.NoSnapshot)
	if err != nil {
		return err
	}
	parent, err := im.GetParent()
	if Is(err, ENOENT) {
		return im.Close() // it is
	}
	if err == nil {
		err = im.Flatten()
	}
	if err := errors.Join(err, im.Close()); err != nil {
		return Meaning(err)
	}
	p.forget(parent)
	return nil
}

// depth counts the generations above an image.
func (p *Pool) depth(io *rados.IOContext, name string) (int, error) {
	im, err := rbd.OpenImageReadOnly(io, name, rbd.NoSnapshot)
	if err != nil {
		return 0, Meaning(err)
	}
	parent, err := im.GetParent()
	if err := im.Close(); err != nil {
		return 0, Meaning(err)
	}
	if Is(err, ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, Meaning(err)
	}
	above, err := p.Other(parent.Image.PoolName, parent.Image.PoolNamespace)
	if err != nil {
		return 0, Meaning(err)
	}
	defer above.Destroy()
	n, err := p.depth(above, parent.Image.ImageName)
	return n + 1, err
}

// Remove removes an image and its snapshots. One whose bytes others share gets
// another name instead, and goes when the last of them goes. That it is not there
// is no error.
func (p *Pool) Remove(name string) error { return p.remove(p.IO, name) }

func (p *Pool) remove(io *rados.IOContext, name string) error {
	im, err := rbd.OpenImage(io, name, rbd.NoSnapshot)
	if Is(err, ENOENT) {
		// Nothing, or what is left of an image that was half made or half removed.
		if err := rbd.RemoveImage(io, name); err != nil && !Is(err, ENOENT) {
			return Meaning(err)
		}
		return nil
	}
	if err != nil {
		return Meaning(err)
	}
	shared, parent, err := p.strip(im)
	if err := errors.Join(err, im.Close()); err != nil {
		return Meaning(err)
	}
	if shared {
		if strings.HasPrefix(name, Ghost) {
			return nil
		}
		return Meaning(rbd.GetImage(io, name).Rename(Ghost + nephos.IDs{}.Hex()))
	}
	if err := rbd.RemoveImage(io, name); err != nil && !Is(err, ENOENT) {
		return Meaning(err)
	}
	p.forget(parent)
	return nil
}

// strip removes an image's snapshots, and tells whether others share its bytes
// and whose it shares.
func (p *Pool) strip(im *rbd.Image) (shared bool, parent *rbd.ParentInfo, err error) {
	snaps, err := im.GetSnapshotNames()
	if err != nil {
		return false, nil, err
	}
	for _, s := range snaps {
		if err := im.GetSnapshot(s.Name).Remove(); err != nil && !Is(err, ENOENT) {
			return false, nil, fmt.Errorf("removing snapshot %s: %w", s.Name, err)
		}
	}
	children, err := im.ListChildrenAttributes()
	if err != nil {
		return false, nil, err
	}
	parent, err = im.GetParent()
	if Is(err, ENOENT) {
		return len(children) > 0, nil, nil
	}
	return len(children) > 0, parent, err
}

// forget removes a parent that only waited for its last child to go.
func (p *Pool) forget(parent *rbd.ParentInfo) {
	if parent == nil || !strings.HasPrefix(parent.Image.ImageName, Ghost) {
		return
	}
	io, err := p.Other(parent.Image.PoolName, parent.Image.PoolNamespace)
	if err != nil {
		return // it is swept later
	}
	defer io.Destroy()
	_ = p.remove(io, parent.Image.ImageName)
}

// Sweep removes images that nobody needs: ghosts without children, and those for
// which stale says so. What is in use stays. It returns how many went.
func (p *Pool) Sweep(stale func(name string) bool) (int, error) {
	names, err := rbd.GetImageNames(p.IO)
	if err != nil {
		return 0, Meaning(err)
	}
	n := 0
	for _, name := range names {
		if (strings.HasPrefix(name, Ghost) || stale(name)) && p.remove(p.IO, name) == nil {
			n++
		}
	}
	return n, nil
}
