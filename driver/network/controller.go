package network

import "context"

// Controller is the central half of a back end that is told of objects once,
// for all hosts, such as OVN. It is optional: where there is none, each host's
// [Driver] is told all that its host needs.
//
// Where there is one, the network service tells it of every network, port,
// security group and router, and where each port's guest runs; the hosts'
// drivers are told of their ports as well, and only plug them. The duties are
// those of package driver; objects may arrive in any order, as with Driver.
// RouterDriver, NameServer, QoSDriver, TrunkDriver and Eventer are abilities of
// a controller too. Users hold a [Control].
type Controller interface {
	EnsureNetwork(ctx context.Context, id string, n Network) error
	DeleteNetwork(ctx context.Context, id string) error
	// EnsurePort makes the port known, with its addresses, filters and DHCP, bound
	// to no host yet if it is new.
	EnsurePort(ctx context.Context, id string, p Port) error
	// DeletePort forgets the port, bound or not.
	DeletePort(ctx context.Context, id string) error
	EnsureSecurityGroup(ctx context.Context, id string, g SecurityGroup) error
	DeleteSecurityGroup(ctx context.Context, id string) error
	// Bind says on which host the port's guest runs, and returns what the host's
	// driver and the API need to know. A bound port moves. An unknown port is
	// ErrNotFound; a host that the back end does not know ErrConflict.
	Bind(ctx context.Context, portID, host string, opts BindOptions) (Binding, error)
	// Unbind takes the port off its host; a port that is on none, or unknown, is
	// success.
	Unbind(ctx context.Context, portID string) error
	// Bound tells the hosts of all bound ports.
	Bound(ctx context.Context) (map[string]string, error)
	// List returns what is there that carries this cloud's label.
	List(ctx context.Context) (Inventory, error)
	// Close lets go of the back end, which goes on.
	Close() error
}

// BindOptions says more of a binding.
type BindOptions struct {
	// MigratingTo is the host that the guest is moving to: the port works on both
	// until a Bind to one of them alone.
	MigratingTo string
}
