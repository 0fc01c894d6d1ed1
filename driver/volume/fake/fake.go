// Package fake is a volume driver without storage: it keeps volumes, snapshots
// and attachments in memory, with enough of their content for clones, snapshots
// and images of small data to be real. Tests of everything above a pool use it.
//
// What it holds lives in a [State] that survives the driver, as a disk survives
// a process. Slowness and failure are data of the State: see [Fault].
package fake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// MaxContent is how many bytes of a volume are kept; what an image has beyond
// them is read and forgotten.
const MaxContent = 4 << 20

// Config configures a [Driver]. The zero value works.
type Config struct {
	State *State       // nil: a new one
	Clock nephos.Clock // nil: the wall clock
	// TotalGiB is the pool's capacity; 0 is without bound. What would exceed it
	// gives ErrNoCapacity.
	TotalGiB int
	// Backend is the volume_backend_name; empty is "fake".
	Backend string
	// Placement is what the driver says of volumes that it wants.
	Placement volume.Placement
	// Abilities narrows what the driver offers; nil offers everything.
	Abilities []string
	// FullReads makes Read stream the zeros up to the volume's size as well. By
	// default the stream ends after the last byte that was ever written, rounded
	// up to 64 KiB, so that tests with images of volumes stay fast.
	FullReads bool
	// Cluster connects the pool, by its Backend, to others that volumes can move
	// to and come from; nil does not offer Migrator.
	Cluster *Cluster
	// Image returns the content of an image by its location; an error that wraps
	// errors.ErrUnsupported says that it cannot be reached. Nil does not offer
	// ImageCloner.
	Image func(ctx context.Context, location string) ([]byte, error)
}

// Driver implements volume.Driver and all its optional interfaces.
type Driver struct {
	cfg   Config
	state *State
}

// New returns a driver.
func New(cfg Config) *Driver {
	if cfg.State == nil {
		cfg.State = &State{}
	}
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	if cfg.Backend == "" {
		cfg.Backend = "fake"
	}
	if cfg.Cluster != nil {
		cfg.Cluster.join(cfg.Backend, cfg.State)
	}
	return &Driver{cfg: cfg, state: cfg.State}
}

// State returns what the driver keeps its volumes in.
func (d *Driver) State() *State { return d.state }

// Abilities implements volume.Abilitier.
func (d *Driver) Abilities(context.Context) ([]string, error) {
	if d.cfg.Abilities != nil {
		return d.cfg.Abilities, nil
	}
	all := []string{
		volume.AbilitySnapshotter, volume.AbilityCloner, volume.AbilityImageWriter,
		volume.AbilityImageReader, volume.AbilityExtender, volume.AbilityReverter,
		volume.AbilityRetyper, volume.AbilityGrouper, volume.AbilityAdopter, volume.AbilityMultiAttacher,
		volume.AbilityLimiter, volume.AbilityEncrypter, volume.AbilityDiffExporter, volume.AbilityDiffImporter,
		volume.AbilityAttacher,
	}
	if d.cfg.Cluster != nil {
		all = append(all, volume.AbilityMigrator)
	}
	if d.cfg.Image != nil {
		all = append(all, volume.AbilityImageCloner)
	}
	return all, nil
}

func (d *Driver) offers(ability string) bool {
	return d.cfg.Abilities == nil || slices.Contains(d.cfg.Abilities, ability)
}

// Create implements volume.Driver.
func (d *Driver) Create(ctx context.Context, id string, spec volume.Spec) error {
	return d.make(ctx, "Create", id, spec, func(*State) ([]byte, error) { return nil, nil })
}

