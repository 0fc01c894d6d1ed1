package plugin

import (
	"context"
	"io"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
	pb "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/volume/v1"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// remoteVolume is our side: a driver whose calls are carried out elsewhere. It
// has every ability's methods and narrows the offer by Abilities.
type remoteVolume struct{ *Plugin }

type vol = pb.VolumeClient

var newVol = pb.NewVolumeClient

var (
	_ volume.Driver        = (*remoteVolume)(nil)
	_ volume.Abilitier     = (*remoteVolume)(nil)
	_ volume.Snapshotter   = (*remoteVolume)(nil)
	_ volume.Cloner        = (*remoteVolume)(nil)
	_ volume.ImageWriter   = (*remoteVolume)(nil)
	_ volume.ImageReader   = (*remoteVolume)(nil)
	_ volume.Extender      = (*remoteVolume)(nil)
	_ volume.Reverter      = (*remoteVolume)(nil)
	_ volume.Retyper       = (*remoteVolume)(nil)
	_ volume.Migrator      = (*remoteVolume)(nil)
	_ volume.Grouper       = (*remoteVolume)(nil)
	_ volume.Adopter       = (*remoteVolume)(nil)
	_ volume.MultiAttacher = (*remoteVolume)(nil)
	_ volume.Limiter       = (*remoteVolume)(nil)
	_ volume.Encrypter     = (*remoteVolume)(nil)
	_ volume.ImageCloner   = (*remoteVolume)(nil)
	_ volume.DiffExporter  = (*remoteVolume)(nil)
	_ volume.DiffImporter  = (*remoteVolume)(nil)
	_ volume.Attacher      = (*remoteVolume)(nil)
)

func volumeID(id string) error     { return volume.CheckID("volume ID", id) }
func attachmentID(id string) error { return volume.CheckID("attachment ID", id) }

func (d *remoteVolume) MultiAttach() int { return int(d.traits().GetMultiAttachHosts()) }

func (d *remoteVolume) EncryptionFormats() []string { return d.traits().GetEncryptionFormats() }

func (d *remoteVolume) Create(ctx context.Context, id string, spec volume.Spec) error {
	_, err := call(ctx, d.Plugin, newVol, vol.Create, &pb.CreateRequest{Id: id, Spec: wire.To[pb.Spec](spec)})
	return err
}

func (d *remoteVolume) Delete(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newVol, vol.Delete, &pb.DeleteRequest{Id: id})
	return err
}

func (d *remoteVolume) Get(ctx context.Context, id string) (out volume.Volume, err error) {
	r, err := call(ctx, d.Plugin, newVol, vol.Get, &pb.GetRequest{Id: id})
	if err == nil {
		err = same("volume", r.GetVolume().GetId(), id)
	}
	if err != nil {
		return out, err
	}
	v := wire.From[volume.Volume](r.GetVolume())
	return v, saneVolume(v)
}

func (d *remoteVolume) List(ctx context.Context) (out []volume.Volume, err error) {
	r, err := call(ctx, d.Plugin, newVol, vol.List, &pb.ListRequest{})
	if err == nil {
		err = unique("volumes", r.GetVolumes(), (*pb.VolumeInfo).GetId, volumeID)
	}
	if err != nil {
		return out, err
	}
	return each(wire.FromAll[volume.Volume](r.GetVolumes()), saneVolume)
}

func (d *remoteVolume) Connect(ctx context.Context, id string, c volume.Connector) (driver.Connection, error) {
	r, err := call(ctx, d.Plugin, newVol, vol.Connect, &pb.ConnectRequest{Id: id, Connector: wire.To[pb.Connector](c)})
	if err != nil {
		return driver.Connection{}, err
	}
	return d.connection("connecting volume "+id, wire.From[driver.Connection](r.GetConnection()))
}

func (d *remoteVolume) Disconnect(ctx context.Context, id string, c volume.Connector) error {
	_, err := call(ctx, d.Plugin, newVol, vol.Disconnect, &pb.DisconnectRequest{Id: id, Connector: wire.To[pb.Connector](c)})
	return err
}

