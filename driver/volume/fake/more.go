package fake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/volume"
)

var (
	_ volume.Retyper       = (*Driver)(nil)
	_ volume.Migrator      = (*Driver)(nil)
	_ volume.Grouper       = (*Driver)(nil)
	_ volume.Adopter       = (*Driver)(nil)
	_ volume.MultiAttacher = (*Driver)(nil)
	_ volume.Limiter       = (*Driver)(nil)
	_ volume.Encrypter     = (*Driver)(nil)
	_ volume.ImageCloner   = (*Driver)(nil)
	_ volume.DiffExporter  = (*Driver)(nil)
	_ volume.DiffImporter  = (*Driver)(nil)
	_ volume.Attacher      = (*Driver)(nil)
)

// Cluster connects fake pools, so that volumes can move from one to another
// without being copied: those made with the same Cluster and different Backends.
type Cluster struct {
	mu    sync.Mutex
	pools map[string]*State
}

// NewCluster returns a cluster without pools.
func NewCluster() *Cluster { return &Cluster{pools: make(map[string]*State)} }

func (c *Cluster) join(name string, s *State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools[name] = s
}

func (c *Cluster) pool(name string) *State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pools[name]
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errors.ErrUnsupported)...)
}

// Retype implements volume.Retyper: all but encryption changes in place.
func (d *Driver) Retype(ctx context.Context, id string, spec volume.Spec) error {
	if err := spec.Check(); err != nil {
		return err
	}
	return d.do(ctx, "Retype", id, func(s *State) error {
		v, err := s.get(id)
		if err != nil {
			return err
		}
		have, want := v.spec.Encryption, spec.Encryption
		switch {
		case (have == nil) != (want == nil) || have != nil && *have != *want:
			return unsupported("retype volume %s: its bytes would have to be encrypted anew", id)
		case spec.SizeGiB != v.SizeGiB:
			return nephos.Errorf(nephos.ErrInvalid, "retype volume %s: it has %d GiB, not %d", id, v.SizeGiB, spec.SizeGiB)
		}
		v.spec = kept(spec)
		return nil
	})
}

// Location implements volume.Migrator.
func (d *Driver) Location(ctx context.Context, id string) (l volume.Location, err error) {
	err = d.do(ctx, "Location", id, func(s *State) error {
		v, err := s.get(id)
		switch {
		case err != nil:
			return err
		case len(v.attachments) > 0:
			return nephos.Errorf(nephos.ErrConflict, "volume %s is connected", id)
		}
		l = volume.Location{Type: "fake", Name: id, Format: v.Format, SizeGiB: v.SizeGiB, Options: map[string]string{"pool": d.cfg.Backend}}
		return nil
	})
	return l, err
}

// MigrateIn implements volume.Migrator.
func (d *Driver) MigrateIn(ctx context.Context, id string, spec volume.Spec, from volume.Location) error {
	var pool *State
	if from.Type == "fake" && d.cfg.Cluster != nil {
		pool = d.cfg.Cluster.pool(from.Options["pool"])
	}
	if pool == nil {
		return unsupported("take over volume %s: no way to a pool of type %q", id, from.Type)
	}
	content, err := pool.look(from.Name, spec.SizeGiB)
	if err != nil {
		return err
	}
	return d.make(ctx, "MigrateIn", id, spec, func(*State) ([]byte, error) { return content, nil })
}

func (s *State) look(id string, sizeGiB int) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.get(id)
	if err != nil {
		return nil, err
	}
	return v.content, notSmaller(sizeGiB, v.SizeGiB)
}

// CreateGroupSnapshot implements volume.Grouper.
func (d *Driver) CreateGroupSnapshot(ctx context.Context, groupID string, members []volume.GroupMember) error {
	for _, m := range members {
		if err := errors.Join(volume.CheckID("volume ID", m.VolumeID), volume.CheckID("snapshot ID", m.SnapshotID)); err != nil {
			return err
		}
	}
	return d.do(ctx, "CreateGroupSnapshot", groupID, func(s *State) error {
		for _, m := range members {
			if _, err := s.get(m.VolumeID); err != nil {
				return err
			}
		}
		for _, m := range members {
			if v := s.volumes[m.VolumeID]; v.snapshot(m.SnapshotID) == nil {
				v.snapshots = append(v.snapshots, snap{id: m.SnapshotID, sizeGiB: v.SizeGiB, content: v.content})
			}
		}
		return nil
	})
}

// lying is something in the pool that is no volume.
type lying struct {
	sizeBytes int64
	content   []byte
}

// Lay puts something into the pool that is no volume yet, as an operator does.
func (s *State) Lay(reference string, sizeBytes int64, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lay(reference, lying{sizeBytes, content})
}

