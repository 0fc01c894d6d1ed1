package plugin

import (
	"context"

	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	pb "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/network/v1"
)

// networkServer is the plugin's side: it calls a host's driver or a controller.
type networkServer struct {
	pb.UnimplementedNetworkServer
	d          fabric
	node       network.Driver     // or
	controller network.Controller // of which one is nil
}

// fabric is what both halves share.
type fabric interface {
	EnsureNetwork(ctx context.Context, id string, n network.Network) error
	DeleteNetwork(ctx context.Context, id string) error
	DeletePort(ctx context.Context, id string) error
	EnsureSecurityGroup(ctx context.Context, id string, g network.SecurityGroup) error
	DeleteSecurityGroup(ctx context.Context, id string) error
	List(ctx context.Context) (network.Inventory, error)
}

func (s *networkServer) EnsureNetwork(ctx context.Context, q *pb.EnsureNetworkRequest) (*pb.EnsureNetworkResponse, error) {
	return done(&pb.EnsureNetworkResponse{}, s.d.EnsureNetwork(ctx, q.GetId(), wire.From[network.Network](q.GetNetwork())))
}

func (s *networkServer) DeleteNetwork(ctx context.Context, q *pb.DeleteNetworkRequest) (*pb.DeleteNetworkResponse, error) {
	return done(&pb.DeleteNetworkResponse{}, s.d.DeleteNetwork(ctx, q.GetId()))
}

func (s *networkServer) DeletePort(ctx context.Context, q *pb.DeletePortRequest) (*pb.DeletePortResponse, error) {
	return done(&pb.DeletePortResponse{}, s.d.DeletePort(ctx, q.GetId()))
}

func (s *networkServer) EnsureSecurityGroup(ctx context.Context, q *pb.EnsureSecurityGroupRequest) (*pb.EnsureSecurityGroupResponse, error) {
	return done(&pb.EnsureSecurityGroupResponse{}, s.d.EnsureSecurityGroup(ctx, q.GetId(), wire.From[network.SecurityGroup](q.GetGroup())))
}

func (s *networkServer) DeleteSecurityGroup(ctx context.Context, q *pb.DeleteSecurityGroupRequest) (*pb.DeleteSecurityGroupResponse, error) {
	return done(&pb.DeleteSecurityGroupResponse{}, s.d.DeleteSecurityGroup(ctx, q.GetId()))
}

func (s *networkServer) List(ctx context.Context, _ *pb.ListRequest) (*pb.ListResponse, error) {
	out, err := s.d.List(ctx)
	return done(&pb.ListResponse{Inventory: wire.To[pb.Inventory](out)}, err)
}

func (s *networkServer) EnsureRouter(ctx context.Context, q *pb.EnsureRouterRequest) (*pb.EnsureRouterResponse, error) {
	return as(s.d, "routing", func(d network.RouterDriver) (*pb.EnsureRouterResponse, error) {
		return &pb.EnsureRouterResponse{}, d.EnsureRouter(ctx, q.GetId(), wire.From[network.Router](q.GetRouter()))
	})
}

func (s *networkServer) DeleteRouter(ctx context.Context, q *pb.DeleteRouterRequest) (*pb.DeleteRouterResponse, error) {
	return as(s.d, "routing", func(d network.RouterDriver) (*pb.DeleteRouterResponse, error) {
		return &pb.DeleteRouterResponse{}, d.DeleteRouter(ctx, q.GetId())
	})
}

func (s *networkServer) ServeMetadata(ctx context.Context, q *pb.ServeMetadataRequest) (*pb.ServeMetadataResponse, error) {
	return as(s.d, "serving metadata", func(d network.MetadataServer) (*pb.ServeMetadataResponse, error) {
		return &pb.ServeMetadataResponse{}, d.ServeMetadata(ctx, q.GetSocket())
	})
}

func (s *networkServer) PortStatistics(ctx context.Context, q *pb.PortStatisticsRequest) (*pb.PortStatisticsResponse, error) {
	return as(s.d, "counting traffic", func(d network.Statistician) (*pb.PortStatisticsResponse, error) {
		out, err := d.PortStatistics(ctx, q.GetId())
		return &pb.PortStatisticsResponse{Statistics: wire.To[pb.Statistics](out)}, err
	})
}

func (s *networkServer) EnsureZone(ctx context.Context, q *pb.EnsureZoneRequest) (*pb.EnsureZoneResponse, error) {
	return as(s.d, "serving names", func(d network.NameServer) (*pb.EnsureZoneResponse, error) {
		return &pb.EnsureZoneResponse{}, d.EnsureZone(ctx, q.GetNetworkId(), wire.From[network.Zone](q.GetZone()))
	})
}

func (s *networkServer) DeleteZone(ctx context.Context, q *pb.DeleteZoneRequest) (*pb.DeleteZoneResponse, error) {
	return as(s.d, "serving names", func(d network.NameServer) (*pb.DeleteZoneResponse, error) {
		return &pb.DeleteZoneResponse{}, d.DeleteZone(ctx, q.GetNetworkId())
	})
}

func (s *networkServer) EnsurePort(ctx context.Context, q *pb.EnsurePortRequest) (*pb.EnsurePortResponse, error) {
	p := wire.From[network.Port](q.GetPort())
	if s.controller != nil {
		return done(&pb.EnsurePortResponse{}, s.controller.EnsurePort(ctx, q.GetId(), p))
	}
	b, err := s.node.EnsurePort(ctx, q.GetId(), p)
	return done(&pb.EnsurePortResponse{Binding: wire.To[pb.Binding](b)}, err)
}

func (s *networkServer) Events(_ *pb.EventsRequest, stream grpc.ServerStreamingServer[pb.EventsResponse]) error {
	d, ok := s.d.(network.Eventer)
	if !ok {
		return wire.ToStatus(unsupported("reporting events", s.d))
	}
	events, err := d.Events(stream.Context())
	if err != nil {
		return wire.ToStatus(err)
	}
	return report(events, stream, func(e network.Event) *pb.EventsResponse { return wire.To[pb.EventsResponse](e) })
}

func (s *networkServer) Bind(ctx context.Context, q *pb.BindRequest) (*pb.BindResponse, error) {
	return as(s.d, "binding a port", func(d network.Controller) (*pb.BindResponse, error) {
		b, err := d.Bind(ctx, q.GetPortId(), q.GetHost(), wire.From[network.BindOptions](q.GetOpts()))
		return &pb.BindResponse{Binding: wire.To[pb.Binding](b)}, err
	})
}

func (s *networkServer) Unbind(ctx context.Context, q *pb.UnbindRequest) (*pb.UnbindResponse, error) {
	return as(s.d, "unbinding a port", func(d network.Controller) (*pb.UnbindResponse, error) {
		return &pb.UnbindResponse{}, d.Unbind(ctx, q.GetPortId())
	})
}

func (s *networkServer) Bound(ctx context.Context, _ *pb.BoundRequest) (*pb.BoundResponse, error) {
	return as(s.d, "listing bound ports", func(d network.Controller) (*pb.BoundResponse, error) {
		hosts, err := d.Bound(ctx)
		return &pb.BoundResponse{Hosts: hosts}, err
	})
}
