package volume

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// Retype changes a volume where it is; see [Retyper].
func (p *Pool) Retype(ctx context.Context, id string, spec Spec) (err error) {
	ctx, end := p.begin(ctx, "Retype", true, id)
	defer end(&err)
	r, err := offered[Retyper](p, AbilityRetyper)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckID("volume ID", id), p.check(spec)); err != nil {
		return err
	}
	return r.Retype(ctx, id, spec)
}

// MigrateFrom makes a volume of this pool with the content of one of another
// pool: by [Migrator] where both are one and reach each other, else by reading
// there ([ImageReader]) and writing here ([ImageWriter]). The source stays, and
// must not be connected; its snapshots do not come along.
func (p *Pool) MigrateFrom(ctx context.Context, id string, spec Spec, src *Pool, sourceID string) (err error) {
	ctx, end := p.begin(ctx, "MigrateFrom", false, id)
	defer end(&err)
	if err := errors.Join(CheckID("volume ID", id), p.check(spec), CheckID("source volume ID", sourceID)); err != nil {
		return err
	}
	err = p.migrateIn(ctx, id, spec, src, sourceID)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	v, err := src.Get(ctx, sourceID)
	if err != nil {
		return err
	}
	if spec.SizeGiB < v.SizeGiB {
		return nephos.Errorf(nephos.ErrInvalid, "volume of %d GiB is smaller than its source of %d GiB", spec.SizeGiB, v.SizeGiB).WithField("size")
	}
	if !p.Can(AbilityImageWriter) {
		return fmt.Errorf("copying a volume from another pool: volume driver: ability %s: %w", AbilityImageWriter, errors.ErrUnsupported)
	}
	body, err := src.Read(ctx, sourceID)
	if err != nil {
		return fmt.Errorf("copying a volume from another pool: %w", err)
	}
	defer body.Close()
	return p.CreateFromImage(ctx, id, spec, Image{Body: body, Format: FormatRaw, Size: -1, VirtualSize: int64(v.SizeGiB) << 30})
}

func (p *Pool) migrateIn(ctx context.Context, id string, spec Spec, src *Pool, sourceID string) error {
	from, err := offered[Migrator](src, AbilityMigrator)
	if err != nil {
		return err
	}
	to, err := offered[Migrator](p, AbilityMigrator)
	if err != nil {
		return err
	}
	where, err := from.Location(ctx, sourceID)
	if err != nil {
		return err
	}
	return to.MigrateIn(ctx, id, spec, where)
}

// CreateGroupSnapshot keeps one point in time of several volumes; see [Grouper].
func (p *Pool) CreateGroupSnapshot(ctx context.Context, groupID string, members []GroupMember) (err error) {
	ctx, end := p.begin(ctx, "CreateGroupSnapshot", false, groupID)
	defer end(&err)
	g, err := offered[Grouper](p, AbilityGrouper)
	if err != nil {
		return err
	}
	errs := []error{CheckID("group snapshot ID", groupID)}
	for _, m := range members {
		errs = append(errs, CheckID("volume ID", m.VolumeID), CheckID("snapshot ID", m.SnapshotID))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return g.CreateGroupSnapshot(ctx, groupID, members)
}

// ListAdoptable tells what lies in the pool; see [Adopter].
func (p *Pool) ListAdoptable(ctx context.Context) (list []Adoptable, err error) {
	ctx, end := p.begin(ctx, "ListAdoptable", true)
	defer end(&err)
	a, err := offered[Adopter](p, AbilityAdopter)
	if err != nil {
		return nil, err
	}
	return a.ListAdoptable(ctx)
}

// Adopt makes something that lies in the pool a volume; see [Adopter].
func (p *Pool) Adopt(ctx context.Context, id, reference string) (v Volume, err error) {
	ctx, end := p.begin(ctx, "Adopt", true, id)
	defer end(&err)
	a, err := offered[Adopter](p, AbilityAdopter)
	if err != nil {
		return Volume{}, err
	}
	if err := CheckID("volume ID", id); err != nil {
		return Volume{}, err
	}
	return a.Adopt(ctx, id, reference)
}

// Release forgets a volume and leaves its bytes; see [Adopter].
func (p *Pool) Release(ctx context.Context, id string) (reference string, err error) {
	ctx, end := p.begin(ctx, "Release", true, id)
	defer end(&err)
	a, err := offered[Adopter](p, AbilityAdopter)
	if err != nil {
		return "", err
	}
	if err := CheckID("volume ID", id); err != nil {
		return "", err
	}
	return a.Release(ctx, id)
}

// MultiAttach tells to how many hosts at once a volume can be connected; see
// [MultiAttacher]. It is 0 when a volume takes one attachment only.
func (p *Pool) MultiAttach() (hosts int) {
	m, err := offered[MultiAttacher](p, AbilityMultiAttacher)
	if err != nil {
		return 0
	}
	return m.MultiAttach()
}

// SetLimits replaces a volume's limits; see [Limiter].
func (p *Pool) SetLimits(ctx context.Context, id string, limits driver.Limits) (err error) {
	ctx, end := p.begin(ctx, "SetLimits", true, id)
	defer end(&err)
	l, err := offered[Limiter](p, AbilityLimiter)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckID("volume ID", id), limits.Validate()); err != nil {
		return err
	}
	return l.SetLimits(ctx, id, limits)
}