// make adds a volume with the content that from gives, as one step.
func (d *Driver) make(ctx context.Context, op, id string, spec volume.Spec, from func(*State) ([]byte, error)) error {
	if err := volume.CheckID("volume ID", id); err != nil {
		return err
	}
	if err := spec.Check(); err != nil {
		return err
	}
	return d.do(ctx, op, id, func(s *State) error {
		if v, ok := s.volumes[id]; ok {
			if v.SizeGiB != spec.SizeGiB {
				return nephos.Errorf(nephos.ErrConflict, "volume %s exists with %d GiB", id, v.SizeGiB)
			}
			return nil
		}
		if err := d.room(s, spec.SizeGiB); err != nil {
			return err
		}
		content, err := from(s)
		if err != nil {
			return err
		}
		s.volumes[id] = &vol{Volume: volume.Volume{ID: id, SizeGiB: spec.SizeGiB, Format: volume.FormatRaw}, spec: kept(spec), content: content}
		return nil
	})
}

// kept is a copy of a spec, which is its caller's.
func kept(s volume.Spec) volume.Spec {
	if s.Limits != nil {
		limits := *s.Limits
		s.Limits = &limits
	}
	if s.Encryption != nil {
		encryption := *s.Encryption
		s.Encryption = &encryption
	}
	s.ExtraSpecs, s.Secrets = maps.Clone(s.ExtraSpecs), maps.Clone(s.Secrets)
	return s
}

func (d *Driver) room(s *State, sizeGiB int) error {
	if d.cfg.TotalGiB > 0 && s.allocated()+sizeGiB > d.cfg.TotalGiB {
		return nephos.Errorf(nephos.ErrNoCapacity, "pool of %d GiB has no room for %d GiB", d.cfg.TotalGiB, sizeGiB)
	}
	return nil
}

// Delete implements volume.Driver.
func (d *Driver) Delete(ctx context.Context, id string) error {
	return d.do(ctx, "Delete", id, func(s *State) error {
		v, ok := s.volumes[id]
		switch {
		case !ok:
			return nil
		case len(v.attachments) > 0:
			return nephos.Errorf(nephos.ErrConflict, "volume %s is connected", id)
		case len(v.snapshots) > 0:
			return nephos.Errorf(nephos.ErrConflict, "volume %s has snapshots", id)
		}
		delete(s.volumes, id)
		return nil
	})
}

// Get implements volume.Driver.
func (d *Driver) Get(ctx context.Context, id string) (out volume.Volume, err error) {
	err = d.do(ctx, "Get", id, func(s *State) error {
		v, err := s.get(id)
		if err == nil {
			out = v.view()
		}
		return err
	})
	return out, err
}

// List implements volume.Driver, in the order of the IDs.
func (d *Driver) List(ctx context.Context) (out []volume.Volume, err error) {
	err = d.look(ctx, "List", func(s *State) error {
		for _, v := range s.volumes {
			out = append(out, v.view())
		}
		slices.SortFunc(out, func(a, b volume.Volume) int { return strings.Compare(a.ID, b.ID) })
		return nil
	})
	return out, err
}

// Connect implements volume.Driver: a path that does not exist.
func (d *Driver) Connect(ctx context.Context, id string, c volume.Connector) (conn driver.Connection, err error) {
	if err := volume.CheckID("attachment ID", c.AttachmentID); err != nil {
		return conn, err
	}
	err = d.do(ctx, "Connect", id, func(s *State) error {
		v, err := s.get(id)
		if err != nil {
			return err
		}
		if _, again := v.attachments[c.AttachmentID]; !again && len(v.attachments) > 0 && !d.offers(volume.AbilityMultiAttacher) {
			return nephos.Errorf(nephos.ErrConflict, "volume %s is connected", id)
		}
		if v.attachments == nil {
			v.attachments = make(map[string]volume.Connector)
		}
		v.attachments[c.AttachmentID] = c
		conn = driver.Connection{Type: "file", Path: "/fake/volumes/" + id}
		if l := v.spec.Limits; l != nil {
			limits := *l
			conn.Limits = &limits
		}
		if e := v.spec.Encryption; e != nil {
			encryption := *e
			conn.Encryption, conn.Secrets = &encryption, map[string]string{"passphrase": v.spec.Secrets["passphrase"]}
		}
		return nil
	})
	return conn, err
}

