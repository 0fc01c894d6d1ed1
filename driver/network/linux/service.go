//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver/network"
)

// serviceAddress is where each network's DHCP and metadata service lives. It
// is of no subnet, so that it costs no tenant an address.
var serviceAddress = netip.AddrFrom4([4]byte{169, 254, 169, 254})

// service is one network's DHCP and metadata, in a namespace of its own. Its
// methods ensure and stop are for the holder of the driver's lock.
type service struct {
	driver *Driver
	id     string // of the network

	ns      *namespace
	index   int // of its leg
	dhcp    *net.UDPConn
	raw     *packet.Conn
	http    *http.Server
	serving sync.WaitGroup

	mu    sync.RWMutex
	spec  network.Network
	ports map[string]network.Port // by ID
	byMAC map[string]string       // to the ID
	byIP  map[netip.Addr]string
}

func newService(d *Driver, id string) *service {
	return &service{driver: d, id: id, ports: map[string]network.Port{}, byMAC: map[string]string{}, byIP: map[netip.Addr]string{}}
}

// ensure converges namespace, leg, address and routes, and starts serving.
func (s *service) ensure(b *bridge) error {
	s.mu.Lock()
	s.spec = b.spec
	s.mu.Unlock()
	if s.ns != nil && !sameNamespace(s.ns) {
		s.stop()
	}
	if s.ns == nil {
		name := s.driver.serviceName(s.id)
		ns, err := openNamespace(s.driver.cfg.Dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			ns, err = createNamespace(s.driver.cfg.Dir, name)
		}
		if err != nil {
			return fmt.Errorf("open service namespace: %w", err)
		}
		s.ns = ns
	}
	leg, err := ensureVeth(s.driver.sw, veth{
		name: serviceVeth(s.id), alias: "service " + s.id, mtu: b.mtu(), master: b.index,
		far: s.ns, leg: serviceLeg, mac: serviceMAC(s.id), up: true,
	})
	if err != nil {
		return err
	}
	if _, err := ensureAddresses(s.ns, leg, []netip.Prefix{netip.PrefixFrom(serviceAddress, 32)}); err != nil {
		return err
	}
	if err := s.routes(leg); err != nil {
		return err
	}
	if s.dhcp != nil && s.index == leg.Attrs().Index {
		return nil
	}
	s.quiet()
	s.index = leg.Attrs().Index
	if err := s.serve(); err != nil {
		s.quiet()
		return fmt.Errorf("serve DHCP and metadata: %w", err)
	}
	return nil
}

// serviceMAC stays the same for a network, so that guests' ARP caches do.
func serviceMAC(id string) string {
	h := short("service "+id, 6)
	return "fa:16:3f:" + h[:2] + ":" + h[2:4] + ":" + h[4:6]
}

// routes lets the service answer to the addresses of the network's subnets.
func (s *service) routes(leg netlink.Link) error {
	want := map[netip.Prefix]bool{}
	for _, sub := range s.spec.Subnets {
		if sub.CIDR.Addr().Is4() {
			want[sub.CIDR.Masked()] = true
		}
	}
	have, err := s.ns.nl.RouteList(leg, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list routes of the service: %w", err)
	}
	for _, r := range have {
		if r.Dst == nil {
			continue
		}
		if p := prefixOf(r.Dst); want[p] {
			delete(want, p)
		} else if err := s.ns.nl.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove route %s of the service: %w", p, err)
		}
	}
	for p := range want {
		r := &netlink.Route{LinkIndex: leg.Attrs().Index, Dst: ipNet(p), Scope: netlink.SCOPE_LINK, Src: serviceAddress.AsSlice()}
		if err := s.ns.nl.RouteReplace(r); err != nil {
			return fmt.Errorf("add route %s of the service: %w", p, err)
		}
	}
	return nil
}

// serve opens the sockets inside the namespace and answers on them.
func (s *service) serve() error {
	var listener net.Listener
	err := s.ns.do(func() error {
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
			cerr := c.Control(func(fd uintptr) {
				err = errors.Join(
					unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
					unix.BindToDevice(int(fd), serviceLeg))
			})
			return errors.Join(cerr, err)
		}}
		pc, err := lc.ListenPacket(context.Background(), "udp4", "0.0.0.0:67")
		if err != nil {
			return err
		}
		s.dhcp = pc.(*net.UDPConn)
		ifi, err := net.InterfaceByName(serviceLeg)
		if err != nil {
			return err
		}
		// Protocol 0 receives nothing: the socket only sends.
		if s.raw, err = packet.Listen(ifi, packet.Raw, 0, nil); err != nil {
			return err
		}
		listener, err = lc.Listen(context.Background(), "tcp4", netip.AddrPortFrom(serviceAddress, 80).String())
		return err
	})
	if err != nil {
		return err
	}
	s.http = s.newHTTPServer()
	dhcp, raw, server := s.dhcp, s.raw, s.http
	s.serving.Go(func() { s.serveDHCP(dhcp, raw) })
	s.serving.Go(func() { _ = server.Serve(listener) })
	return nil
}

// quiet closes the sockets and waits for those who serve on them.
func (s *service) quiet() {
	if s.dhcp != nil {
		_ = s.dhcp.Close()
	}
	if s.raw != nil {
		_ = s.raw.Close()
	}
	if s.http != nil {
		_ = s.http.Close()
	}
	s.serving.Wait()
	s.dhcp, s.raw, s.http = nil, nil, nil
}

// stop closes everything that keeps the namespace alive.
func (s *service) stop() {
	s.quiet()
	if s.ns != nil {
		s.ns.close()
		s.ns = nil
	}
}

// set tells the service of a port.
func (s *service) set(id string, p network.Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(id)
	s.ports[id] = p
	s.byMAC[canonicalMAC(p.MAC)] = id
	for _, a := range p.Addresses {
		s.byIP[a.IP] = id
	}
}

// unset makes the service forget a port.
func (s *service) unset(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(id)
}

func (s *service) forget(id string) {
	p, ok := s.ports[id]
	if !ok {
		return
	}
	delete(s.ports, id)
	if mac := canonicalMAC(p.MAC); s.byMAC[mac] == id {
		delete(s.byMAC, mac)
	}
	for _, a := range p.Addresses {
		if s.byIP[a.IP] == id {
			delete(s.byIP, a.IP)
		}
	}
}

// canonicalMAC is the address in lower case with colons.
func canonicalMAC(mac string) string {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return mac
	}
	return hw.String()
}