func (d *remoteVolume) Stats(ctx context.Context) (volume.Stats, error) {
	r, err := call(ctx, d.Plugin, newVol, vol.Stats, &pb.StatsRequest{})
	return wire.From[volume.Stats](r.GetStats()), err
}

func (d *remoteVolume) CreateSnapshot(ctx context.Context, volumeID string, snapshotID string) error {
	_, err := call(ctx, d.Plugin, newVol, vol.CreateSnapshot, &pb.CreateSnapshotRequest{VolumeId: volumeID, SnapshotId: snapshotID})
	return err
}

func (d *remoteVolume) DeleteSnapshot(ctx context.Context, volumeID string, snapshotID string) error {
	_, err := call(ctx, d.Plugin, newVol, vol.DeleteSnapshot, &pb.DeleteSnapshotRequest{VolumeId: volumeID, SnapshotId: snapshotID})
	return err
}

func (d *remoteVolume) CreateFromSnapshot(ctx context.Context, id string, spec volume.Spec, volumeID string, snapshotID string) error {
	_, err := call(ctx, d.Plugin, newVol, vol.CreateFromSnapshot, &pb.CreateFromSnapshotRequest{Id: id, Spec: wire.To[pb.Spec](spec), VolumeId: volumeID, SnapshotId: snapshotID})
	return err
}

func (d *remoteVolume) Clone(ctx context.Context, id string, spec volume.Spec, sourceID string) error {
	_, err := call(ctx, d.Plugin, newVol, vol.Clone, &pb.CloneRequest{Id: id, Spec: wire.To[pb.Spec](spec), SourceId: sourceID})
	return err
}

func (d *remoteVolume) Revert(ctx context.Context, volumeID string, snapshotID string) error {
	_, err := call(ctx, d.Plugin, newVol, vol.Revert, &pb.RevertRequest{VolumeId: volumeID, SnapshotId: snapshotID})
	return err
}

func (d *remoteVolume) Retype(ctx context.Context, id string, spec volume.Spec) error {
	_, err := call(ctx, d.Plugin, newVol, vol.Retype, &pb.RetypeRequest{Id: id, Spec: wire.To[pb.Spec](spec)})
	return err
}

func (d *remoteVolume) Location(ctx context.Context, id string) (volume.Location, error) {
	r, err := call(ctx, d.Plugin, newVol, vol.Location, &pb.LocationRequest{Id: id})
	if err != nil {
		return volume.Location{}, err
	}
	l := wire.From[volume.Location](r.GetLocation())
	// Another pool's driver will read what is there.
	if err := d.places("locating volume "+id, map[string]string{"name": l.Name}); err != nil {
		return volume.Location{}, err
	}
	return l, d.places("locating volume "+id, l.Options)
}

func (d *remoteVolume) MigrateIn(ctx context.Context, id string, spec volume.Spec, from volume.Location) error {
	_, err := call(ctx, d.Plugin, newVol, vol.MigrateIn, &pb.MigrateInRequest{Id: id, Spec: wire.To[pb.Spec](spec), From: wire.To[pb.Place](from)})
	return err
}

func (d *remoteVolume) CreateGroupSnapshot(ctx context.Context, groupID string, members []volume.GroupMember) error {
	_, err := call(ctx, d.Plugin, newVol, vol.CreateGroupSnapshot, &pb.CreateGroupSnapshotRequest{GroupId: groupID, Members: wire.ToAll[pb.GroupMember](members)})
	return err
}

func (d *remoteVolume) ListAdoptable(ctx context.Context) ([]volume.Adoptable, error) {
	r, err := call(ctx, d.Plugin, newVol, vol.ListAdoptable, &pb.ListAdoptableRequest{})
	return wire.FromAll[volume.Adoptable](r.GetAdoptables()), err
}

func (d *remoteVolume) Adopt(ctx context.Context, id string, reference string) (out volume.Volume, err error) {
	r, err := call(ctx, d.Plugin, newVol, vol.Adopt, &pb.AdoptRequest{Id: id, Reference: reference})
	if err == nil {
		err = same("volume", r.GetVolume().GetId(), id)
	}
	if err != nil {
		return out, err
	}
	return wire.From[volume.Volume](r.GetVolume()), nil
}

