package volumetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/driver/volume/volumetest"
)

// Each driver here breaks one promise, and the suite must notice.
func TestBrokenPromisesAreNoticed(t *testing.T) {
	type row struct {
		promise, test string
		broken        func(*fake.Driver) volume.Driver
	}
	rows := []row{
		{"Create again is success", "Idempotence", func(d *fake.Driver) volume.Driver { return createsOnce{d} }},
		{"Create of another size is ErrConflict", "Idempotence", func(d *fake.Driver) volume.Driver { return createsAny{d} }},
		{"Create does not grow what is there", "Idempotence", func(d *fake.Driver) volume.Driver { return createGrows{d} }},
		{"Create leaves what is there", "Idempotence", func(d *fake.Driver) volume.Driver { return createBlanks{d} }},
		{"a new volume is blank", "Idempotence", func(d *fake.Driver) volume.Driver { return &keepsBytes{Driver: d} }},
		{"an extension that is refused changes nothing", "Extender", func(d *fake.Driver) volume.Driver { return extendsIdle{d} }},
		{"unknown IDs are deleted", "Idempotence", func(d *fake.Driver) volume.Driver { return strictDelete{d} }},
		{"Delete deletes", "Lifecycle", func(d *fake.Driver) volume.Driver { return lazyDelete{d} }},
		{"Delete refuses what is connected", "Connect", func(d *fake.Driver) volume.Driver { return deletesUsed{d} }},
		{"Delete refuses what snapshots need", "Snapshotter", func(d *fake.Driver) volume.Driver { return deletesSnapshots{d} }},
		{"ErrNotFound: Get", "Lifecycle", func(d *fake.Driver) volume.Driver { return imagines{d} }},
		{"List tells of all", "Lifecycle", func(d *fake.Driver) volume.Driver { return listsOne{d} }},
		{"List tells each once", "Lifecycle", func(d *fake.Driver) volume.Driver { return listsTwice{d} }},
		{"List and Get agree", "Lifecycle", func(d *fake.Driver) volume.Driver { return listsShort{d} }},
		{"what is created stays after the driver", "Reopen", func(d *fake.Driver) volume.Driver { return &forgets{Driver: d} }},
		{"attachments stay after the driver", "Reopen", func(d *fake.Driver) volume.Driver { return &forgetsAttachments{Driver: d} }},
		{"the same attachment gets the same answer", "Connect", func(d *fake.Driver) volume.Driver { return &connectsAnew{Driver: d} }},
		{"ErrNotFound: Connect", "Connect", func(d *fake.Driver) volume.Driver { return connectCreates{d} }},
		{"unknown attachments are undone", "Connect", func(d *fake.Driver) volume.Driver { return &strictDisconnect{Driver: d} }},
		{"Disconnect undoes one attachment", "Connect", func(d *fake.Driver) volume.Driver { return disconnectsAll{d} }},
		{"Stats follow", "Stats", func(d *fake.Driver) volume.Driver { return fixedStats{d} }},
		{"calls with different IDs run at once", "Concurrent", func(d *fake.Driver) volume.Driver { return &oneAtATime{Driver: d} }},
		{"CreateSnapshot again is success", "Snapshotter", func(d *fake.Driver) volume.Driver { return snapshotsOnce{d} }},
		{"a snapshot's volume is not smaller", "Snapshotter", func(d *fake.Driver) volume.Driver { return shrinks{d} }},
		{"a snapshot is of its instant", "SnapshotterContent", func(d *fake.Driver) volume.Driver { return liveSnapshots{d} }},
		{"snapshots are oldest first", "Reopen", func(d *fake.Driver) volume.Driver { return sortsSnapshots{d} }},
		{"unknown snapshots are deleted", "Snapshotter", func(d *fake.Driver) volume.Driver { return strictSnapshots{d} }},
		{"a clone is independent", "Cloner", func(d *fake.Driver) volume.Driver { return &linkedClones{Driver: d} }},
		{"a clone is not smaller", "Cloner", func(d *fake.Driver) volume.Driver { return shrinks{d} }},
		{"a clone has the content", "Cloner", func(d *fake.Driver) volume.Driver { return blankClones{d} }},
		{"a volume in use can be cloned", "Cloner", func(d *fake.Driver) volume.Driver { return clonesIdle{d} }},
		{"a failed image leaves no volume", "ImageWriterFails", func(d *fake.Driver) volume.Driver { return halfImages{d} }},
		{"a failed image takes no room", "ImageWriterFails", func(d *fake.Driver) volume.Driver { return &leaks{Driver: d} }},
		{"a broken body is no image", "ImageWriterFails", func(d *fake.Driver) volume.Driver { return believesBodies{d} }},
		{"an image keeps its content", "ImageWriter", func(d *fake.Driver) volume.Driver { return blankImages{d} }},
		{"an image of another size is ErrConflict", "ImageWriter", func(d *fake.Driver) volume.Driver { return imagesAnySize{d} }},
		{"an image's bytes stay after the driver", "ImageWriter", func(d *fake.Driver) volume.Driver { return &forgetsContent{Driver: d} }},
		{"bodies are not read after the call", "ImageWriterFails", func(d *fake.Driver) volume.Driver { return readsOn{d} }},
		{"Read reads to the end", "ImageReader", func(d *fake.Driver) volume.Driver { return readsShort{d} }},
		{"Read ends with its context", "ImageReader", func(d *fake.Driver) volume.Driver { return readsForEver{d} }},
		{"a volume does not shrink", "Extender", func(d *fake.Driver) volume.Driver { return extendsAny{d} }},
		{"Extend keeps the content", "Extender", func(d *fake.Driver) volume.Driver { return extendBlanks{d} }},
		{"the new size stays after the driver", "Extender", func(d *fake.Driver) volume.Driver { return &forgetsSize{Driver: d} }},
		{"only the newest snapshot is reverted to", "Reverter", func(d *fake.Driver) volume.Driver { return revertsAny{d} }},
		{"Revert refuses what is connected", "Reverter", func(d *fake.Driver) volume.Driver { return revertsUsed{d} }},
		{"Revert takes the content back", "Reverter", func(d *fake.Driver) volume.Driver { return revertsNothing{d} }},
		{"Revert keeps the snapshot", "Reverter", func(d *fake.Driver) volume.Driver { return revertDrops{d} }},
		{"Retype keeps the size", "Retyper", func(d *fake.Driver) volume.Driver { return retypesSize{d} }},
		{"Retype sets the limits", "Retyper", func(d *fake.Driver) volume.Driver { return retypesNothing{d} }},
		{"what cannot be retyped changes nothing", "Retyper", func(d *fake.Driver) volume.Driver { return retypesAll{d} }},
		{"Location refuses what is connected", "Migrator", func(d *fake.Driver) volume.Driver { return locatesUsed{d} }},
		{"a place out of reach is ErrUnsupported", "Migrator", func(d *fake.Driver) volume.Driver { return reachesAll{d} }},
		{"a group is all or none", "Grouper", func(d *fake.Driver) volume.Driver { return tornGroups{d} }},
		{"Release refuses what is connected", "Adopter", func(d *fake.Driver) volume.Driver { return releasesUsed{d} }},
		{"Release keeps the bytes", "Adopter", func(d *fake.Driver) volume.Driver { return releaseDeletes{d} }},
		{"a reference points into the pool", "Adopter", func(d *fake.Driver) volume.Driver { return adoptsAny{d} }},
		{"a reference is adopted once", "Adopter", func(d *fake.Driver) volume.Driver { return adoptsTwice{d} }},
		{"all attachments hold a volume", "MultiAttacher", func(d *fake.Driver) volume.Driver { return disconnectsAll{d} }},
		{"limits stay after the driver", "Limiter", func(d *fake.Driver) volume.Driver { return &forgetsLimits{Driver: d} }},
		{"limits are checked", "Limiter", func(d *fake.Driver) volume.Driver { return anyLimits{d} }},
		{"limits are lifted", "Limiter", func(d *fake.Driver) volume.Driver { return keepsLimits{d} }},
		{"arguments are copied", "Limiter", func(d *fake.Driver) volume.Driver { return &sharesLimits{Driver: d} }},
		{"results are the caller's", "Snapshotter", func(d *fake.Driver) volume.Driver { return &sharesVolumes{Driver: d} }},
		{"encryption needs a passphrase", "Encrypter", func(d *fake.Driver) volume.Driver { return openEncryption{d} }},
		{"an error holds no passphrase", "Encrypter", func(d *fake.Driver) volume.Driver { return tellsSecrets{d} }},
		{"encryption stays after the driver", "Encrypter", func(d *fake.Driver) volume.Driver { return &forgetsKeys{Driver: d} }},
		{"an image out of reach is ErrUnsupported", "ImageCloner", func(d *fake.Driver) volume.Driver { return clonesAllImages{d} }},
		{"a cloned image is grown to the size", "ImageCloner", func(d *fake.Driver) volume.Driver { return clonesSmall{d} }},
		{"a difference is between two snapshots", "DiffExporter", func(d *fake.Driver) volume.Driver { return exportsAll{d} }},
		{"a difference is from the older one", "DiffExporter", func(d *fake.Driver) volume.Driver { return exportsBackwards{d} }},
		{"a difference is not imported in use", "DiffImporter", func(d *fake.Driver) volume.Driver { return importsUsed{d} }},
		{"a whole difference only is success", "DiffImporter", func(d *fake.Driver) volume.Driver { return importsHalves{d} }},
		{"attached again is the same", "Attacher", func(d *fake.Driver) volume.Driver { return &attachesAnew{Driver: d} }},
		{"attachments on the host stay", "Attacher", func(d *fake.Driver) volume.Driver { return &forgetsHost{Driver: d} }},
		{"Detach detaches", "Attacher", func(d *fake.Driver) volume.Driver { return detachesNothing{d} }},
		{"errors name the volume", "Idempotence", func(d *fake.Driver) volume.Driver { return tersely{d} }},
	}
	for test, ops := range map[string][]string{
		"Cancelled": {
			"Create", "Delete", "Get", "List", "Connect", "Disconnect", "Stats", "CreateSnapshot", "DeleteSnapshot", "CreateFromSnapshot",
			"Clone", "CreateFromImage", "Extend", "Read", "Revert", "Retype", "Location", "MigrateIn", "CreateGroupSnapshot", "Release", "Adopt",
			"ListAdoptable", "SetLimits", "CloneImage", "ExportDiff", "ImportDiff", "Attach", "Detach", "Attached",
		},
		"IdentifiersOfCalls": {
			"Create", "Delete", "Get", "Connect", "Disconnect", "CreateSnapshot", "DeleteSnapshot", "CreateFromSnapshot", "Clone",
			"CreateFromImage", "Extend", "Read", "Revert", "Retype", "Location", "MigrateIn", "CreateGroupSnapshot", "Release", "Adopt",
			"SetLimits", "CloneImage", "ExportDiff", "ImportDiff", "Attach", "Detach",
		},
	} {
		for _, op := range ops {
			rows = append(rows, row{op + ": " + test, test, func(d *fake.Driver) volume.Driver {
				return careless{Driver: d, op: op, ctx: test == "Cancelled", id: test == "IdentifiersOfCalls"}
			}})
		}
	}
	for i, r := range rows {
		if i%someOf != 0 {
			continue
		}
		t.Run(r.promise, func(t *testing.T) {
			var states, images sync.Map
			cluster := fake.NewCluster()
			open := func(_ drivertest.T, dir string) volume.Driver {
				state, _ := states.LoadOrStore(dir, &fake.State{})
				return r.broken(fake.New(fake.Config{
					State: state.(*fake.State), FullReads: true, Cluster: cluster, Backend: dir,
					Image: func(_ context.Context, location string) ([]byte, error) {
						if content, ok := images.Load(location); ok {
							return content.([]byte), nil
						}
						return nil, errors.ErrUnsupported
					},
				}))
			}
			drivertest.Catch(t, volumetest.Tests(open, volumetest.Options{
				Peer: open,
				Image: func(_ drivertest.T, _ volume.Driver, content []byte) volume.ImageLocation {
					images.Store("mem:///1", content)
					return volume.ImageLocation{Location: "mem:///1", Format: volume.FormatRaw, VirtualSize: int64(len(content))}
				},
				Write: func(t drivertest.T, d volume.Driver, c driver.Connection, offset int64, content []byte) {
					require.NoError(t, d.(interface{ State() *fake.State }).State().Write(path.Base(c.Path), offset, content))
				},
			}), r.test)
		})
	}
}

