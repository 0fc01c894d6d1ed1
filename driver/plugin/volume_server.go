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

// volumeServer is the plugin's side: it calls the driver.
type volumeServer struct {
	pb.UnimplementedVolumeServer
	d volume.Driver
}

func (s *volumeServer) Create(ctx context.Context, q *pb.CreateRequest) (*pb.CreateResponse, error) {
	return done(&pb.CreateResponse{}, s.d.Create(ctx, q.GetId(), wire.From[volume.Spec](q.GetSpec())))
}

func (s *volumeServer) Delete(ctx context.Context, q *pb.DeleteRequest) (*pb.DeleteResponse, error) {
	return done(&pb.DeleteResponse{}, s.d.Delete(ctx, q.GetId()))
}

func (s *volumeServer) Get(ctx context.Context, q *pb.GetRequest) (*pb.GetResponse, error) {
	out, err := s.d.Get(ctx, q.GetId())
	return done(&pb.GetResponse{Volume: wire.To[pb.VolumeInfo](out)}, err)
}

func (s *volumeServer) List(ctx context.Context, _ *pb.ListRequest) (*pb.ListResponse, error) {
	out, err := s.d.List(ctx)
	return done(&pb.ListResponse{Volumes: wire.ToAll[pb.VolumeInfo](out)}, err)
}

func (s *volumeServer) Connect(ctx context.Context, q *pb.ConnectRequest) (*pb.ConnectResponse, error) {
	out, err := s.d.Connect(ctx, q.GetId(), wire.From[volume.Connector](q.GetConnector()))
	return done(&pb.ConnectResponse{Connection: wire.To[driverv1.Connection](out)}, err)
}

func (s *volumeServer) Disconnect(ctx context.Context, q *pb.DisconnectRequest) (*pb.DisconnectResponse, error) {
	return done(&pb.DisconnectResponse{}, s.d.Disconnect(ctx, q.GetId(), wire.From[volume.Connector](q.GetConnector())))
}

func (s *volumeServer) Stats(ctx context.Context, _ *pb.StatsRequest) (*pb.StatsResponse, error) {
	out, err := s.d.Stats(ctx)
	return done(&pb.StatsResponse{Stats: wire.To[pb.Stats](out)}, err)
}

func (s *volumeServer) CreateSnapshot(ctx context.Context, q *pb.CreateSnapshotRequest) (*pb.CreateSnapshotResponse, error) {
	return as(s.d, "making a snapshot", func(d volume.Snapshotter) (*pb.CreateSnapshotResponse, error) {
		return &pb.CreateSnapshotResponse{}, d.CreateSnapshot(ctx, q.GetVolumeId(), q.GetSnapshotId())
	})
}

func (s *volumeServer) DeleteSnapshot(ctx context.Context, q *pb.DeleteSnapshotRequest) (*pb.DeleteSnapshotResponse, error) {
	return as(s.d, "deleting a snapshot", func(d volume.Snapshotter) (*pb.DeleteSnapshotResponse, error) {
		return &pb.DeleteSnapshotResponse{}, d.DeleteSnapshot(ctx, q.GetVolumeId(), q.GetSnapshotId())
	})
}

func (s *volumeServer) CreateFromSnapshot(ctx context.Context, q *pb.CreateFromSnapshotRequest) (*pb.CreateFromSnapshotResponse, error) {
	return as(s.d, "making a volume of a snapshot", func(d volume.Snapshotter) (*pb.CreateFromSnapshotResponse, error) {
		return &pb.CreateFromSnapshotResponse{}, d.CreateFromSnapshot(ctx, q.GetId(), wire.From[volume.Spec](q.GetSpec()), q.GetVolumeId(), q.GetSnapshotId())
	})
}

func (s *volumeServer) Clone(ctx context.Context, q *pb.CloneRequest) (*pb.CloneResponse, error) {
	return as(s.d, "cloning a volume", func(d volume.Cloner) (*pb.CloneResponse, error) {
		return &pb.CloneResponse{}, d.Clone(ctx, q.GetId(), wire.From[volume.Spec](q.GetSpec()), q.GetSourceId())
	})
}

