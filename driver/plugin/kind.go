package plugin

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/network"
	blobv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/blob/v1"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
	hypervisorv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/hypervisor/v1"
	networkv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/network/v1"
	schedulerv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/scheduler/v1"
	volumev1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/volume/v1"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/scheduler/extension"
)

// kind is what the bridge must know of a kind of driver.
type kind struct {
	name     string
	is       func(d any) bool
	offered  func(ctx context.Context, d any) ([]string, error)
	remote   func(p *Plugin) any
	register func(s *grpc.Server, d any)
}

func newKind[D any](name string, offered func(context.Context, D) ([]string, error), remote func(*Plugin) any, register func(*grpc.Server, D)) *kind {
	return &kind{
		name: name, remote: remote,
		is:       func(d any) bool { _, ok := d.(D); return ok },
		offered:  func(ctx context.Context, d any) ([]string, error) { return offered(ctx, d.(D)) },
		register: func(s *grpc.Server, d any) { register(s, d.(D)) },
	}
}

// The kinds, by their names on the wire.
const (
	Hypervisor        = "hypervisor"
	Network           = "network"
	NetworkController = "network-controller"
	Volume            = "volume"
	Blob              = "blob"
	Scheduler         = "scheduler"
)

func kinds() []*kind {
	return []*kind{
		newKind(Hypervisor, hypervisor.AbilitiesOf,
			func(p *Plugin) any { return &remoteHypervisor{p} },
			func(s *grpc.Server, d hypervisor.Driver) {
				hypervisorv1.RegisterHypervisorServer(s, &hypervisorServer{d: d})
			}),
		newKind(Network, func(ctx context.Context, d network.Driver) ([]string, error) { return network.AbilitiesOf(ctx, d) },
			func(p *Plugin) any { return &remoteNetwork{remoteFabric{p}} },
			func(s *grpc.Server, d network.Driver) {
				networkv1.RegisterNetworkServer(s, &networkServer{d: d, node: d})
			}),
		newKind(NetworkController, func(ctx context.Context, d network.Controller) ([]string, error) { return network.AbilitiesOf(ctx, d) },
			func(p *Plugin) any { return &remoteController{remoteFabric{p}} },
			func(s *grpc.Server, d network.Controller) {
				networkv1.RegisterNetworkServer(s, &networkServer{d: d, controller: d})
			}),
		newKind(Volume, volume.AbilitiesOf,
			func(p *Plugin) any { return &remoteVolume{p} },
			func(s *grpc.Server, d volume.Driver) { volumev1.RegisterVolumeServer(s, &volumeServer{d: d}) }),
		newKind(Blob, blob.AbilitiesOf,
			func(p *Plugin) any { return &remoteBlob{p} },
			func(s *grpc.Server, d blob.Driver) { blobv1.RegisterBlobServer(s, &blobServer{d: d}) }),
		newKind(Scheduler, extension.AbilitiesOf,
			func(p *Plugin) any { return &remoteExtension{p} },
			func(s *grpc.Server, d extension.Extension) {
				schedulerv1.RegisterExtensionServer(s, &schedulerServer{d: d})
			}),
	}
}

// known returns those of the abilities that this version knows. What else the
// plugin says of itself counts: a multi-attacher says for how many hosts.
func (k *kind) known(r *driverv1.DescribeResponse) []string {
	probe := &Plugin{kind: k}
	probe.now = &instance{about: Description{Abilities: r.GetAbilities()}, extra: r}
	names, err := k.offered(context.Background(), k.remote(probe))
	if err != nil {
		return nil
	}
	slices.Sort(names)
	return names
}

func kindNamed(name string) (*kind, error) {
	for _, k := range kinds() {
		if k.name == name {
			return k, nil
		}
	}
	return nil, fmt.Errorf("there is no kind of driver %q", name)
}

// kindOf returns the kind of the driver that the pointer is for.
func kindOf(d any) (*kind, error) {
	switch d.(type) {
	case *hypervisor.Driver:
		return kindNamed(Hypervisor)
	case *network.Driver:
		return kindNamed(Network)
	case *network.Controller:
		return kindNamed(NetworkController)
	case *volume.Driver:
		return kindNamed(Volume)
	case *blob.Driver:
		return kindNamed(Blob)
	case *extension.Extension:
		return kindNamed(Scheduler)
	default:
		return nil, fmt.Errorf("%T is no kind of driver", d)
	}
}