// careless does not look at the context, or the identifiers, of one of its calls.
type careless struct {
	*fake.Driver
	op      string
	ctx, id bool
}

// begin is what one call goes on with, and what it says in the end.
func (d careless) begin(op string, ctx context.Context, ids ...*string) (context.Context, func(error) error) {
	says := func(err error) error { return err }
	if d.op != op {
		return ctx, says
	}
	if d.ctx && ctx.Err() != nil {
		ended := ctx
		switch op {
		case "Get", "List", "Stats", "Read", "Location", "ListAdoptable", "ExportDiff", "Attached":
		default: // it did something, and says that it did nothing
			says = func(err error) error { return errors.Join(err, ended.Err()) }
		}
		ctx = context.WithoutCancel(ctx)
	}
	for _, id := range ids {
		if d.id && volume.CheckID("", *id) != nil {
			*id = "good"
			says = func(err error) error {
				if errors.Is(err, nephos.ErrNotFound) || errors.Is(err, nephos.ErrInvalid) {
					return nil
				}
				return err
			}
		}
	}
	return ctx, says
}

func (d careless) Create(ctx context.Context, id string, s volume.Spec) error {
	ctx, end := d.begin("Create", ctx, &id)
	return end(d.Driver.Create(ctx, id, s))
}

func (d careless) Delete(ctx context.Context, id string) error {
	ctx, end := d.begin("Delete", ctx, &id)
	return end(d.Driver.Delete(ctx, id))
}