func (s *volumeServer) Revert(ctx context.Context, q *pb.RevertRequest) (*pb.RevertResponse, error) {
	return as(s.d, "reverting a volume", func(d volume.Reverter) (*pb.RevertResponse, error) {
		return &pb.RevertResponse{}, d.Revert(ctx, q.GetVolumeId(), q.GetSnapshotId())
	})
}

func (s *volumeServer) Retype(ctx context.Context, q *pb.RetypeRequest) (*pb.RetypeResponse, error) {
	return as(s.d, "retyping a volume", func(d volume.Retyper) (*pb.RetypeResponse, error) {
		return &pb.RetypeResponse{}, d.Retype(ctx, q.GetId(), wire.From[volume.Spec](q.GetSpec()))
	})
}

func (s *volumeServer) Location(ctx context.Context, q *pb.LocationRequest) (*pb.LocationResponse, error) {
	return as(s.d, "locating a volume", func(d volume.Migrator) (*pb.LocationResponse, error) {
		out, err := d.Location(ctx, q.GetId())
		return &pb.LocationResponse{Location: wire.To[pb.Place](out)}, err
	})
}

func (s *volumeServer) MigrateIn(ctx context.Context, q *pb.MigrateInRequest) (*pb.MigrateInResponse, error) {
	return as(s.d, "taking a volume over", func(d volume.Migrator) (*pb.MigrateInResponse, error) {
		return &pb.MigrateInResponse{}, d.MigrateIn(ctx, q.GetId(), wire.From[volume.Spec](q.GetSpec()), wire.From[volume.Location](q.GetFrom()))
	})
}

func (s *volumeServer) CreateGroupSnapshot(ctx context.Context, q *pb.CreateGroupSnapshotRequest) (*pb.CreateGroupSnapshotResponse, error) {
	return as(s.d, "making a group snapshot", func(d volume.Grouper) (*pb.CreateGroupSnapshotResponse, error) {
		return &pb.CreateGroupSnapshotResponse{}, d.CreateGroupSnapshot(ctx, q.GetGroupId(), wire.FromAll[volume.GroupMember](q.GetMembers()))
	})
}

func (s *volumeServer) ListAdoptable(ctx context.Context, _ *pb.ListAdoptableRequest) (*pb.ListAdoptableResponse, error) {
	return as(s.d, "listing what can be adopted", func(d volume.Adopter) (*pb.ListAdoptableResponse, error) {
		out, err := d.ListAdoptable(ctx)
		return &pb.ListAdoptableResponse{Adoptables: wire.ToAll[pb.Adoptable](out)}, err
	})
}

func (s *volumeServer) Adopt(ctx context.Context, q *pb.AdoptRequest) (*pb.AdoptResponse, error) {
	return as(s.d, "adopting a volume", func(d volume.Adopter) (*pb.AdoptResponse, error) {
		out, err := d.Adopt(ctx, q.GetId(), q.GetReference())
		return &pb.AdoptResponse{Volume: wire.To[pb.VolumeInfo](out)}, err
	})
}

func (s *volumeServer) Release(ctx context.Context, q *pb.ReleaseRequest) (*pb.ReleaseResponse, error) {
	return as(s.d, "releasing a volume", func(d volume.Adopter) (*pb.ReleaseResponse, error) {
		out, err := d.Release(ctx, q.GetId())
		return &pb.ReleaseResponse{Reference: out}, err
	})
}

func (s *volumeServer) SetLimits(ctx context.Context, q *pb.SetLimitsRequest) (*pb.SetLimitsResponse, error) {
	return as(s.d, "limiting a volume", func(d volume.Limiter) (*pb.SetLimitsResponse, error) {
		return &pb.SetLimitsResponse{}, d.SetLimits(ctx, q.GetId(), wire.From[driver.Limits](q.GetLimits()))
	})
}

