package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
	pb "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/hypervisor/v1"
)

// remoteHypervisor is our side: a driver whose calls are carried out elsewhere.
// It has every ability's methods and narrows the offer by Abilities.
type remoteHypervisor struct{ *Plugin }

type hv = pb.HypervisorClient

var newHV = pb.NewHypervisorClient

var (
	_ hypervisor.Driver         = (*remoteHypervisor)(nil)
	_ hypervisor.Abilitier      = (*remoteHypervisor)(nil)
	_ hypervisor.HotPlugger     = (*remoteHypervisor)(nil)
	_ hypervisor.Rebooter       = (*remoteHypervisor)(nil)
	_ hypervisor.Pauser         = (*remoteHypervisor)(nil)
	_ hypervisor.Suspender      = (*remoteHypervisor)(nil)
	_ hypervisor.Snapshotter    = (*remoteHypervisor)(nil)
	_ hypervisor.ConsoleLogger  = (*remoteHypervisor)(nil)
	_ hypervisor.Consoler       = (*remoteHypervisor)(nil)
	_ hypervisor.Eventer        = (*remoteHypervisor)(nil)
	_ hypervisor.Diagnoser      = (*remoteHypervisor)(nil)
	_ hypervisor.DiskResizer    = (*remoteHypervisor)(nil)
	_ hypervisor.DiskThrottler  = (*remoteHypervisor)(nil)
	_ hypervisor.DiskDecrypter  = (*remoteHypervisor)(nil)
	_ hypervisor.DiskExporter   = (*remoteHypervisor)(nil)
	_ hypervisor.DiskImporter   = (*remoteHypervisor)(nil)
	_ hypervisor.Rescuer        = (*remoteHypervisor)(nil)
	_ hypervisor.Statistician   = (*remoteHypervisor)(nil)
	_ hypervisor.PasswordSetter = (*remoteHypervisor)(nil)
	_ hypervisor.LiveMigrator   = (*remoteHypervisor)(nil)
	_ hypervisor.ImageCacher    = (*remoteHypervisor)(nil)
	_ hypervisor.Placer         = (*remoteHypervisor)(nil)
	_ hypervisor.DevicePasser   = (*remoteHypervisor)(nil)
)

func (d *remoteHypervisor) HotPlug() (disks, nics bool) {
	can := d.traits().GetHotPlug()
	return slices.Contains(can, "disks"), slices.Contains(can, "nics")
}

func (d *remoteHypervisor) EncryptionFormats() []string { return d.traits().GetEncryptionFormats() }

func (d *remoteHypervisor) Info(ctx context.Context) (hypervisor.Host, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.Info, &pb.InfoRequest{})
	return wire.From[hypervisor.Host](r.GetHost()), err
}

func (d *remoteHypervisor) Ensure(ctx context.Context, id string, spec hypervisor.Spec) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Ensure, &pb.EnsureRequest{Id: id, Spec: wire.To[pb.Spec](spec)})
	return err
}

func (d *remoteHypervisor) Start(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Start, &pb.StartRequest{Id: id})
	return err
}

func (d *remoteHypervisor) Stop(ctx context.Context, id string, opts hypervisor.StopOptions) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Stop, &pb.StopRequest{Id: id, Grace: int64(opts.Grace)})
	return err
}

func (d *remoteHypervisor) Destroy(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Destroy, &pb.DestroyRequest{Id: id})
	return err
}

func (d *remoteHypervisor) Get(ctx context.Context, id string) (hypervisor.Guest, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.Get, &pb.GetRequest{Id: id})
	if err == nil {
		err = same("guest", r.GetGuest().GetId(), id)
	}
	if err != nil {
		return hypervisor.Guest{}, err
	}
	g := wire.From[hypervisor.Guest](r.GetGuest())
	return g, saneGuest(g)
}

func (d *remoteHypervisor) List(ctx context.Context) ([]hypervisor.Guest, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.List, &pb.ListRequest{})
	if err == nil {
		err = unique("guests", r.GetGuests(), (*pb.Guest).GetId, hypervisor.CheckID)
	}
	if err != nil {
		return nil, err
	}
	return each(wire.FromAll[hypervisor.Guest](r.GetGuests()), saneGuest)
}