func (d careless) Get(ctx context.Context, id string) (volume.Volume, error) {
	ctx, end := d.begin("Get", ctx, &id)
	v, err := d.Driver.Get(ctx, id)
	return v, end(err)
}

func (d careless) List(ctx context.Context) ([]volume.Volume, error) {
	ctx, _ = d.begin("List", ctx)
	return d.Driver.List(ctx)
}

func (d careless) Connect(ctx context.Context, id string, c volume.Connector) (driver.Connection, error) {
	ctx, end := d.begin("Connect", ctx, &id, &c.AttachmentID)
	conn, err := d.Driver.Connect(ctx, id, c)
	return conn, end(err)
}

func (d careless) Disconnect(ctx context.Context, id string, c volume.Connector) error {
	ctx, end := d.begin("Disconnect", ctx, &id, &c.AttachmentID)
	return end(d.Driver.Disconnect(ctx, id, c))
}

func (d careless) Stats(ctx context.Context) (volume.Stats, error) {
	ctx, _ = d.begin("Stats", ctx)
	return d.Driver.Stats(ctx)
}

func (d careless) CreateSnapshot(ctx context.Context, id, s string) error {
	ctx, end := d.begin("CreateSnapshot", ctx, &id, &s)
	return end(d.Driver.CreateSnapshot(ctx, id, s))
}

func (d careless) DeleteSnapshot(ctx context.Context, id, s string) error {
	ctx, end := d.begin("DeleteSnapshot", ctx, &id, &s)
	return end(d.Driver.DeleteSnapshot(ctx, id, s))
}

func (d careless) CreateFromSnapshot(ctx context.Context, id string, spec volume.Spec, v, s string) error {
	ctx, end := d.begin("CreateFromSnapshot", ctx, &id, &v, &s)
	return end(d.Driver.CreateFromSnapshot(ctx, id, spec, v, s))
}

func (d careless) Clone(ctx context.Context, id string, spec volume.Spec, source string) error {
	ctx, end := d.begin("Clone", ctx, &id, &source)
	return end(d.Driver.Clone(ctx, id, spec, source))
}

func (d careless) CreateFromImage(ctx context.Context, id string, spec volume.Spec, i volume.Image) error {
	ctx, end := d.begin("CreateFromImage", ctx, &id)
	return end(d.Driver.CreateFromImage(ctx, id, spec, i))
}

func (d careless) Read(ctx context.Context, id string) (io.ReadCloser, error) {
	ctx, end := d.begin("Read", ctx, &id)
	r, err := d.Driver.Read(ctx, id)
	return r, end(err)
}

func (d careless) Extend(ctx context.Context, id string, size int, o volume.ExtendOptions) error {
	ctx, end := d.begin("Extend", ctx, &id)
	return end(d.Driver.Extend(ctx, id, size, o))
}

func (d careless) Revert(ctx context.Context, id, s string) error {
	ctx, end := d.begin("Revert", ctx, &id, &s)
	return end(d.Driver.Revert(ctx, id, s))
}

func (d careless) Retype(ctx context.Context, id string, spec volume.Spec) error {
	ctx, end := d.begin("Retype", ctx, &id)
	return end(d.Driver.Retype(ctx, id, spec))
}

func (d careless) Location(ctx context.Context, id string) (volume.Location, error) {
	ctx, end := d.begin("Location", ctx, &id)
	l, err := d.Driver.Location(ctx, id)
	return l, end(err)
}

func (d careless) MigrateIn(ctx context.Context, id string, spec volume.Spec, from volume.Location) error {
	ctx, end := d.begin("MigrateIn", ctx, &id)
	return end(d.Driver.MigrateIn(ctx, id, spec, from))
}