// Disconnect implements volume.Driver.
func (d *Driver) Disconnect(ctx context.Context, id string, c volume.Connector) error {
	if err := volume.CheckID("attachment ID", c.AttachmentID); err != nil {
		return err
	}
	return d.do(ctx, "Disconnect", id, func(s *State) error {
		if v, ok := s.volumes[id]; ok {
			delete(v.attachments, c.AttachmentID)
		}
		return nil
	})
}

// Stats implements volume.Driver.
func (d *Driver) Stats(ctx context.Context) (out volume.Stats, err error) {
	err = d.look(ctx, "Stats", func(s *State) error {
		used := float64(s.allocated())
		out = volume.Stats{TotalGiB: -1, FreeGiB: -1, AllocatedGiB: used, Backend: d.cfg.Backend, Protocol: "file", Thin: true, Placement: d.cfg.Placement}
		if d.cfg.TotalGiB > 0 {
			out.TotalGiB = float64(d.cfg.TotalGiB)
			out.FreeGiB = out.TotalGiB - used
		}
		return nil
	})
	return out, err
}

// Close implements volume.Driver. The State keeps what it has.
func (d *Driver) Close() error { return nil }

// CreateSnapshot implements volume.Snapshotter.
func (d *Driver) CreateSnapshot(ctx context.Context, volumeID, snapshotID string) error {
	if err := volume.CheckID("snapshot ID", snapshotID); err != nil {
		return err
	}
	return d.do(ctx, "CreateSnapshot", volumeID, func(s *State) error {
		v, err := s.get(volumeID)
		if err != nil {
			return err
		}
		if v.snapshot(snapshotID) == nil {
			v.snapshots = append(v.snapshots, snap{id: snapshotID, sizeGiB: v.SizeGiB, content: v.content})
		}
		return nil
	})
}

// DeleteSnapshot implements volume.Snapshotter.
func (d *Driver) DeleteSnapshot(ctx context.Context, volumeID, snapshotID string) error {
	if err := volume.CheckID("snapshot ID", snapshotID); err != nil {
		return err
	}
	return d.do(ctx, "DeleteSnapshot", volumeID, func(s *State) error {
		if v, ok := s.volumes[volumeID]; ok {
			v.snapshots = slices.DeleteFunc(v.snapshots, func(p snap) bool { return p.id == snapshotID })
		}
		return nil
	})
}

// CreateFromSnapshot implements volume.Snapshotter.
func (d *Driver) CreateFromSnapshot(ctx context.Context, id string, spec volume.Spec, volumeID, snapshotID string) error {
	if err := errors.Join(volume.CheckID("volume ID", volumeID), volume.CheckID("snapshot ID", snapshotID)); err != nil {
		return err
	}
	return d.make(ctx, "CreateFromSnapshot", id, spec, func(s *State) ([]byte, error) {
		v, err := s.get(volumeID)
		if err != nil {
			return nil, err
		}
		p := v.snapshot(snapshotID)
		if p == nil {
			return nil, nephos.NotFound("Snapshot", snapshotID)
		}
		return p.content, notSmaller(spec.SizeGiB, p.sizeGiB)
	})
}

// Clone implements volume.Cloner.
func (d *Driver) Clone(ctx context.Context, id string, spec volume.Spec, sourceID string) error {
	if err := volume.CheckID("volume ID", sourceID); err != nil {
		return err
	}
	return d.make(ctx, "Clone", id, spec, func(s *State) ([]byte, error) {
		v, err := s.get(sourceID)
		if err != nil {
			return nil, err
		}
		return v.content, notSmaller(spec.SizeGiB, v.SizeGiB)
	})
}

func notSmaller(sizeGiB, sourceGiB int) error {
	if sizeGiB < sourceGiB {
		return nephos.Errorf(nephos.ErrInvalid, "volume of %d GiB is smaller than its source of %d GiB", sizeGiB, sourceGiB).WithField("size")
	}
	return nil
}

