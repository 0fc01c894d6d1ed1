package plugin

import (
	"context"

	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	pb "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/scheduler/v1"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/extension"
)

// remoteExtension is our side of an extension of the scheduler.
type remoteExtension struct{ *Plugin }

type ext = pb.ExtensionClient

var newExt = pb.NewExtensionClient

var (
	_ extension.Extension = (*remoteExtension)(nil)
	_ extension.Abilitier = (*remoteExtension)(nil)
	_ extension.Judger    = (*remoteExtension)(nil)
	_ extension.Weigher   = (*remoteExtension)(nil)
)

func (d *remoteExtension) Ready(ctx context.Context) error {
	_, err := call(ctx, d.Plugin, newExt, ext.Ready, &pb.ReadyRequest{})
	return err
}

func (d *remoteExtension) Judge(ctx context.Context, req extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	r, err := call(ctx, d.Plugin, newExt, ext.Judge, &pb.JudgeRequest{Request: wire.To[pb.Request](req), Hosts: wire.ToAll[pb.Host](hosts)})
	if err != nil {
		return nil, err
	}
	return wire.FromAll[scheduler.Verdict](r.GetVerdicts()), nil
}

func (d *remoteExtension) Weigh(ctx context.Context, req extension.Request, hosts []extension.Host) ([]float64, error) {
	r, err := call(ctx, d.Plugin, newExt, ext.Weigh, &pb.WeighRequest{Request: wire.To[pb.Request](req), Hosts: wire.ToAll[pb.Host](hosts)})
	return r.GetWeights(), err
}

// schedulerServer is the plugin's side: it calls the extension.
type schedulerServer struct {
	pb.UnimplementedExtensionServer
	d extension.Extension
}

func (s *schedulerServer) Ready(ctx context.Context, _ *pb.ReadyRequest) (*pb.ReadyResponse, error) {
	return done(&pb.ReadyResponse{}, s.d.Ready(ctx))
}

func (s *schedulerServer) Judge(ctx context.Context, q *pb.JudgeRequest) (*pb.JudgeResponse, error) {
	return as(s.d, "filtering hosts", func(d extension.Judger) (*pb.JudgeResponse, error) {
		out, err := d.Judge(ctx, wire.From[extension.Request](q.GetRequest()), wire.FromAll[extension.Host](q.GetHosts()))
		return &pb.JudgeResponse{Verdicts: wire.ToAll[pb.Verdict](out)}, err
	})
}

func (s *schedulerServer) Weigh(ctx context.Context, q *pb.WeighRequest) (*pb.WeighResponse, error) {
	return as(s.d, "weighing hosts", func(d extension.Weigher) (*pb.WeighResponse, error) {
		out, err := d.Weigh(ctx, wire.From[extension.Request](q.GetRequest()), wire.FromAll[extension.Host](q.GetHosts()))
		return &pb.WeighResponse{Weights: out}, err
	})
}