func (d careless) CreateGroupSnapshot(ctx context.Context, group string, members []volume.GroupMember) error {
	members = slices.Clone(members)
	ids := []*string{&group}
	for i := range members {
		ids = append(ids, &members[i].VolumeID, &members[i].SnapshotID)
	}
	ctx, end := d.begin("CreateGroupSnapshot", ctx, ids...)
	return end(d.Driver.CreateGroupSnapshot(ctx, group, members))
}

func (d careless) Release(ctx context.Context, id string) (string, error) {
	ctx, end := d.begin("Release", ctx, &id)
	ref, err := d.Driver.Release(ctx, id)
	return ref, end(err)
}

func (d careless) Adopt(ctx context.Context, id, reference string) (volume.Volume, error) {
	ctx, end := d.begin("Adopt", ctx, &id)
	v, err := d.Driver.Adopt(ctx, id, reference)
	return v, end(err)
}

func (d careless) ListAdoptable(ctx context.Context) ([]volume.Adoptable, error) {
	ctx, _ = d.begin("ListAdoptable", ctx)
	return d.Driver.ListAdoptable(ctx)
}

func (d careless) SetLimits(ctx context.Context, id string, l driver.Limits) error {
	ctx, end := d.begin("SetLimits", ctx, &id)
	return end(d.Driver.SetLimits(ctx, id, l))
}

func (d careless) CloneImage(ctx context.Context, id string, spec volume.Spec, i volume.ImageLocation) error {
	ctx, end := d.begin("CloneImage", ctx, &id)
	return end(d.Driver.CloneImage(ctx, id, spec, i))
}

func (d careless) ExportDiff(ctx context.Context, id, from, to string) (io.ReadCloser, error) {
	ctx, end := d.begin("ExportDiff", ctx, &id, &to)
	r, err := d.Driver.ExportDiff(ctx, id, from, to)
	return r, end(err)
}

func (d careless) ImportDiff(ctx context.Context, id string, diff io.Reader) error {
	ctx, end := d.begin("ImportDiff", ctx, &id)
	return end(d.Driver.ImportDiff(ctx, id, diff))
}

func (d careless) Attach(ctx context.Context, id string, c driver.Connection) (driver.Connection, error) {
	ctx, end := d.begin("Attach", ctx, &id)
	local, err := d.Driver.Attach(ctx, id, c)
	return local, end(err)
}

func (d careless) Detach(ctx context.Context, id string) error {
	ctx, end := d.begin("Detach", ctx, &id)
	return end(d.Driver.Detach(ctx, id))
}

func (d careless) Attached(ctx context.Context) ([]string, error) {
	ctx, _ = d.begin("Attached", ctx)
	return d.Driver.Attached(ctx)
}

func is(err, kind error) bool { return errors.Is(err, kind) }

type createsOnce struct{ *fake.Driver }

func (d createsOnce) Create(ctx context.Context, id string, s volume.Spec) error {
	if _, err := d.Get(ctx, id); err == nil {
		return nephos.Errorf(nephos.ErrConflict, "create volume %s: it is there", id)
	}
	return d.Driver.Create(ctx, id, s)
}

type createsAny struct{ *fake.Driver }

func (d createsAny) Create(ctx context.Context, id string, s volume.Spec) error {
	if err := d.Driver.Create(ctx, id, s); !is(err, nephos.ErrConflict) {
		return err
	}
	return nil
}

type createGrows struct{ *fake.Driver }

func (d createGrows) Create(ctx context.Context, id string, s volume.Spec) error {
	err := d.Driver.Create(ctx, id, s)
	if is(err, nephos.ErrConflict) {
		_ = d.Extend(ctx, id, s.SizeGiB, volume.ExtendOptions{})
	}
	return err
}

type createBlanks struct{ *fake.Driver }

func (d createBlanks) Create(ctx context.Context, id string, s volume.Spec) error {
	if v, err := d.Get(ctx, id); err == nil && v.SizeGiB == s.SizeGiB {
		_ = d.Delete(ctx, id)
	}
	return d.Driver.Create(ctx, id, s)
}

// keepsBytes gives a volume what the last one of its ID held.
type keepsBytes struct {
	*fake.Driver
	gone sync.Map
}

func (d *keepsBytes) Delete(ctx context.Context, id string) error {
	if r, err := d.Read(ctx, id); err == nil {
		content, _ := io.ReadAll(io.LimitReader(r, 1<<20))
		d.gone.Store(id, content)
	}
	return d.Driver.Delete(ctx, id)
}

func (d *keepsBytes) Create(ctx context.Context, id string, s volume.Spec) error {
	_, there := d.Get(ctx, id)
	err := d.Driver.Create(ctx, id, s)
	if content, ok := d.gone.Load(id); ok && err == nil && there != nil {
		_ = d.State().Write(id, 0, content.([]byte))
	}
	return err
}

type extendsIdle struct{ *fake.Driver }

func (d extendsIdle) Extend(ctx context.Context, id string, size int, o volume.ExtendOptions) error {
	err := d.Driver.Extend(ctx, id, size, o)
	if len(d.State().Attachments(id)) > 0 {
		return nephos.Errorf(nephos.ErrConflict, "extend volume %s: it is connected", id)
	}
	return err
}

type strictDelete struct{ *fake.Driver }

func (d strictDelete) Delete(ctx context.Context, id string) error {
	if _, err := d.Get(ctx, id); err != nil {
		return err
	}
	return d.Driver.Delete(ctx, id)
}

type lazyDelete struct{ *fake.Driver }

func (d lazyDelete) Delete(context.Context, string) error { return nil }

type deletesUsed struct{ *fake.Driver }

func (d deletesUsed) Delete(ctx context.Context, id string) error {
	for a := range d.State().Attachments(id) {
		_ = d.Disconnect(ctx, id, volume.Connector{AttachmentID: a})
	}
	return d.Driver.Delete(ctx, id)
}