func (d *remoteHypervisor) Reboot(ctx context.Context, id string, hard bool) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Reboot, &pb.RebootRequest{Id: id, Hard: hard})
	return err
}

func (d *remoteHypervisor) Pause(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Pause, &pb.PauseRequest{Id: id})
	return err
}

func (d *remoteHypervisor) Unpause(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Unpause, &pb.UnpauseRequest{Id: id})
	return err
}

func (d *remoteHypervisor) Suspend(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Suspend, &pb.SuspendRequest{Id: id})
	return err
}

func (d *remoteHypervisor) Resume(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Resume, &pb.ResumeRequest{Id: id})
	return err
}

func (d *remoteHypervisor) Snapshot(ctx context.Context, id, diskID, path string) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Snapshot, &pb.SnapshotRequest{Id: id, DiskId: diskID, Path: path})
	return err
}

func (d *remoteHypervisor) ConsoleLog(ctx context.Context, id string, limit int64) ([]byte, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.ConsoleLog, &pb.ConsoleLogRequest{Id: id, Max: limit})
	log := r.GetLog()
	if over := int64(len(log)) - limit; over > 0 {
		log = log[over:]
	}
	return log, err
}

func (d *remoteHypervisor) Console(ctx context.Context, id string, kind hypervisor.ConsoleKind) (io.ReadWriteCloser, error) {
	conn, err := d.connected(ctx, func(socket string) error {
		_, err := call(ctx, d.Plugin, newHV, hv.Console, &pb.ConsoleRequest{Id: id, Kind: string(kind), Socket: socket})
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (d *remoteHypervisor) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	return follow(ctx, d.Plugin,
		func(ctx context.Context, conn grpc.ClientConnInterface) (grpc.ServerStreamingClient[pb.EventsResponse], error) {
			return newHV(conn).Events(ctx, &pb.EventsRequest{})
		},
		func(m *pb.EventsResponse) hypervisor.Event { return wire.From[hypervisor.Event](m) },
		func(e hypervisor.Event) error { return hypervisor.CheckID(e.ID) })
}

func (d *remoteHypervisor) Diagnostics(ctx context.Context, id string) (map[string]any, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.Diagnostics, &pb.DiagnosticsRequest{Id: id})
	if err != nil {
		return nil, err
	}
	var values map[string]any
	if err := json.Unmarshal(r.GetJson(), &values); err != nil {
		return nil, fmt.Errorf("reading the plugin's diagnostics of guest %s: %w", id, err)
	}
	return values, nil
}

func (d *remoteHypervisor) Placement(ctx context.Context, id string) (hypervisor.Placement, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.Placement, &pb.PlacementRequest{Id: id})
	return wire.From[hypervisor.Placement](r.GetPlacement()), err
}

func (d *remoteHypervisor) Devices(ctx context.Context, id string) ([]string, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.Devices, &pb.DevicesRequest{Id: id})
	return r.GetPci(), err
}

func (d *remoteHypervisor) Statistics(ctx context.Context, id string) (hypervisor.Statistics, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.Statistics, &pb.StatisticsRequest{Id: id})
	return wire.From[hypervisor.Statistics](r.GetStatistics()), err
}

func (d *remoteHypervisor) SetPassword(ctx context.Context, id, user, password string) error {
	_, err := call(ctx, d.Plugin, newHV, hv.SetPassword, &pb.SetPasswordRequest{Id: id, User: user, Password: password})
	return err
}

func (d *remoteHypervisor) Rescue(ctx context.Context, id string, disk driver.Disk) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Rescue, &pb.RescueRequest{Id: id, Disk: wire.To[driverv1.Disk](disk)})
	return err
}

func (d *remoteHypervisor) Unrescue(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Unrescue, &pb.UnrescueRequest{Id: id})
	return err
}

func (d *remoteHypervisor) ResizeDisk(ctx context.Context, id, diskID string, size int64) error {
	_, err := call(ctx, d.Plugin, newHV, hv.ResizeDisk, &pb.ResizeDiskRequest{Id: id, DiskId: diskID, Size: size})
	return err
}

