package plugin

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
	pb "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/hypervisor/v1"
)

// hypervisorServer is the plugin's side: it calls the driver.
type hypervisorServer struct {
	pb.UnimplementedHypervisorServer
	d hypervisor.Driver
}

func (s *hypervisorServer) Info(ctx context.Context, _ *pb.InfoRequest) (*pb.InfoResponse, error) {
	h, err := s.d.Info(ctx)
	return done(&pb.InfoResponse{Host: wire.To[pb.Host](h)}, err)
}

func (s *hypervisorServer) Ensure(ctx context.Context, q *pb.EnsureRequest) (*pb.EnsureResponse, error) {
	return done(&pb.EnsureResponse{}, s.d.Ensure(ctx, q.GetId(), wire.From[hypervisor.Spec](q.GetSpec())))
}

func (s *hypervisorServer) Start(ctx context.Context, q *pb.StartRequest) (*pb.StartResponse, error) {
	return done(&pb.StartResponse{}, s.d.Start(ctx, q.GetId()))
}

func (s *hypervisorServer) Stop(ctx context.Context, q *pb.StopRequest) (*pb.StopResponse, error) {
	return done(&pb.StopResponse{}, s.d.Stop(ctx, q.GetId(), hypervisor.StopOptions{Grace: time.Duration(q.GetGrace())}))
}

func (s *hypervisorServer) Destroy(ctx context.Context, q *pb.DestroyRequest) (*pb.DestroyResponse, error) {
	return done(&pb.DestroyResponse{}, s.d.Destroy(ctx, q.GetId()))
}

func (s *hypervisorServer) Get(ctx context.Context, q *pb.GetRequest) (*pb.GetResponse, error) {
	g, err := s.d.Get(ctx, q.GetId())
	return done(&pb.GetResponse{Guest: wire.To[pb.Guest](g)}, err)
}

func (s *hypervisorServer) List(ctx context.Context, _ *pb.ListRequest) (*pb.ListResponse, error) {
	guests, err := s.d.List(ctx)
	return done(&pb.ListResponse{Guests: wire.ToAll[pb.Guest](guests)}, err)
}

func (s *hypervisorServer) Reboot(ctx context.Context, q *pb.RebootRequest) (*pb.RebootResponse, error) {
	return as(s.d, "rebooting", func(d hypervisor.Rebooter) (*pb.RebootResponse, error) {
		return &pb.RebootResponse{}, d.Reboot(ctx, q.GetId(), q.GetHard())
	})
}

func (s *hypervisorServer) Pause(ctx context.Context, q *pb.PauseRequest) (*pb.PauseResponse, error) {
	return as(s.d, "pausing", func(d hypervisor.Pauser) (*pb.PauseResponse, error) {
		return &pb.PauseResponse{}, d.Pause(ctx, q.GetId())
	})
}

func (s *hypervisorServer) Unpause(ctx context.Context, q *pb.UnpauseRequest) (*pb.UnpauseResponse, error) {
	return as(s.d, "unpausing", func(d hypervisor.Pauser) (*pb.UnpauseResponse, error) {
		return &pb.UnpauseResponse{}, d.Unpause(ctx, q.GetId())
	})
}

func (s *hypervisorServer) Suspend(ctx context.Context, q *pb.SuspendRequest) (*pb.SuspendResponse, error) {
	return as(s.d, "suspending", func(d hypervisor.Suspender) (*pb.SuspendResponse, error) {
		return &pb.SuspendResponse{}, d.Suspend(ctx, q.GetId())
	})
}

func (s *hypervisorServer) Resume(ctx context.Context, q *pb.ResumeRequest) (*pb.ResumeResponse, error) {
	return as(s.d, "resuming", func(d hypervisor.Suspender) (*pb.ResumeResponse, error) {
		return &pb.ResumeResponse{}, d.Resume(ctx, q.GetId())
	})
}

func (s *hypervisorServer) Snapshot(ctx context.Context, q *pb.SnapshotRequest) (*pb.SnapshotResponse, error) {
	return as(s.d, "copying a disk", func(d hypervisor.Snapshotter) (*pb.SnapshotResponse, error) {
		return &pb.SnapshotResponse{}, d.Snapshot(ctx, q.GetId(), q.GetDiskId(), q.GetPath())
	})
}

func (s *hypervisorServer) ConsoleLog(ctx context.Context, q *pb.ConsoleLogRequest) (*pb.ConsoleLogResponse, error) {
	return as(s.d, "reading the console's log", func(d hypervisor.ConsoleLogger) (*pb.ConsoleLogResponse, error) {
		log, err := d.ConsoleLog(ctx, q.GetId(), q.GetMax())
		return &pb.ConsoleLogResponse{Log: log}, err
	})
}