type deletesSnapshots struct{ *fake.Driver }

func (d deletesSnapshots) Delete(ctx context.Context, id string) error {
	v, _ := d.Get(ctx, id)
	for _, s := range v.Snapshots {
		_ = d.DeleteSnapshot(ctx, id, s)
	}
	return d.Driver.Delete(ctx, id)
}

type imagines struct{ *fake.Driver }

func (d imagines) Get(ctx context.Context, id string) (volume.Volume, error) {
	v, err := d.Driver.Get(ctx, id)
	if is(err, nephos.ErrNotFound) {
		return volume.Volume{ID: id, SizeGiB: 1, Format: "raw"}, nil
	}
	return v, err
}

type listsOne struct{ *fake.Driver }

func (d listsOne) List(ctx context.Context) ([]volume.Volume, error) {
	all, err := d.Driver.List(ctx)
	return all[:min(1, len(all))], err
}

type listsTwice struct{ *fake.Driver }

func (d listsTwice) List(ctx context.Context) ([]volume.Volume, error) {
	all, err := d.Driver.List(ctx)
	return append(all, all...), err
}

type listsShort struct{ *fake.Driver }

func (d listsShort) List(ctx context.Context) ([]volume.Volume, error) {
	all, err := d.Driver.List(ctx)
	for i := range all {
		all[i].SizeGiB = 0
	}
	return all, err
}

// forgets knows only what this run made.
type forgets struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgets) Create(ctx context.Context, id string, s volume.Spec) error {
	d.mine.Store(id, true)
	return d.Driver.Create(ctx, id, s)
}

func (d *forgets) List(ctx context.Context) ([]volume.Volume, error) {
	all, err := d.Driver.List(ctx)
	return slices.DeleteFunc(all, func(v volume.Volume) bool { _, ok := d.mine.Load(v.ID); return !ok }), err
}

type forgetsAttachments struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsAttachments) Connect(ctx context.Context, id string, c volume.Connector) (driver.Connection, error) {
	d.mine.Store(id, true)
	return d.Driver.Connect(ctx, id, c)
}

func (d *forgetsAttachments) Delete(ctx context.Context, id string) error {
	if _, ok := d.mine.Load(id); !ok {
		return deletesUsed{d.Driver}.Delete(ctx, id)
	}
	return d.Driver.Delete(ctx, id)
}

type connectsAnew struct {
	*fake.Driver
	n atomic.Int64
}

func (d *connectsAnew) Connect(ctx context.Context, id string, c volume.Connector) (driver.Connection, error) {
	conn, err := d.Driver.Connect(ctx, id, c)
	conn.Path += fmt.Sprint(d.n.Add(1))
	return conn, err
}

type connectCreates struct{ *fake.Driver }

func (d connectCreates) Connect(ctx context.Context, id string, c volume.Connector) (driver.Connection, error) {
	if volume.CheckID("", c.AttachmentID) == nil {
		_ = d.Create(ctx, id, volume.Spec{SizeGiB: 1})
	}
	return d.Driver.Connect(ctx, id, c)
}

type strictDisconnect struct{ *fake.Driver }

func (d *strictDisconnect) Disconnect(ctx context.Context, id string, c volume.Connector) error {
	if _, ok := d.State().Attachments(id)[c.AttachmentID]; !ok {
		return nephos.NotFound("Attachment", c.AttachmentID)
	}
	return d.Driver.Disconnect(ctx, id, c)
}

type disconnectsAll struct{ *fake.Driver }

func (d disconnectsAll) Disconnect(ctx context.Context, id string, c volume.Connector) error {
	for a := range d.State().Attachments(id) {
		if err := d.Driver.Disconnect(ctx, id, volume.Connector{AttachmentID: a}); err != nil {
			return err
		}
	}
	return d.Driver.Disconnect(ctx, id, c)
}

type fixedStats struct{ *fake.Driver }

func (d fixedStats) Stats(ctx context.Context) (volume.Stats, error) {
	s, err := d.Driver.Stats(ctx)
	s.AllocatedGiB = 0
	return s, err
}

type oneAtATime struct {
	*fake.Driver
	busy atomic.Int64
}

func (d *oneAtATime) Clone(ctx context.Context, id string, s volume.Spec, source string) error {
	if d.busy.Add(1) > 3 { // of twelve
		return nephos.Errorf(nephos.ErrConflict, "clone volume %s: too many at once", source)
	}
	return d.Driver.Clone(ctx, id, s, source)
}

type snapshotsOnce struct{ *fake.Driver }

func (d snapshotsOnce) CreateSnapshot(ctx context.Context, id, s string) error {
	if v, err := d.Get(ctx, id); err == nil && slices.Contains(v.Snapshots, s) {
		return nephos.Errorf(nephos.ErrConflict, "snapshot %s is there", s)
	}
	return d.Driver.CreateSnapshot(ctx, id, s)
}

// shrinks makes whatever size is asked for, of what is larger.
type shrinks struct{ *fake.Driver }

func (d shrinks) CreateFromSnapshot(ctx context.Context, id string, spec volume.Spec, v, s string) error {
	err := d.Driver.CreateFromSnapshot(ctx, id, spec, v, s)
	if is(err, nephos.ErrInvalid) {
		return d.Create(ctx, id, spec)
	}
	return err
}

func (d shrinks) Clone(ctx context.Context, id string, spec volume.Spec, source string) error {
	err := d.Driver.Clone(ctx, id, spec, source)
	if is(err, nephos.ErrInvalid) {
		return d.Create(ctx, id, spec)
	}
	return err
}

type liveSnapshots struct{ *fake.Driver }

func (d liveSnapshots) CreateFromSnapshot(ctx context.Context, id string, spec volume.Spec, v, _ string) error {
	return d.Clone(ctx, id, spec, v)
}