func (d *remoteHypervisor) ThrottleDisk(ctx context.Context, id, diskID string, limits driver.Limits) error {
	_, err := call(ctx, d.Plugin, newHV, hv.ThrottleDisk, &pb.ThrottleDiskRequest{Id: id, DiskId: diskID, Limits: wire.To[driverv1.Limits](limits)})
	return err
}

func (d *remoteHypervisor) ExportDisk(ctx context.Context, id, diskID string) (hypervisor.DiskImage, io.ReadCloser, error) {
	var image hypervisor.DiskImage
	stream, err := d.receive(ctx, func(socket string) error {
		r, err := call(ctx, d.Plugin, newHV, hv.ExportDisk, &pb.ExportDiskRequest{Id: id, DiskId: diskID, Socket: socket})
		image = wire.From[hypervisor.DiskImage](r.GetImage())
		return err
	})
	return image, stream, err
}

func (d *remoteHypervisor) ImportDisk(ctx context.Context, id, diskID string, image hypervisor.DiskImage, body io.Reader) error {
	_, _, err := d.send(ctx, body, func(socket string) error {
		_, err := call(ctx, d.Plugin, newHV, hv.ImportDisk, &pb.ImportDiskRequest{
			Id: id, DiskId: diskID, Image: wire.To[pb.DiskImage](image), Socket: socket,
		})
		return err
	})
	return err
}

func (d *remoteHypervisor) EnsureImage(ctx context.Context, image hypervisor.ImageSpec, body io.Reader) (driver.Image, error) {
	var out driver.Image
	_, _, err := d.send(ctx, body, func(socket string) error {
		r, err := call(ctx, d.Plugin, newHV, hv.EnsureImage, &pb.EnsureImageRequest{Image: wire.To[pb.ImageSpec](image), Socket: socket})
		out = wire.From[driver.Image](r.GetImage())
		return err
	})
	if err == nil {
		err = same("image", out.Digest, image.Digest)
	}
	if err != nil {
		return driver.Image{}, err
	}
	return out, nil
}

func (d *remoteHypervisor) ListImages(ctx context.Context) ([]hypervisor.CachedImage, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.ListImages, &pb.ListImagesRequest{})
	return wire.FromAll[hypervisor.CachedImage](r.GetImages()), err
}

func (d *remoteHypervisor) EvictImage(ctx context.Context, digest string) error {
	_, err := call(ctx, d.Plugin, newHV, hv.EvictImage, &pb.EvictImageRequest{Digest: digest})
	return err
}

func (d *remoteHypervisor) CheckMigration(ctx context.Context, id string, dest hypervisor.Host) (hypervisor.MigrationCheck, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.CheckMigration, &pb.CheckMigrationRequest{Id: id, Dest: wire.To[pb.Host](dest)})
	return wire.From[hypervisor.MigrationCheck](r.GetCheck()), err
}

func (d *remoteHypervisor) PrepareMigration(ctx context.Context, id string, spec hypervisor.Spec, opts hypervisor.PrepareOptions) (hypervisor.MigrationTarget, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.PrepareMigration, &pb.PrepareMigrationRequest{
		Id: id, Spec: wire.To[pb.Spec](spec), Opts: wire.To[pb.PrepareOptions](opts),
	})
	return wire.From[hypervisor.MigrationTarget](r.GetTarget()), err
}

func (d *remoteHypervisor) Migrate(ctx context.Context, id string, target hypervisor.MigrationTarget, opts hypervisor.MigrateOptions) error {
	_, err := call(ctx, d.Plugin, newHV, hv.Migrate, &pb.MigrateRequest{
		Id: id, Target: wire.To[pb.MigrationTarget](target), Opts: wire.To[pb.MigrateOptions](opts),
	})
	return err
}

func (d *remoteHypervisor) Migration(ctx context.Context, id string) (hypervisor.Migration, error) {
	r, err := call(ctx, d.Plugin, newHV, hv.Migration, &pb.MigrationRequest{Id: id})
	return wire.From[hypervisor.Migration](r.GetMigration()), err
}

func (d *remoteHypervisor) AbortMigration(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newHV, hv.AbortMigration, &pb.AbortMigrationRequest{Id: id})
	return err
}