// CreateFromImage implements volume.ImageWriter. It takes the body as it is,
// whatever the format.
func (d *Driver) CreateFromImage(ctx context.Context, id string, spec volume.Spec, image volume.Image) error {
	if err := image.Check(spec.SizeGiB); err != nil {
		return err
	}
	content, err := io.ReadAll(io.LimitReader(ctxReader{ctx, image.Body}, MaxContent))
	n := int64(len(content))
	if err == nil {
		var rest int64
		rest, err = io.Copy(io.Discard, ctxReader{ctx, image.Body})
		n += rest
	}
	if err != nil {
		return fmt.Errorf("reading the image for volume %s: %w", id, err)
	}
	if n > int64(spec.SizeGiB)<<30 {
		return nephos.Errorf(nephos.ErrInvalid, "image of %d bytes does not fit a volume of %d GiB", n, spec.SizeGiB).WithField("size")
	}
	if image.Size >= 0 && image.Size != n {
		return fmt.Errorf("reading the image for volume %s: body of %d bytes instead of %d: %w", id, n, image.Size, nephos.ErrUnavailable)
	}
	return d.make(ctx, "CreateFromImage", id, spec, func(*State) ([]byte, error) { return content, nil })
}

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Read implements volume.ImageReader; see Config.FullReads.
func (d *Driver) Read(ctx context.Context, id string) (r io.ReadCloser, err error) {
	err = d.do(ctx, "Read", id, func(s *State) error {
		v, err := s.get(id)
		if err != nil {
			return err
		}
		size := int64(v.SizeGiB) << 30
		if !d.cfg.FullReads {
			used := int64(len(bytes.TrimRight(v.content, "\x00")))
			size = (used + 64<<10 - 1) &^ (64<<10 - 1)
		}
		r = &reader{ctx: ctx, content: v.content[:min(int64(len(v.content)), size)], size: size}
		return nil
	})
	return r, err
}

// Extend implements volume.Extender.
func (d *Driver) Extend(ctx context.Context, id string, sizeGiB int, _ volume.ExtendOptions) error {
	if err := (volume.Spec{SizeGiB: sizeGiB}).Check(); err != nil {
		return err
	}
	return d.do(ctx, "Extend", id, func(s *State) error {
		v, err := s.get(id)
		if err != nil {
			return err
		}
		if err := notSmaller(sizeGiB, v.SizeGiB); err != nil {
			return err
		}
		if err := d.room(s, sizeGiB-v.SizeGiB); err != nil {
			return err
		}
		v.SizeGiB = sizeGiB
		return nil
	})
}

// Revert implements volume.Reverter.
func (d *Driver) Revert(ctx context.Context, volumeID, snapshotID string) error {
	if err := volume.CheckID("snapshot ID", snapshotID); err != nil {
		return err
	}
	return d.do(ctx, "Revert", volumeID, func(s *State) error {
		v, err := s.get(volumeID)
		if err != nil {
			return err
		}
		p := v.snapshot(snapshotID)
		switch {
		case p == nil:
			return nephos.NotFound("Snapshot", snapshotID)
		case v.snapshots[len(v.snapshots)-1].id != snapshotID:
			return nephos.Errorf(nephos.ErrConflict, "snapshot %s is not the newest of volume %s", snapshotID, volumeID)
		case len(v.attachments) > 0:
			return nephos.Errorf(nephos.ErrConflict, "volume %s is connected", volumeID)
		}
		v.content = p.content
		return nil
	})
}

// Volumes returns all volumes, by id, for tests to look at.
func (s *State) Volumes() []volume.Volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]volume.Volume, 0, len(s.volumes))
	for _, id := range slices.Sorted(maps.Keys(s.volumes)) {
		out = append(out, s.volumes[id].view())
	}
	return out
}

// Attachments returns the connectors that the volume is connected to, for tests
// to look at, by attachment ID.
func (s *State) Attachments(volumeID string) map[string]volume.Connector {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.volumes[volumeID]; ok {
		return maps.Clone(v.attachments)
	}
	return nil
}
