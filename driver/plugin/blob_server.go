package plugin

import (
	"context"
	"io"

	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	pb "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/blob/v1"
)

// blobServer is the plugin's side: it calls the driver.
type blobServer struct {
	pb.UnimplementedBlobServer
	d blob.Driver
}

func (s *blobServer) Stat(ctx context.Context, q *pb.StatRequest) (*pb.StatResponse, error) {
	out, err := s.d.Stat(ctx, q.GetId())
	return done(&pb.StatResponse{Object: wire.To[pb.Object](out)}, err)
}

func (s *blobServer) Delete(ctx context.Context, q *pb.DeleteRequest) (*pb.DeleteResponse, error) {
	return done(&pb.DeleteResponse{}, s.d.Delete(ctx, q.GetId()))
}

func (s *blobServer) Copy(ctx context.Context, q *pb.CopyRequest) (*pb.CopyResponse, error) {
	return as(s.d, "copying an object", func(d blob.Copier) (*pb.CopyResponse, error) {
		return &pb.CopyResponse{}, d.Copy(ctx, q.GetDst(), q.GetSrc())
	})
}

func (s *blobServer) Location(ctx context.Context, q *pb.LocationRequest) (*pb.LocationResponse, error) {
	return as(s.d, "locating an object", func(d blob.Locator) (*pb.LocationResponse, error) {
		out, err := d.Location(ctx, q.GetId())
		return &pb.LocationResponse{Location: out}, err
	})
}

func (s *blobServer) BeginParts(ctx context.Context, q *pb.BeginPartsRequest) (*pb.BeginPartsResponse, error) {
	return as(s.d, "beginning an upload", func(d blob.Multiparter) (*pb.BeginPartsResponse, error) {
		return &pb.BeginPartsResponse{}, d.BeginParts(ctx, q.GetId())
	})
}

func (s *blobServer) ListParts(ctx context.Context, q *pb.ListPartsRequest) (*pb.ListPartsResponse, error) {
	return as(s.d, "listing parts", func(d blob.Multiparter) (*pb.ListPartsResponse, error) {
		out, err := d.ListParts(ctx, q.GetId())
		return &pb.ListPartsResponse{Parts: wire.ToAll[pb.Part](out)}, err
	})
}

func (s *blobServer) CompleteParts(ctx context.Context, q *pb.CompletePartsRequest) (*pb.CompletePartsResponse, error) {
	return as(s.d, "completing an upload", func(d blob.Multiparter) (*pb.CompletePartsResponse, error) {
		out, err := d.CompleteParts(ctx, q.GetId(), wire.FromAll[blob.Part](q.GetParts()))
		return &pb.CompletePartsResponse{Size: out}, err
	})
}

func (s *blobServer) AbortParts(ctx context.Context, q *pb.AbortPartsRequest) (*pb.AbortPartsResponse, error) {
	return as(s.d, "dropping an upload", func(d blob.Multiparter) (*pb.AbortPartsResponse, error) {
		return &pb.AbortPartsResponse{}, d.AbortParts(ctx, q.GetId())
	})
}

func (s *blobServer) ListUploads(ctx context.Context, _ *pb.ListUploadsRequest) (*pb.ListUploadsResponse, error) {
	return as(s.d, "listing uploads", func(d blob.Multiparter) (*pb.ListUploadsResponse, error) {
		out, err := d.ListUploads(ctx)
		return &pb.ListUploadsResponse{Ids: out}, err
	})
}

func (s *blobServer) Put(ctx context.Context, q *pb.PutRequest) (*pb.PutResponse, error) {
	out := &pb.PutResponse{}
	return done(out, taking(ctx, q.GetSocket(), func(r io.Reader) (err error) {
		out.Size, err = s.d.Put(ctx, q.GetId(), r, q.GetSize())
		return err
	}))
}

func (s *blobServer) Get(ctx context.Context, q *pb.GetRequest) (*pb.GetResponse, error) {
	return done(&pb.GetResponse{}, giving(ctx, q.GetSocket(), func(ctx context.Context) (io.ReadCloser, error) {
		return s.d.Get(ctx, q.GetId(), q.GetOffset(), q.GetLength())
	}))
}

// listBatch is how many objects travel in one message.
const listBatch = 500

func (s *blobServer) List(_ *pb.ListRequest, stream grpc.ServerStreamingServer[pb.ListResponse]) error {
	var batch []*pb.Object
	var sendErr error
	flush := func() bool {
		if len(batch) > 0 {
			sendErr = stream.Send(&pb.ListResponse{Objects: batch})
			batch = nil
		}
		return sendErr == nil
	}
	err := s.d.List(stream.Context(), func(o blob.Object) bool {
		batch = append(batch, wire.To[pb.Object](o))
		return len(batch) < listBatch || flush()
	})
	if err != nil {
		return wire.ToStatus(err)
	}
	flush()
	return sendErr
}

func (s *blobServer) PutPart(ctx context.Context, q *pb.PutPartRequest) (*pb.PutPartResponse, error) {
	return as(s.d, "putting a part", func(d blob.Multiparter) (*pb.PutPartResponse, error) {
		out := &pb.PutPartResponse{}
		return out, taking(ctx, q.GetSocket(), func(r io.Reader) error {
			part, err := d.PutPart(ctx, q.GetId(), int(q.GetNumber()), r, q.GetSize())
			out.Part = wire.To[pb.Part](part)
			return err
		})
	})
}