type sortsSnapshots struct{ *fake.Driver }

func (d sortsSnapshots) Get(ctx context.Context, id string) (volume.Volume, error) {
	v, err := d.Driver.Get(ctx, id)
	slices.Sort(v.Snapshots)
	return v, err
}

type strictSnapshots struct{ *fake.Driver }

func (d strictSnapshots) DeleteSnapshot(ctx context.Context, id, s string) error {
	if v, err := d.Get(ctx, id); err == nil && !slices.Contains(v.Snapshots, s) {
		return nephos.NotFound("Snapshot", s)
	}
	return d.Driver.DeleteSnapshot(ctx, id, s)
}

// linkedClones go when their source does.
type linkedClones struct {
	*fake.Driver
	of sync.Map
}

func (d *linkedClones) Clone(ctx context.Context, id string, s volume.Spec, source string) error {
	d.of.Store(source, id)
	return d.Driver.Clone(ctx, id, s, source)
}

func (d *linkedClones) Delete(ctx context.Context, id string) error {
	if clone, ok := d.of.Load(id); ok {
		_ = d.Driver.Delete(ctx, clone.(string))
	}
	return d.Driver.Delete(ctx, id)
}

type blankClones struct{ *fake.Driver }

func (d blankClones) Clone(ctx context.Context, id string, s volume.Spec, source string) error {
	v, err := d.Get(ctx, source)
	if err != nil || v.SizeGiB > s.SizeGiB {
		return d.Driver.Clone(ctx, id, s, source)
	}
	return d.Create(ctx, id, s)
}

type clonesIdle struct{ *fake.Driver }

func (d clonesIdle) Clone(ctx context.Context, id string, s volume.Spec, source string) error {
	if len(d.State().Attachments(source)) > 0 {
		return nephos.Errorf(nephos.ErrConflict, "clone volume %s: it is connected", source)
	}
	return d.Driver.Clone(ctx, id, s, source)
}

type halfImages struct{ *fake.Driver }

func (d halfImages) CreateFromImage(ctx context.Context, id string, s volume.Spec, i volume.Image) error {
	err := d.Driver.CreateFromImage(ctx, id, s, i)
	if err != nil {
		_ = d.Create(context.WithoutCancel(ctx), id, s)
	}
	return err
}

// leaks takes room for what failed.
type leaks struct{ *fake.Driver }

func (d *leaks) CreateFromImage(ctx context.Context, id string, s volume.Spec, i volume.Image) error {
	err := d.Driver.CreateFromImage(ctx, id, s, i)
	if err != nil {
		_ = d.Create(context.WithoutCancel(ctx), "leaked", s)
	}
	return err
}

func (d *leaks) List(ctx context.Context) ([]volume.Volume, error) {
	all, err := d.Driver.List(ctx)
	return slices.DeleteFunc(all, func(v volume.Volume) bool { return v.ID == "leaked" }), err
}

type believesBodies struct{ *fake.Driver }

func (d believesBodies) CreateFromImage(ctx context.Context, id string, s volume.Spec, i volume.Image) error {
	i.Size = -1
	return d.Driver.CreateFromImage(ctx, id, s, i)
}

type blankImages struct{ *fake.Driver }

func (d blankImages) CreateFromImage(ctx context.Context, id string, s volume.Spec, i volume.Image) error {
	_, err := io.Copy(io.Discard, i.Body)
	return errors.Join(err, d.Create(ctx, id, s))
}

type imagesAnySize struct{ *fake.Driver }

func (d imagesAnySize) CreateFromImage(ctx context.Context, id string, s volume.Spec, i volume.Image) error {
	if err := d.Driver.CreateFromImage(ctx, id, s, i); !is(err, nephos.ErrConflict) {
		return err
	}
	return nil
}

// forgetsContent keeps bytes in its own memory.
type forgetsContent struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsContent) CreateFromImage(ctx context.Context, id string, s volume.Spec, i volume.Image) error {
	d.mine.Store(id, true)
	return d.Driver.CreateFromImage(ctx, id, s, i)
}

func (d *forgetsContent) Read(ctx context.Context, id string) (io.ReadCloser, error) {
	if _, ok := d.mine.Load(id); ok {
		return d.Driver.Read(ctx, id)
	}
	v, err := d.Get(ctx, id)
	return io.NopCloser(bytes.NewReader(make([]byte, v.SizeGiB<<30))), err
}

type readsOn struct{ *fake.Driver }

func (d readsOn) CreateFromImage(ctx context.Context, id string, s volume.Spec, i volume.Image) error {
	r, w := io.Pipe()
	body := i.Body
	go func() {
		_, err := io.Copy(w, body)
		w.CloseWithError(err)
	}()
	i.Body = r
	err := d.Driver.CreateFromImage(ctx, id, s, i)
	go func() { _, _ = io.Copy(io.Discard, io.LimitReader(r, 100<<20)) }()
	return err
}

type readsShort struct{ *fake.Driver }

func (d readsShort) Read(ctx context.Context, id string) (io.ReadCloser, error) {
	r, err := d.Driver.Read(ctx, id)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, 1<<30-1), r}, nil
}

type readsForEver struct{ *fake.Driver }

func (d readsForEver) Read(ctx context.Context, id string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return d.Driver.Read(context.WithoutCancel(ctx), id)
}

type extendsAny struct{ *fake.Driver }

func (d extendsAny) Extend(ctx context.Context, id string, size int, o volume.ExtendOptions) error {
	if v, err := d.Get(ctx, id); err == nil && size <= v.SizeGiB {
		return nil
	}
	return d.Driver.Extend(ctx, id, size, o)
}

type extendBlanks struct{ *fake.Driver }

func (d extendBlanks) Extend(ctx context.Context, id string, size int, o volume.ExtendOptions) error {
	err := d.Driver.Extend(ctx, id, size, o)
	if err == nil {
		_ = d.State().Write(id, 0, make([]byte, 512<<10))
	}
	return err
}