// EncryptionFormats are the formats of encryption that the driver honours; see
// [Encrypter].
func (p *Pool) EncryptionFormats() []string {
	e, err := offered[Encrypter](p, AbilityEncrypter)
	if err != nil {
		return nil
	}
	return e.EncryptionFormats()
}

// CloneImage makes a volume of an image on the same storage; see [ImageCloner].
func (p *Pool) CloneImage(ctx context.Context, id string, spec Spec, image ImageLocation) (err error) {
	ctx, end := p.begin(ctx, "CloneImage", false, id)
	defer end(&err)
	c, err := offered[ImageCloner](p, AbilityImageCloner)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckID("volume ID", id), p.check(spec), image.Check(spec.SizeGiB)); err != nil {
		return err
	}
	return c.CloneImage(ctx, id, spec, image)
}

// ExportDiff streams what changed between two snapshots; see [DiffExporter].
func (p *Pool) ExportDiff(ctx context.Context, volumeID, from, to string) (r io.ReadCloser, err error) {
	ctx, end := p.begin(ctx, "ExportDiff", false, volumeID)
	defer end(&err)
	d, err := offered[DiffExporter](p, AbilityDiffExporter)
	if err != nil {
		return nil, err
	}
	errs := []error{CheckID("volume ID", volumeID), CheckID("snapshot ID", to)}
	if from != "" {
		errs = append(errs, CheckID("snapshot ID", from))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return d.ExportDiff(ctx, volumeID, from, to)
}

// ImportDiff applies what changed between two snapshots; see [DiffImporter].
func (p *Pool) ImportDiff(ctx context.Context, volumeID string, diff io.Reader) (err error) {
	ctx, end := p.begin(ctx, "ImportDiff", false, volumeID)
	defer end(&err)
	d, err := offered[DiffImporter](p, AbilityDiffImporter)
	if err != nil {
		return err
	}
	if err := CheckID("volume ID", volumeID); err != nil {
		return err
	}
	return d.ImportDiff(ctx, volumeID, diff)
}

// Attach makes a connection usable on this host; see [Attacher]. A driver that
// is none has connections that need no more: Attach returns c.
func (p *Pool) Attach(ctx context.Context, attachmentID string, c driver.Connection) (local driver.Connection, err error) {
	ctx, end := p.begin(ctx, "Attach", true, attachmentID)
	defer end(&err)
	if err := CheckID("attachment ID", attachmentID); err != nil {
		return driver.Connection{}, err
	}
	a, err := offered[Attacher](p, AbilityAttacher)
	if err != nil {
		return c, nil
	}
	return a.Attach(ctx, attachmentID, c)
}

// Detach undoes Attach; see [Attacher].
func (p *Pool) Detach(ctx context.Context, attachmentID string) (err error) {
	ctx, end := p.begin(ctx, "Detach", true, attachmentID)
	defer end(&err)
	if err := CheckID("attachment ID", attachmentID); err != nil {
		return err
	}
	a, err := offered[Attacher](p, AbilityAttacher)
	if err != nil {
		return nil
	}
	return a.Detach(ctx, attachmentID)
}

// Attached lists the attachments on this host; see [Attacher].
func (p *Pool) Attached(ctx context.Context) (ids []string, err error) {
	ctx, end := p.begin(ctx, "Attached", true)
	defer end(&err)
	a, err := offered[Attacher](p, AbilityAttacher)
	if err != nil {
		return nil, nil
	}
	return a.Attached(ctx)
}

// check refuses a spec that asks for what the driver does not honour.
func (p *Pool) check(spec Spec) error {
	if err := spec.Check(); err != nil {
		return err
	}
	if spec.Limits != nil && !spec.Limits.IsZero() && !p.Can(AbilityLimiter) {
		return fmt.Errorf("limits of a volume: volume driver: ability %s: %w", AbilityLimiter, errors.ErrUnsupported)
	}
	if spec.Encryption != nil && !p.Can(AbilityEncrypter) {
		return fmt.Errorf("encryption of a volume: volume driver: ability %s: %w", AbilityEncrypter, errors.ErrUnsupported)
	}
	return nil
}