func (s *State) lay(reference string, l lying) {
	if s.lying == nil {
		s.lying = make(map[string]lying)
	}
	s.lying[reference] = l
}

// ListAdoptable implements volume.Adopter.
func (d *Driver) ListAdoptable(ctx context.Context) (list []volume.Adoptable, err error) {
	err = d.look(ctx, "ListAdoptable", func(s *State) error {
		for ref, l := range s.lying {
			list = append(list, volume.Adoptable{Reference: ref, SizeBytes: l.sizeBytes})
		}
		for id, v := range s.volumes {
			list = append(list, volume.Adoptable{Reference: id, SizeBytes: int64(v.SizeGiB) << 30, VolumeID: id, Reason: "it is a volume already"})
		}
		slices.SortFunc(list, func(a, b volume.Adoptable) int { return strings.Compare(a.Reference, b.Reference) })
		return nil
	})
	return list, err
}

// Adopt implements volume.Adopter.
func (d *Driver) Adopt(ctx context.Context, id, reference string) (out volume.Volume, err error) {
	if err := volume.CheckID("volume ID", id); err != nil {
		return out, err
	}
	if err := volume.CheckID("reference", reference); err != nil {
		return out, err
	}
	err = d.do(ctx, "Adopt", id, func(s *State) error {
		if v, ok := s.volumes[id]; ok {
			if v.reference != reference {
				return nephos.Errorf(nephos.ErrConflict, "volume %s exists", id)
			}
			out = v.view()
			return nil
		}
		l, ok := s.lying[reference]
		if !ok {
			for other, v := range s.volumes {
				if other == reference || v.reference == reference {
					return nephos.Errorf(nephos.ErrConflict, "%s is volume %s already", reference, other)
				}
			}
			return nephos.NotFound("Reference", reference)
		}
		size := int((l.sizeBytes + 1<<30 - 1) >> 30)
		v := &vol{Volume: volume.Volume{ID: id, SizeGiB: max(1, size), Format: volume.FormatRaw}, content: l.content, reference: reference}
		v.spec = volume.Spec{SizeGiB: v.SizeGiB}
		delete(s.lying, reference)
		s.volumes[id] = v
		out = v.view()
		return nil
	})
	return out, err
}

// Release implements volume.Adopter.
func (d *Driver) Release(ctx context.Context, id string) (reference string, err error) {
	err = d.do(ctx, "Release", id, func(s *State) error {
		v, err := s.get(id)
		switch {
		case err != nil:
			return err
		case len(v.attachments) > 0:
			return nephos.Errorf(nephos.ErrConflict, "volume %s is connected", id)
		case len(v.snapshots) > 0:
			return nephos.Errorf(nephos.ErrConflict, "volume %s has snapshots", id)
		}
		reference = id
		if v.reference != "" {
			reference = v.reference
		}
		s.lay(reference, lying{int64(v.SizeGiB) << 30, v.content})
		delete(s.volumes, id)
		return nil
	})
	return reference, err
}

// MultiAttach implements volume.MultiAttacher: to any number of hosts.
func (d *Driver) MultiAttach() (hosts int) { return -1 }

// SetLimits implements volume.Limiter: connections carry them.
func (d *Driver) SetLimits(ctx context.Context, id string, limits driver.Limits) error {
	if err := limits.Validate(); err != nil {
		return err
	}
	return d.do(ctx, "SetLimits", id, func(s *State) error {
		v, err := s.get(id)
		if err != nil {
			return err
		}
		v.spec.Limits = nil
		if !limits.IsZero() {
			v.spec.Limits = &limits
		}
		return nil
	})
}

// EncryptionFormats implements volume.Encrypter: connections carry it, and
// nothing is encrypted.
func (d *Driver) EncryptionFormats() []string { return []string{"luks", "luks2"} }

// CloneImage implements volume.ImageCloner, by Config.Image.
func (d *Driver) CloneImage(ctx context.Context, id string, spec volume.Spec, image volume.ImageLocation) error {
	if err := image.Check(spec.SizeGiB); err != nil {
		return err
	}
	if d.cfg.Image == nil {
		return unsupported("clone an image for volume %s: the pool knows no images", id)
	}
	content, err := d.cfg.Image(ctx, image.Location)
	if err != nil {
		return fmt.Errorf("clone an image for volume %s: %w", id, err)
	}
	content = content[:min(len(content), MaxContent)]
	return d.make(ctx, "CloneImage", id, spec, func(*State) ([]byte, error) { return bytes.Clone(content), nil })
}

// diffBlock is how finely differences are told.
const diffBlock = 64 << 10