func (d *remoteVolume) Release(ctx context.Context, id string) (string, error) {
	r, err := call(ctx, d.Plugin, newVol, vol.Release, &pb.ReleaseRequest{Id: id})
	return r.GetReference(), err
}

func (d *remoteVolume) SetLimits(ctx context.Context, id string, limits driver.Limits) error {
	_, err := call(ctx, d.Plugin, newVol, vol.SetLimits, &pb.SetLimitsRequest{Id: id, Limits: wire.To[driverv1.Limits](limits)})
	return err
}

func (d *remoteVolume) CloneImage(ctx context.Context, id string, spec volume.Spec, image volume.ImageLocation) error {
	_, err := call(ctx, d.Plugin, newVol, vol.CloneImage, &pb.CloneImageRequest{Id: id, Spec: wire.To[pb.Spec](spec), Image: wire.To[pb.ImageLocation](image)})
	return err
}

func (d *remoteVolume) Attach(ctx context.Context, attachmentID string, c driver.Connection) (driver.Connection, error) {
	r, err := call(ctx, d.Plugin, newVol, vol.Attach, &pb.AttachRequest{AttachmentId: attachmentID, Connection: wire.To[driverv1.Connection](c)})
	if err != nil {
		return driver.Connection{}, err
	}
	return d.connection("attaching "+attachmentID, wire.From[driver.Connection](r.GetConnection()))
}

func (d *remoteVolume) Detach(ctx context.Context, attachmentID string) error {
	_, err := call(ctx, d.Plugin, newVol, vol.Detach, &pb.DetachRequest{AttachmentId: attachmentID})
	return err
}

func (d *remoteVolume) Attached(ctx context.Context) (out []string, err error) {
	r, err := call(ctx, d.Plugin, newVol, vol.Attached, &pb.AttachedRequest{})
	if err == nil {
		err = unique("attachments", r.GetAttachmentIds(), itself, attachmentID)
	}
	if err != nil {
		return out, err
	}
	return r.GetAttachmentIds(), nil
}

func (d *remoteVolume) Extend(ctx context.Context, id string, sizeGiB int, opts volume.ExtendOptions) error {
	_, err := call(ctx, d.Plugin, newVol, vol.Extend, &pb.ExtendRequest{Id: id, SizeGib: int64(sizeGiB), InUse: opts.InUse})
	return err
}

func (d *remoteVolume) CreateFromImage(ctx context.Context, id string, spec volume.Spec, image volume.Image) error {
	_, _, err := d.send(ctx, image.Body, func(socket string) error {
		_, err := call(ctx, d.Plugin, newVol, vol.CreateFromImage, &pb.CreateFromImageRequest{
			Id: id, Spec: wire.To[pb.Spec](spec), Format: image.Format, Size: image.Size, VirtualSize: image.VirtualSize, Socket: socket,
		})
		return err
	})
	return err
}

func (d *remoteVolume) Read(ctx context.Context, id string) (io.ReadCloser, error) {
	return d.receive(ctx, func(socket string) error {
		_, err := call(ctx, d.Plugin, newVol, vol.Read, &pb.ReadRequest{Id: id, Socket: socket})
		return err
	})
}

func (d *remoteVolume) ExportDiff(ctx context.Context, volumeID, from, to string) (io.ReadCloser, error) {
	return d.receive(ctx, func(socket string) error {
		_, err := call(ctx, d.Plugin, newVol, vol.ExportDiff, &pb.ExportDiffRequest{VolumeId: volumeID, From: from, To: to, Socket: socket})
		return err
	})
}

func (d *remoteVolume) ImportDiff(ctx context.Context, volumeID string, diff io.Reader) error {
	_, _, err := d.send(ctx, diff, func(socket string) error {
		_, err := call(ctx, d.Plugin, newVol, vol.ImportDiff, &pb.ImportDiffRequest{VolumeId: volumeID, Socket: socket})
		return err
	})
	return err
}