func (s *volumeServer) CloneImage(ctx context.Context, q *pb.CloneImageRequest) (*pb.CloneImageResponse, error) {
	return as(s.d, "cloning an image", func(d volume.ImageCloner) (*pb.CloneImageResponse, error) {
		return &pb.CloneImageResponse{}, d.CloneImage(ctx, q.GetId(), wire.From[volume.Spec](q.GetSpec()), wire.From[volume.ImageLocation](q.GetImage()))
	})
}

func (s *volumeServer) Attach(ctx context.Context, q *pb.AttachRequest) (*pb.AttachResponse, error) {
	return as(s.d, "attaching a volume", func(d volume.Attacher) (*pb.AttachResponse, error) {
		out, err := d.Attach(ctx, q.GetAttachmentId(), wire.From[driver.Connection](q.GetConnection()))
		return &pb.AttachResponse{Connection: wire.To[driverv1.Connection](out)}, err
	})
}

func (s *volumeServer) Detach(ctx context.Context, q *pb.DetachRequest) (*pb.DetachResponse, error) {
	return as(s.d, "detaching a volume", func(d volume.Attacher) (*pb.DetachResponse, error) {
		return &pb.DetachResponse{}, d.Detach(ctx, q.GetAttachmentId())
	})
}

func (s *volumeServer) Attached(ctx context.Context, _ *pb.AttachedRequest) (*pb.AttachedResponse, error) {
	return as(s.d, "listing attachments", func(d volume.Attacher) (*pb.AttachedResponse, error) {
		out, err := d.Attached(ctx)
		return &pb.AttachedResponse{AttachmentIds: out}, err
	})
}

func (s *volumeServer) Extend(ctx context.Context, q *pb.ExtendRequest) (*pb.ExtendResponse, error) {
	return as(s.d, "extending a volume", func(d volume.Extender) (*pb.ExtendResponse, error) {
		return &pb.ExtendResponse{}, d.Extend(ctx, q.GetId(), int(q.GetSizeGib()), volume.ExtendOptions{InUse: q.GetInUse()})
	})
}

func (s *volumeServer) CreateFromImage(ctx context.Context, q *pb.CreateFromImageRequest) (*pb.CreateFromImageResponse, error) {
	return as(s.d, "making a volume of an image", func(d volume.ImageWriter) (*pb.CreateFromImageResponse, error) {
		return &pb.CreateFromImageResponse{}, taking(ctx, q.GetSocket(), func(r io.Reader) error {
			image := volume.Image{Body: r, Format: q.GetFormat(), Size: q.GetSize(), VirtualSize: q.GetVirtualSize()}
			return d.CreateFromImage(ctx, q.GetId(), wire.From[volume.Spec](q.GetSpec()), image)
		})
	})
}

func (s *volumeServer) Read(ctx context.Context, q *pb.ReadRequest) (*pb.ReadResponse, error) {
	return as(s.d, "reading a volume", func(d volume.ImageReader) (*pb.ReadResponse, error) {
		return &pb.ReadResponse{}, giving(ctx, q.GetSocket(), func(ctx context.Context) (io.ReadCloser, error) {
			return d.Read(ctx, q.GetId())
		})
	})
}

func (s *volumeServer) ExportDiff(ctx context.Context, q *pb.ExportDiffRequest) (*pb.ExportDiffResponse, error) {
	return as(s.d, "exporting a difference", func(d volume.DiffExporter) (*pb.ExportDiffResponse, error) {
		return &pb.ExportDiffResponse{}, giving(ctx, q.GetSocket(), func(ctx context.Context) (io.ReadCloser, error) {
			return d.ExportDiff(ctx, q.GetVolumeId(), q.GetFrom(), q.GetTo())
		})
	})
}

func (s *volumeServer) ImportDiff(ctx context.Context, q *pb.ImportDiffRequest) (*pb.ImportDiffResponse, error) {
	return as(s.d, "importing a difference", func(d volume.DiffImporter) (*pb.ImportDiffResponse, error) {
		return &pb.ImportDiffResponse{}, taking(ctx, q.GetSocket(), func(r io.Reader) error {
			return d.ImportDiff(ctx, q.GetVolumeId(), r)
		})
	})
}
