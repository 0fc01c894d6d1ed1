//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

// Config configures a [Driver].
type Config struct {
	// CloudID labels what the driver makes; two clouds on one host do not see
	// each other.
	CloudID string
	// Dir holds the names of the namespaces; empty means /run/netns, where the
	// ip command looks for them.
	Dir string
	// Physical maps the names of physical networks to how they are reached. A
	// flat or VLAN network on a name that is not here is refused.
	Physical map[string]External
	// Underlay carries VXLAN segments to other hosts; nil: they end at this one.
	Underlay *Underlay
	// TapUID and TapGID own the taps: the user as which guests run.
	TapUID, TapGID int
	// LeaseTime of DHCP; zero means a day.
	LeaseTime time.Duration
	Clock     nephos.Clock // nil: the wall clock
	Log       *slog.Logger // nil: silent
}

// External is a physical network's side on this host.
type External struct {
	// HostAddress is the host's own address on it, with the prefix of its
	// subnet; invalid: the host has none.
	HostAddress netip.Prefix
}

// Driver is the network of this host. It implements [network.Driver] and all
// optional abilities. It needs root, or CAP_NET_ADMIN and CAP_SYS_ADMIN.
type Driver struct {
	cfg  Config
	host *namespace // where the driver was opened
	lock chan struct{}

	// The rest is guarded by lock.
	sw       *namespace // the switch; nil until something is made
	fw       *firewall
	held     bool // somebody else works in the switch: it stays also when it is empty
	closed   bool
	networks map[string]*bridge // known since the driver was opened
	ports    map[string]*tap
	groups   map[string]network.SecurityGroup
	routers  map[string]*routerState
	feed     feed
	metadata metadataTarget
}

var (
	_ network.Driver         = (*Driver)(nil)
	_ network.RouterDriver   = (*Driver)(nil)
	_ network.MetadataServer = (*Driver)(nil)
	_ network.Eventer        = (*Driver)(nil)
	_ network.Statistician   = (*Driver)(nil)
)

// Open opens the driver. The network namespace of the calling thread becomes
// the host's side of physical networks.
func Open(ctx context.Context, cfg Config) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cfg.CloudID == "" {
		return nil, nephos.Errorf(nephos.ErrInvalid, "open network driver: no CloudID")
	}
	for name, x := range cfg.Physical {
		if a := x.HostAddress; a.IsValid() && !a.Addr().Is4() {
			return nil, nephos.Errorf(nephos.ErrInvalid, "open network driver: host address %s of %s is not IPv4", a, name)
		}
	}
	if u := cfg.Underlay; u != nil && (!u.Address.IsValid() || u.Address.IsUnspecified()) {
		return nil, nephos.Errorf(nephos.ErrInvalid, "open network driver: the underlay has no address")
	}
	if cfg.Dir == "" {
		cfg.Dir = "/run/netns"
	}
	if cfg.LeaseTime <= 0 {
		cfg.LeaseTime = 24 * time.Hour
	}
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return nil, nephos.Errorf(nephos.ErrUnavailable, "open network driver: taps are not to be had: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil { //nolint:gosec // as iproute2 makes it
		return nil, fmt.Errorf("open network driver: %w", err)
	}
	here, err := netns.Get()
	if err != nil {
		return nil, fmt.Errorf("open network driver: %w", err)
	}
	d := &Driver{
		cfg: cfg, lock: make(chan struct{}, 1),
		networks: map[string]*bridge{}, ports: map[string]*tap{},
		groups: map[string]network.SecurityGroup{}, routers: map[string]*routerState{},
	}
	d.feed.watchers = map[chan network.Event]struct{}{}
	if d.host, err = newNamespace("", here); err != nil {
		return nil, fmt.Errorf("open network driver: %w", err)
	}
	return d, nil
}

// locked runs f as the only one. Without makeSwitch, d.sw may be nil in it.
func (d *Driver) locked(ctx context.Context, makeSwitch bool, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case d.lock <- struct{}{}:
		defer func() { <-d.lock }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if d.closed {
		return nephos.Errorf(nephos.ErrUnavailable, "the network driver is closed")
	}
	if err := d.openSwitch(makeSwitch); err != nil {
		return err
	}
	if d.sw != nil {
		if err := d.repair(); err != nil {
			return err
		}
	}
	return f()
}

// about is locked for a call about an object that need not be there.
func (d *Driver) about(ctx context.Context, id string, f func() error) error {
	if err := network.CheckID(id); err != nil {
		return err
	}
	return d.locked(ctx, false, f)
}