type forgetsSize struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsSize) Extend(ctx context.Context, id string, size int, o volume.ExtendOptions) error {
	d.mine.Store(id, true)
	return d.Driver.Extend(ctx, id, size, o)
}

func (d *forgetsSize) Get(ctx context.Context, id string) (volume.Volume, error) {
	v, err := d.Driver.Get(ctx, id)
	if _, ok := d.mine.Load(id); !ok {
		v.SizeGiB = 1
	}
	return v, err
}

type revertsAny struct{ *fake.Driver }

func (d revertsAny) Revert(ctx context.Context, id, s string) error {
	v, err := d.Get(ctx, id)
	if err != nil || !slices.Contains(v.Snapshots, s) {
		return d.Driver.Revert(ctx, id, s)
	}
	return d.Driver.Revert(ctx, id, v.Snapshots[len(v.Snapshots)-1])
}

type revertsUsed struct{ *fake.Driver }

func (d revertsUsed) Revert(ctx context.Context, id, s string) error {
	for a := range d.State().Attachments(id) {
		_ = d.Disconnect(ctx, id, volume.Connector{AttachmentID: a})
	}
	return d.Driver.Revert(ctx, id, s)
}

type revertsNothing struct{ *fake.Driver }

func (d revertsNothing) Revert(ctx context.Context, id, s string) error {
	clone := d.State().Clone()
	return fake.New(fake.Config{State: clone}).Revert(ctx, id, s)
}

type revertDrops struct{ *fake.Driver }

func (d revertDrops) Revert(ctx context.Context, id, s string) error {
	return errors.Join(d.Driver.Revert(ctx, id, s), d.DeleteSnapshot(ctx, id, s))
}

type retypesSize struct{ *fake.Driver }

func (d retypesSize) Retype(ctx context.Context, id string, s volume.Spec) error {
	if v, err := d.Get(ctx, id); err == nil && s.SizeGiB > v.SizeGiB {
		_ = d.Extend(ctx, id, s.SizeGiB, volume.ExtendOptions{})
	}
	return d.Driver.Retype(ctx, id, s)
}

type retypesNothing struct{ *fake.Driver }

func (d retypesNothing) Retype(ctx context.Context, id string, s volume.Spec) error {
	return fake.New(fake.Config{State: d.State().Clone()}).Retype(ctx, id, s)
}

type retypesAll struct{ *fake.Driver }

func (d retypesAll) Retype(ctx context.Context, id string, s volume.Spec) error {
	s.Encryption, s.Secrets = nil, nil
	return d.Driver.Retype(ctx, id, s)
}

type locatesUsed struct{ *fake.Driver }

func (d locatesUsed) Location(ctx context.Context, id string) (volume.Location, error) {
	l, err := d.Driver.Location(ctx, id)
	if is(err, nephos.ErrConflict) {
		return volume.Location{Type: "fake", Name: id, Format: "raw", SizeGiB: 1}, nil
	}
	return l, err
}

type reachesAll struct{ *fake.Driver }

func (d reachesAll) MigrateIn(ctx context.Context, id string, s volume.Spec, from volume.Location) error {
	if err := d.Driver.MigrateIn(ctx, id, s, from); !is(err, errors.ErrUnsupported) {
		return err
	}
	return nephos.Errorf(nephos.ErrNotFound, "migrate volume %s: no pool", id)
}

type tornGroups struct{ *fake.Driver }

func (d tornGroups) CreateGroupSnapshot(ctx context.Context, _ string, members []volume.GroupMember) error {
	for _, m := range members {
		if err := d.CreateSnapshot(ctx, m.VolumeID, m.SnapshotID); err != nil {
			return err
		}
	}
	return nil
}

type releasesUsed struct{ *fake.Driver }

func (d releasesUsed) Release(ctx context.Context, id string) (string, error) {
	for a := range d.State().Attachments(id) {
		_ = d.Disconnect(ctx, id, volume.Connector{AttachmentID: a})
	}
	return d.Driver.Release(ctx, id)
}

type releaseDeletes struct{ *fake.Driver }

func (d releaseDeletes) Release(ctx context.Context, id string) (string, error) {
	ref, err := d.Driver.Release(ctx, id)
	if err == nil {
		d.State().Lay(ref, 1<<30, nil)
	}
	return ref, err
}

type adoptsAny struct{ *fake.Driver }

func (d adoptsAny) Adopt(ctx context.Context, id, reference string) (volume.Volume, error) {
	if volume.CheckID("", reference) != nil {
		return volume.Volume{}, nephos.NotFound("Reference", reference)
	}
	return d.Driver.Adopt(ctx, id, reference)
}

type adoptsTwice struct{ *fake.Driver }

func (d adoptsTwice) Adopt(ctx context.Context, id, reference string) (volume.Volume, error) {
	v, err := d.Driver.Adopt(ctx, id, reference)
	if is(err, nephos.ErrConflict) {
		return volume.Volume{ID: id, SizeGiB: 1, Format: "raw"}, d.Create(ctx, id, volume.Spec{SizeGiB: 1})
	}
	return v, err
}

type forgetsLimits struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsLimits) SetLimits(ctx context.Context, id string, l driver.Limits) error {
	d.mine.Store(id, true)
	return d.Driver.SetLimits(ctx, id, l)
}

func (d *forgetsLimits) Create(ctx context.Context, id string, s volume.Spec) error {
	d.mine.Store(id, true)
	return d.Driver.Create(ctx, id, s)
}

func (d *forgetsLimits) Connect(ctx context.Context, id string, c volume.Connector) (driver.Connection, error) {
	conn, err := d.Driver.Connect(ctx, id, c)
	if _, ok := d.mine.Load(id); !ok {
		conn.Limits = nil
	}
	return conn, err
}

type anyLimits struct{ *fake.Driver }