func (s *hypervisorServer) Console(ctx context.Context, q *pb.ConsoleRequest) (*pb.ConsoleResponse, error) {
	return as(s.d, "opening a console", func(d hypervisor.Consoler) (*pb.ConsoleResponse, error) {
		return &pb.ConsoleResponse{}, joining(ctx, q.GetSocket(), func(ctx context.Context) (io.ReadWriteCloser, error) {
			return d.Console(ctx, q.GetId(), hypervisor.ConsoleKind(q.GetKind()))
		})
	})
}

func (s *hypervisorServer) Events(_ *pb.EventsRequest, stream grpc.ServerStreamingServer[pb.EventsResponse]) error {
	d, ok := s.d.(hypervisor.Eventer)
	if !ok {
		return wire.ToStatus(unsupported("reporting events", s.d))
	}
	events, err := d.Events(stream.Context())
	if err != nil {
		return wire.ToStatus(err)
	}
	return report(events, stream, func(e hypervisor.Event) *pb.EventsResponse { return wire.To[pb.EventsResponse](e) })
}

func (s *hypervisorServer) Diagnostics(ctx context.Context, q *pb.DiagnosticsRequest) (*pb.DiagnosticsResponse, error) {
	return as(s.d, "diagnosing", func(d hypervisor.Diagnoser) (*pb.DiagnosticsResponse, error) {
		values, err := d.Diagnostics(ctx, q.GetId())
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(values)
		return &pb.DiagnosticsResponse{Json: text}, err
	})
}

func (s *hypervisorServer) Placement(ctx context.Context, q *pb.PlacementRequest) (*pb.PlacementResponse, error) {
	return as(s.d, "placing guests", func(d hypervisor.Placer) (*pb.PlacementResponse, error) {
		p, err := d.Placement(ctx, q.GetId())
		return &pb.PlacementResponse{Placement: wire.To[pb.GuestPlacement](p)}, err
	})
}

func (s *hypervisorServer) Devices(ctx context.Context, q *pb.DevicesRequest) (*pb.DevicesResponse, error) {
	return as(s.d, "passing devices", func(d hypervisor.DevicePasser) (*pb.DevicesResponse, error) {
		list, err := d.Devices(ctx, q.GetId())
		return &pb.DevicesResponse{Pci: list}, err
	})
}

func (s *hypervisorServer) Statistics(ctx context.Context, q *pb.StatisticsRequest) (*pb.StatisticsResponse, error) {
	return as(s.d, "counting", func(d hypervisor.Statistician) (*pb.StatisticsResponse, error) {
		st, err := d.Statistics(ctx, q.GetId())
		return &pb.StatisticsResponse{Statistics: wire.To[pb.Statistics](st)}, err
	})
}

func (s *hypervisorServer) SetPassword(ctx context.Context, q *pb.SetPasswordRequest) (*pb.SetPasswordResponse, error) {
	return as(s.d, "setting a password", func(d hypervisor.PasswordSetter) (*pb.SetPasswordResponse, error) {
		return &pb.SetPasswordResponse{}, d.SetPassword(ctx, q.GetId(), q.GetUser(), q.GetPassword())
	})
}

func (s *hypervisorServer) Rescue(ctx context.Context, q *pb.RescueRequest) (*pb.RescueResponse, error) {
	return as(s.d, "rescuing", func(d hypervisor.Rescuer) (*pb.RescueResponse, error) {
		return &pb.RescueResponse{}, d.Rescue(ctx, q.GetId(), wire.From[driver.Disk](q.GetDisk()))
	})
}

func (s *hypervisorServer) Unrescue(ctx context.Context, q *pb.UnrescueRequest) (*pb.UnrescueResponse, error) {
	return as(s.d, "ending a rescue", func(d hypervisor.Rescuer) (*pb.UnrescueResponse, error) {
		return &pb.UnrescueResponse{}, d.Unrescue(ctx, q.GetId())
	})
}

func (s *hypervisorServer) ResizeDisk(ctx context.Context, q *pb.ResizeDiskRequest) (*pb.ResizeDiskResponse, error) {
	return as(s.d, "resizing a disk", func(d hypervisor.DiskResizer) (*pb.ResizeDiskResponse, error) {
		return &pb.ResizeDiskResponse{}, d.ResizeDisk(ctx, q.GetId(), q.GetDiskId(), q.GetSize())
	})
}

func (s *hypervisorServer) ThrottleDisk(ctx context.Context, q *pb.ThrottleDiskRequest) (*pb.ThrottleDiskResponse, error) {
	return as(s.d, "throttling a disk", func(d hypervisor.DiskThrottler) (*pb.ThrottleDiskResponse, error) {
		return &pb.ThrottleDiskResponse{}, d.ThrottleDisk(ctx, q.GetId(), q.GetDiskId(), wire.From[driver.Limits](q.GetLimits()))
	})
}