// ExportDiff implements volume.DiffExporter.
func (d *Driver) ExportDiff(ctx context.Context, volumeID, from, to string) (r io.ReadCloser, err error) {
	for _, snapshot := range []string{from, to} {
		if err := volume.CheckID("snapshot ID", snapshot); err != nil && (snapshot != "" || snapshot == to) {
			return nil, err
		}
	}
	err = d.do(ctx, "ExportDiff", volumeID, func(s *State) error {
		v, err := s.get(volumeID)
		if err != nil {
			return err
		}
		find := func(id string) (int, error) {
			i := slices.IndexFunc(v.snapshots, func(p snap) bool { return p.id == id })
			if i < 0 {
				return 0, nephos.NotFound("Snapshot", id)
			}
			return i, nil
		}
		newer, err := find(to)
		if err != nil {
			return err
		}
		var before []byte
		if from != "" {
			older, err := find(from)
			switch {
			case err != nil:
				return err
			case older >= newer:
				return nephos.Errorf(nephos.ErrInvalid, "snapshot %s is not older than %s", from, to)
			}
			before = v.snapshots[older].content
		}
		after := v.snapshots[newer]
		var buf bytes.Buffer
		if err := diff(&buf, before, after.content, int64(after.sizeGiB)<<30); err != nil {
			return err
		}
		r = io.NopCloser(ctxReader{ctx, &buf})
		return nil
	})
	return r, err
}

func diff(w io.Writer, before, after []byte, size int64) error {
	d, err := volume.NewDiffWriter(w)
	if err != nil {
		return err
	}
	block := func(b []byte, at int) []byte {
		out := make([]byte, diffBlock)
		if at < len(b) {
			copy(out, b[at:])
		}
		return out
	}
	zero := make([]byte, diffBlock)
	for at := 0; at < max(len(before), len(after)); at += diffBlock {
		was, is := block(before, at), block(after, at)
		switch {
		case bytes.Equal(was, is):
		case bytes.Equal(is, zero):
			err = d.Zero(int64(at), diffBlock)
		default:
			err = d.Data(int64(at), is)
		}
		if err != nil {
			return err
		}
	}
	return d.Close(size)
}

// ImportDiff implements volume.DiffImporter. What lies beyond MaxContent is read
// and forgotten.
func (d *Driver) ImportDiff(ctx context.Context, volumeID string, body io.Reader) error {
	var size int64
	err := d.do(ctx, "ImportDiff", volumeID, func(s *State) error {
		v, err := s.get(volumeID)
		switch {
		case err != nil:
			return err
		case len(v.attachments) > 0:
			return nephos.Errorf(nephos.ErrConflict, "volume %s is connected", volumeID)
		}
		size = int64(v.SizeGiB) << 30
		return nil
	})
	if err != nil {
		return err
	}
	r, err := volume.NewDiffReader(ctxReader{ctx, body})
	if err != nil {
		return err
	}
	for {
		e, err := r.Next()
		switch {
		case errors.Is(err, io.EOF) && r.Size() <= size:
			return nil
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("applying a difference to volume %s: %w", volumeID, err)
		case err != nil || e.Offset+e.Length > size:
			return nephos.Errorf(nephos.ErrInvalid, "applying a difference to volume %s: it does not fit %d bytes", volumeID, size)
		}
		n := max(0, min(e.Length, MaxContent-e.Offset))
		data := make([]byte, n)
		if !e.Zero {
			if _, err := io.ReadFull(r, data); err != nil {
				return fmt.Errorf("applying a difference to volume %s: %w", volumeID, err)
			}
		}
		if n > 0 {
			if err := d.state.Write(volumeID, e.Offset, data); err != nil {
				return err
			}
		}
	}
}

// Attach implements volume.Attacher: a path that does not exist, of this host.
func (d *Driver) Attach(ctx context.Context, attachmentID string, c driver.Connection) (local driver.Connection, err error) {
	if err := volume.CheckID("attachment ID", attachmentID); err != nil {
		return local, err
	}
	err = d.do(ctx, "Attach", attachmentID, func(s *State) error {
		have, ok := s.attached[attachmentID]
		if !ok {
			have = c
			have.Path = path.Join("/fake/attached", attachmentID, path.Base(c.Path))
			if s.attached == nil {
				s.attached = make(map[string]driver.Connection)
			}
			s.attached[attachmentID] = have
		}
		local = have
		return nil
	})
	return local, err
}

// Detach implements volume.Attacher.
func (d *Driver) Detach(ctx context.Context, attachmentID string) error {
	if err := volume.CheckID("attachment ID", attachmentID); err != nil {
		return err
	}
	return d.do(ctx, "Detach", attachmentID, func(s *State) error {
		delete(s.attached, attachmentID)
		return nil
	})
}

// Attached implements volume.Attacher.
func (d *Driver) Attached(ctx context.Context) (ids []string, err error) {
	err = d.look(ctx, "Attached", func(s *State) error {
		ids = slices.Sorted(maps.Keys(s.attached))
		return nil
	})
	return ids, err
}