func (d anyLimits) SetLimits(ctx context.Context, id string, l driver.Limits) error {
	if l.Validate() != nil {
		l = driver.Limits{}
	}
	return d.Driver.SetLimits(ctx, id, l)
}

type keepsLimits struct{ *fake.Driver }

func (d keepsLimits) SetLimits(ctx context.Context, id string, l driver.Limits) error {
	if l.IsZero() {
		return nil
	}
	return d.Driver.SetLimits(ctx, id, l)
}

// sharesLimits keeps what it was given, not a copy.
type sharesLimits struct {
	*fake.Driver
	last atomic.Pointer[driver.Limits]
}

func (d *sharesLimits) Create(ctx context.Context, id string, s volume.Spec) error {
	d.last.Store(s.Limits)
	return d.Driver.Create(ctx, id, s)
}

func (d *sharesLimits) Connect(ctx context.Context, id string, c volume.Connector) (driver.Connection, error) {
	conn, err := d.Driver.Connect(ctx, id, c)
	if l := d.last.Load(); l != nil {
		conn.Limits = l
	}
	return conn, err
}

// sharesVolumes answers from a cache that its callers can write to.
type sharesVolumes struct {
	*fake.Driver
	cache sync.Map
}

func (d *sharesVolumes) Get(ctx context.Context, id string) (volume.Volume, error) {
	v, err := d.Driver.Get(ctx, id)
	if old, ok := d.cache.Load(id); ok && err == nil && len(old.(volume.Volume).Snapshots) == len(v.Snapshots) {
		return old.(volume.Volume), nil
	}
	d.cache.Store(id, v)
	return v, err
}

type openEncryption struct{ *fake.Driver }

func (d openEncryption) Create(ctx context.Context, id string, s volume.Spec) error {
	if s.Encryption != nil && s.Secrets["passphrase"] == "" {
		s.Encryption = nil
	}
	return d.Driver.Create(ctx, id, s)
}

type tellsSecrets struct{ *fake.Driver }

func (d tellsSecrets) Create(ctx context.Context, id string, s volume.Spec) error {
	if err := d.Driver.Create(ctx, id, s); err != nil {
		return fmt.Errorf("create %s as %+v: %w", id, s, err)
	}
	return nil
}

type forgetsKeys struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsKeys) Create(ctx context.Context, id string, s volume.Spec) error {
	d.mine.Store(id, true)
	return d.Driver.Create(ctx, id, s)
}

func (d *forgetsKeys) Connect(ctx context.Context, id string, c volume.Connector) (driver.Connection, error) {
	conn, err := d.Driver.Connect(ctx, id, c)
	if _, ok := d.mine.Load(id); !ok {
		conn.Encryption, conn.Secrets = nil, nil
	}
	return conn, err
}

type clonesAllImages struct{ *fake.Driver }

func (d clonesAllImages) CloneImage(ctx context.Context, id string, s volume.Spec, i volume.ImageLocation) error {
	if err := d.Driver.CloneImage(ctx, id, s, i); !is(err, errors.ErrUnsupported) {
		return err
	}
	return d.Create(ctx, id, s)
}

type clonesSmall struct{ *fake.Driver }

func (d clonesSmall) CloneImage(ctx context.Context, id string, s volume.Spec, i volume.ImageLocation) error {
	s.SizeGiB = 1
	return d.Driver.CloneImage(ctx, id, s, i)
}

type exportsAll struct{ *fake.Driver }

func (d exportsAll) ExportDiff(ctx context.Context, id, from, to string) (io.ReadCloser, error) {
	r, err := d.Driver.ExportDiff(ctx, id, from, to)
	if err == nil && from != "" {
		return d.Driver.ExportDiff(ctx, id, "", from)
	}
	return r, err
}

type exportsBackwards struct{ *fake.Driver }

func (d exportsBackwards) ExportDiff(ctx context.Context, id, from, to string) (io.ReadCloser, error) {
	r, err := d.Driver.ExportDiff(ctx, id, from, to)
	if is(err, nephos.ErrInvalid) {
		return d.Driver.ExportDiff(ctx, id, "", to)
	}
	return r, err
}

type importsUsed struct{ *fake.Driver }

func (d importsUsed) ImportDiff(ctx context.Context, id string, diff io.Reader) error {
	for a := range d.State().Attachments(id) {
		_ = d.Disconnect(ctx, id, volume.Connector{AttachmentID: a})
	}
	return d.Driver.ImportDiff(ctx, id, diff)
}

type importsHalves struct{ *fake.Driver }

func (d importsHalves) ImportDiff(ctx context.Context, id string, diff io.Reader) error {
	if err := d.Driver.ImportDiff(ctx, id, diff); !is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return nil
}

type attachesAnew struct {
	*fake.Driver
	n atomic.Int64
}

func (d *attachesAnew) Attach(ctx context.Context, id string, c driver.Connection) (driver.Connection, error) {
	local, err := d.Driver.Attach(ctx, id, c)
	local.Path += fmt.Sprint(d.n.Add(1))
	return local, err
}

type forgetsHost struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsHost) Attach(ctx context.Context, id string, c driver.Connection) (driver.Connection, error) {
	d.mine.Store(id, true)
	return d.Driver.Attach(ctx, id, c)
}

func (d *forgetsHost) Attached(ctx context.Context) ([]string, error) {
	all, err := d.Driver.Attached(ctx)
	return slices.DeleteFunc(all, func(id string) bool { _, ok := d.mine.Load(id); return !ok }), err
}

type detachesNothing struct{ *fake.Driver }

func (d detachesNothing) Detach(context.Context, string) error { return nil }

type tersely struct{ *fake.Driver }

func (d tersely) Create(ctx context.Context, id string, s volume.Spec) error {
	if err := d.Driver.Create(ctx, id, s); is(err, nephos.ErrConflict) {
		return nephos.ErrConflict
	} else if err != nil {
		return err
	}
	return nil
}