func (s *hypervisorServer) ExportDisk(ctx context.Context, q *pb.ExportDiskRequest) (*pb.ExportDiskResponse, error) {
	return as(s.d, "exporting a disk", func(d hypervisor.DiskExporter) (*pb.ExportDiskResponse, error) {
		r := &pb.ExportDiskResponse{}
		return r, giving(ctx, q.GetSocket(), func(ctx context.Context) (io.ReadCloser, error) {
			image, stream, err := d.ExportDisk(ctx, q.GetId(), q.GetDiskId())
			r.Image = wire.To[pb.DiskImage](image)
			return stream, err
		})
	})
}

func (s *hypervisorServer) ImportDisk(ctx context.Context, q *pb.ImportDiskRequest) (*pb.ImportDiskResponse, error) {
	return as(s.d, "importing a disk", func(d hypervisor.DiskImporter) (*pb.ImportDiskResponse, error) {
		return &pb.ImportDiskResponse{}, taking(ctx, q.GetSocket(), func(r io.Reader) error {
			return d.ImportDisk(ctx, q.GetId(), q.GetDiskId(), wire.From[hypervisor.DiskImage](q.GetImage()), r)
		})
	})
}

func (s *hypervisorServer) EnsureImage(ctx context.Context, q *pb.EnsureImageRequest) (*pb.EnsureImageResponse, error) {
	return as(s.d, "keeping an image", func(d hypervisor.ImageCacher) (*pb.EnsureImageResponse, error) {
		out := &pb.EnsureImageResponse{}
		return out, taking(ctx, q.GetSocket(), func(r io.Reader) error {
			image, err := d.EnsureImage(ctx, wire.From[hypervisor.ImageSpec](q.GetImage()), r)
			out.Image = wire.To[driverv1.Image](image)
			return err
		})
	})
}

func (s *hypervisorServer) ListImages(ctx context.Context, _ *pb.ListImagesRequest) (*pb.ListImagesResponse, error) {
	return as(s.d, "listing images", func(d hypervisor.ImageCacher) (*pb.ListImagesResponse, error) {
		images, err := d.ListImages(ctx)
		return &pb.ListImagesResponse{Images: wire.ToAll[pb.CachedImage](images)}, err
	})
}

func (s *hypervisorServer) EvictImage(ctx context.Context, q *pb.EvictImageRequest) (*pb.EvictImageResponse, error) {
	return as(s.d, "removing an image", func(d hypervisor.ImageCacher) (*pb.EvictImageResponse, error) {
		return &pb.EvictImageResponse{}, d.EvictImage(ctx, q.GetDigest())
	})
}

func (s *hypervisorServer) CheckMigration(ctx context.Context, q *pb.CheckMigrationRequest) (*pb.CheckMigrationResponse, error) {
	return as(s.d, "checking a migration", func(d hypervisor.LiveMigrator) (*pb.CheckMigrationResponse, error) {
		c, err := d.CheckMigration(ctx, q.GetId(), wire.From[hypervisor.Host](q.GetDest()))
		return &pb.CheckMigrationResponse{Check: wire.To[pb.MigrationCheck](c)}, err
	})
}

func (s *hypervisorServer) PrepareMigration(ctx context.Context, q *pb.PrepareMigrationRequest) (*pb.PrepareMigrationResponse, error) {
	return as(s.d, "preparing a migration", func(d hypervisor.LiveMigrator) (*pb.PrepareMigrationResponse, error) {
		t, err := d.PrepareMigration(ctx, q.GetId(), wire.From[hypervisor.Spec](q.GetSpec()), wire.From[hypervisor.PrepareOptions](q.GetOpts()))
		return &pb.PrepareMigrationResponse{Target: wire.To[pb.MigrationTarget](t)}, err
	})
}

func (s *hypervisorServer) Migrate(ctx context.Context, q *pb.MigrateRequest) (*pb.MigrateResponse, error) {
	return as(s.d, "migrating", func(d hypervisor.LiveMigrator) (*pb.MigrateResponse, error) {
		return &pb.MigrateResponse{}, d.Migrate(ctx, q.GetId(), wire.From[hypervisor.MigrationTarget](q.GetTarget()), wire.From[hypervisor.MigrateOptions](q.GetOpts()))
	})
}

func (s *hypervisorServer) Migration(ctx context.Context, q *pb.MigrationRequest) (*pb.MigrationResponse, error) {
	return as(s.d, "asking after a migration", func(d hypervisor.LiveMigrator) (*pb.MigrationResponse, error) {
		m, err := d.Migration(ctx, q.GetId())
		return &pb.MigrationResponse{Migration: wire.To[pb.MigrationStatus](m)}, err
	})
}

func (s *hypervisorServer) AbortMigration(ctx context.Context, q *pb.AbortMigrationRequest) (*pb.AbortMigrationResponse, error) {
	return as(s.d, "ending a migration", func(d hypervisor.LiveMigrator) (*pb.AbortMigrationResponse, error) {
		return &pb.AbortMigrationResponse{}, d.AbortMigration(ctx, q.GetId())
	})
}
