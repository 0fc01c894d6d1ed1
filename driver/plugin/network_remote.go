package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	pb "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/network/v1"
)

// remoteFabric is what our side of a host's network driver and of a controller
// share: calls that are carried out elsewhere. It has every ability's methods
// and narrows the offer by Abilities.
type remoteFabric struct{ *Plugin }

// remoteNetwork is a host's driver.
type remoteNetwork struct{ remoteFabric }

// remoteController is the central half of a back end.
type remoteController struct{ remoteFabric }

type nw = pb.NetworkClient

var newNet = pb.NewNetworkClient

var (
	_ network.Driver         = (*remoteNetwork)(nil)
	_ network.Abilitier      = (*remoteNetwork)(nil)
	_ network.RouterDriver   = (*remoteNetwork)(nil)
	_ network.MetadataServer = (*remoteNetwork)(nil)
	_ network.Eventer        = (*remoteNetwork)(nil)
	_ network.Statistician   = (*remoteNetwork)(nil)
	_ network.QoSDriver      = (*remoteNetwork)(nil)
	_ network.TrunkDriver    = (*remoteNetwork)(nil)
	_ network.NameServer     = (*remoteNetwork)(nil)
	_ network.Controller     = (*remoteController)(nil)
)

func (d *remoteFabric) QoSRules() []string { return d.traits().GetQosRules() }

func (d *remoteFabric) Segmentation() []string { return d.traits().GetSegmentation() }

func (d *remoteFabric) EnsureNetwork(ctx context.Context, id string, n network.Network) error {
	_, err := call(ctx, d.Plugin, newNet, nw.EnsureNetwork, &pb.EnsureNetworkRequest{Id: id, Network: wire.To[pb.NetworkSpec](n)})
	return err
}

func (d *remoteFabric) DeleteNetwork(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newNet, nw.DeleteNetwork, &pb.DeleteNetworkRequest{Id: id})
	return err
}

func (d *remoteFabric) DeletePort(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newNet, nw.DeletePort, &pb.DeletePortRequest{Id: id})
	return err
}

func (d *remoteFabric) EnsureSecurityGroup(ctx context.Context, id string, g network.SecurityGroup) error {
	_, err := call(ctx, d.Plugin, newNet, nw.EnsureSecurityGroup, &pb.EnsureSecurityGroupRequest{Id: id, Group: wire.To[pb.SecurityGroup](g)})
	return err
}

func (d *remoteFabric) DeleteSecurityGroup(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newNet, nw.DeleteSecurityGroup, &pb.DeleteSecurityGroupRequest{Id: id})
	return err
}

func (d *remoteFabric) List(ctx context.Context) (out network.Inventory, err error) {
	r, err := call(ctx, d.Plugin, newNet, nw.List, &pb.ListRequest{})
	if err == nil {
		err = inventory(r.GetInventory())
	}
	if err != nil {
		return out, err
	}
	return wire.From[network.Inventory](r.GetInventory()), nil
}

func (d *remoteFabric) EnsureRouter(ctx context.Context, id string, spec network.Router) error {
	_, err := call(ctx, d.Plugin, newNet, nw.EnsureRouter, &pb.EnsureRouterRequest{Id: id, Router: wire.To[pb.Router](spec)})
	return err
}

func (d *remoteFabric) DeleteRouter(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newNet, nw.DeleteRouter, &pb.DeleteRouterRequest{Id: id})
	return err
}

func (d *remoteFabric) ServeMetadata(ctx context.Context, socket string) error {
	_, err := call(ctx, d.Plugin, newNet, nw.ServeMetadata, &pb.ServeMetadataRequest{Socket: socket})
	return err
}

func (d *remoteFabric) PortStatistics(ctx context.Context, id string) (network.Statistics, error) {
	r, err := call(ctx, d.Plugin, newNet, nw.PortStatistics, &pb.PortStatisticsRequest{Id: id})
	return wire.From[network.Statistics](r.GetStatistics()), err
}

func (d *remoteFabric) EnsureZone(ctx context.Context, networkID string, z network.Zone) error {
	_, err := call(ctx, d.Plugin, newNet, nw.EnsureZone, &pb.EnsureZoneRequest{NetworkId: networkID, Zone: wire.To[pb.Zone](z)})
	return err
}

func (d *remoteFabric) DeleteZone(ctx context.Context, networkID string) error {
	_, err := call(ctx, d.Plugin, newNet, nw.DeleteZone, &pb.DeleteZoneRequest{NetworkId: networkID})
	return err
}

func (d *remoteFabric) Events(ctx context.Context) (<-chan network.Event, error) {
	return follow(ctx, d.Plugin,
		func(ctx context.Context, conn grpc.ClientConnInterface) (grpc.ServerStreamingClient[pb.EventsResponse], error) {
			return newNet(conn).Events(ctx, &pb.EventsRequest{})
		},
		func(m *pb.EventsResponse) network.Event { return wire.From[network.Event](m) },
		func(e network.Event) error { return network.CheckID(e.PortID) })
}

func (d *remoteNetwork) EnsurePort(ctx context.Context, id string, p network.Port) (network.Binding, error) {
	r, err := call(ctx, d.Plugin, newNet, nw.EnsurePort, &pb.EnsurePortRequest{Id: id, Port: wire.To[pb.Port](p)})
	if err != nil {
		return network.Binding{}, err
	}
	b := wire.From[network.Binding](r.GetBinding())
	if b.Namespace != "" {
		if err := d.allow("plugging port "+id, b.Namespace); err != nil {
			return network.Binding{}, err
		}
	}
	return b, device(id, b.Device)
}

// device refuses what cannot be the name of a network device.
func device(id, name string) error {
	if len(name) > 15 || name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r >= 0x7f }) {
		return fmt.Errorf("plugging port %s: the plugin named the device %.40q, which cannot be one", id, name)
	}
	return nil
}

// inventory refuses lists with what is no ID, or with one twice.
func inventory(i *pb.Inventory) error {
	return errors.Join(
		unique("networks", i.GetNetworks(), itself, network.CheckID),
		unique("ports", i.GetPorts(), itself, network.CheckID),
		unique("routers", i.GetRouters(), itself, network.CheckID),
		unique("security groups", i.GetSecurityGroups(), itself, network.CheckID),
	)
}

func (d *remoteController) EnsurePort(ctx context.Context, id string, p network.Port) error {
	_, err := call(ctx, d.Plugin, newNet, nw.EnsurePort, &pb.EnsurePortRequest{Id: id, Port: wire.To[pb.Port](p)})
	return err
}

func (d *remoteController) Bind(ctx context.Context, portID, host string, opts network.BindOptions) (network.Binding, error) {
	r, err := call(ctx, d.Plugin, newNet, nw.Bind, &pb.BindRequest{PortId: portID, Host: host, Opts: wire.To[pb.BindOptions](opts)})
	if err != nil {
		return network.Binding{}, err
	}
	b := wire.From[network.Binding](r.GetBinding())
	return b, device(portID, b.Device)
}

func (d *remoteController) Unbind(ctx context.Context, portID string) error {
	_, err := call(ctx, d.Plugin, newNet, nw.Unbind, &pb.UnbindRequest{PortId: portID})
	return err
}

func (d *remoteController) Bound(ctx context.Context) (map[string]string, error) {
	r, err := call(ctx, d.Plugin, newNet, nw.Bound, &pb.BoundRequest{})
	return r.GetHosts(), err
}