// openSwitch finds the switch namespace, or makes it.
func (d *Driver) openSwitch(create bool) error {
	name := d.switchName()
	if d.sw != nil {
		if sameNamespace(d.sw) {
			return nil
		}
		d.loseSwitch() // somebody deleted it, or it was mounted anew
	}
	var err error
	d.sw, err = openNamespace(d.cfg.Dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil
		}
		d.sw, err = createNamespace(d.cfg.Dir, name)
	}
	if err != nil {
		return fmt.Errorf("open switch namespace: %w", err)
	}
	err = d.sw.do(func() error {
		return setSysctls(map[string]string{
			"net/ipv6/conf/all/disable_ipv6":            "1",
			"net/ipv6/conf/default/disable_ipv6":        "1",
			"net/ipv4/ip_forward":                       "0",
			"net/bridge/bridge-nf-call-iptables":        "1",
			"net/bridge/bridge-nf-call-ip6tables":       "1",
			"net/netfilter/nf_conntrack_tcp_be_liberal": "1",
			"net/ipv4/conf/all/arp_ignore":              "8", // the switch has no addresses
		})
	})
	if err != nil {
		d.sw.close()
		d.sw = nil
		return err
	}
	d.fw = newFirewall(d.sw)
	return nil
}

// Namespace returns the path of the network namespace that holds the taps, for
// whatever opens them by name and so must run in it. It is made if it is not there
// yet, and from now on kept until Close finds nothing in it.
func (d *Driver) Namespace(ctx context.Context) (string, error) {
	err := d.locked(ctx, true, func() error {
		d.held = true
		return nil
	})
	return filepath.Join(d.cfg.Dir, d.switchName()), err
}

// loseSwitch forgets all that depended on a switch namespace that is gone.
func (d *Driver) loseSwitch() {
	for _, b := range d.networks {
		b.service.stop()
	}
	d.sw.close()
	d.sw, d.fw = nil, nil
	d.networks, d.ports, d.routers = map[string]*bridge{}, map[string]*tap{}, map[string]*routerState{}
}

// dropSwitch removes the switch namespace once nothing is left in it.
func (d *Driver) dropSwitch() error {
	inv, err := d.inventory()
	if err != nil {
		return err
	}
	if d.held || len(inv.Networks)+len(inv.Ports)+len(inv.SecurityGroups)+len(inv.Routers) > 0 {
		return nil
	}
	d.loseSwitch()
	return deleteNamespace(d.cfg.Dir, d.switchName())
}

// List implements [network.Driver].
func (d *Driver) List(ctx context.Context) (network.Inventory, error) {
	var inv network.Inventory
	err := d.locked(ctx, false, func() (err error) {
		inv, err = d.inventory()
		return err
	})
	return inv, err
}

func (d *Driver) inventory() (inv network.Inventory, err error) {
	if d.sw == nil {
		return inv, nil
	}
	links, err := d.sw.nl.LinkList()
	if err != nil {
		return inv, fmt.Errorf("list links of the switch: %w", err)
	}
	for _, l := range links {
		kind, id, _ := strings.Cut(l.Attrs().Alias, " ")
		switch kind {
		case "network":
			id, _, _ = strings.Cut(id, " ")
			inv.Networks = append(inv.Networks, id)
		case "port":
			id, _, _ = strings.Cut(id, " ")
			inv.Ports = append(inv.Ports, id)
		}
	}
	if inv.Routers, err = listNamespaces(d.cfg.Dir, d.switchName()+"-r-"); err != nil {
		return inv, err
	}
	if inv.SecurityGroups, err = d.fw.groups(); err != nil {
		return inv, err
	}
	slices.Sort(inv.Networks)
	slices.Sort(inv.Ports)
	return inv, nil
}

// Close implements [network.Driver].
func (d *Driver) Close() error {
	d.lock <- struct{}{}
	defer func() { <-d.lock }()
	if d.closed {
		return nil
	}
	d.closed = true
	d.feed.close()
	var err error
	if d.sw != nil && d.held {
		d.held = false
		err = d.dropSwitch()
	}
	if d.sw != nil {
		d.loseSwitch()
	}
	d.host.close()
	return err
}

// linkByName returns nil without error when there is no such link.
func linkByName(h *netlink.Handle, name string) (netlink.Link, error) {
	l, err := h.LinkByName(name)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return nil, nil //nolint:nilnil // absence is an answer
	}
	return l, err
}
