//go:build linux

package linux_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/network"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// guest is a namespace whose eth0 is wired to a port's tap: what goes into one
// comes out of the other, as between a guest's card and its tap.
type guest struct {
	t    drivertest.T
	ns   netns.NsHandle
	mac  string
	ip   netip.Addr
	port network.Port
}

// boot wires a new guest to the binding.
func boot(t drivertest.T, b network.Binding, p network.Port) *guest {
	t.Helper()
	g := &guest{t: t, ns: newNS(t), mac: p.MAC, port: p}
	sw, err := netns.GetFromPath(b.Namespace)
	require.NoError(t, err)
	outer := openTap(t, sw, b.Device)
	inner := openTap(t, g.ns, "eth0")
	require.NoError(t, sw.Close())
	go wire(outer, inner)
	go wire(inner, outer)
	t.Cleanup(func() { _, _ = outer.Close(), inner.Close() })
	inside(t, g.ns, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		mac, err := net.ParseMAC(p.MAC)
		if err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for _, err := range []error{
			os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0),
			netlink.LinkSetHardwareAddr(l, mac), netlink.LinkSetUp(l), netlink.LinkSetUp(lo),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	return g
}

// openTap attaches to a tap, or makes one, for reading and writing frames.
func openTap(t drivertest.T, ns netns.NsHandle, name string) *os.File {
	t.Helper()
	var f *os.File
	inside(t, ns, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			return fmt.Errorf("attach to %s: %w", name, err)
		}
		f = os.NewFile(uintptr(fd), name)
		return nil
	})
	return f
}

func wire(from, to *os.File) {
	buf := make([]byte, 70000)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		_, _ = to.Write(buf[:n]) // a side that is down loses frames
	}
}

// lease asks for an address by DHCP and configures the guest with it; with
// classless routes as they come, or with the router option alone.
func (g *guest) lease(classless bool) *dhcpv4.DHCPv4 {
	g.t.Helper()
	var ack *dhcpv4.DHCPv4
	inside(g.t, g.ns, func() error {
		c, err := nclient4.New("eth0", nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(8))
		if err != nil {
			return err
		}
		defer c.Close()
		l, err := c.Request(g.t.Context())
		if err != nil {
			return err
		}
		ack = l.ACK
		ip, _ := netip.AddrFromSlice(ack.YourIPAddr.To4())
		g.ip = ip
		return g.configure(ack, classless)
	})
	return ack
}

func (g *guest) configure(ack *dhcpv4.DHCPv4, classless bool) error {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := netlink.AddrReplace(l, &netlink.Addr{IPNet: &net.IPNet{IP: ack.YourIPAddr, Mask: ack.SubnetMask()}}); err != nil {
		return err
	}
	if !classless {
		return netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: ack.Router()[0]})
	}
	for _, r := range ack.ClasslessStaticRoute() {
		route := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: r.Dest, Gw: r.Router}
		if r.Router.IsUnspecified() {
			route.Gw, route.Scope = nil, netlink.SCOPE_LINK
		}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("add route %s: %w", r, err)
		}
	}
	return nil
}

// also gives the guest one more address of its own making.
func (g *guest) also(cidr string) {
	g.t.Helper()
	inside(g.t, g.ns, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, a)
	})
}

// echo listens for TCP in the namespace; each connection is told the address
// that it was seen from, and a name.
func echo(t drivertest.T, ns netns.NsHandle, port int, name string) {
	t.Helper()
	var l net.Listener
	inside(t, ns, func() (err error) {
		l, err = net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
		return err
	})
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%s %s\n", c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(), name)
			go func() { // until the other side goes
				_, _ = c.Read(make([]byte, 1))
				_ = c.Close()
			}()
		}
	}()
}

// call connects from the namespace and returns what echo says.
func call(t drivertest.T, ns netns.NsHandle, local, remote string) string {
	t.Helper()
	line, err := dial(t, ns, local, remote, patience)
	require.NoError(t, err)
	return line
}

// refused expects that a connection does not come about.
func refused(t drivertest.T, ns netns.NsHandle, remote string) {
	t.Helper()
	line, err := dial(t, ns, "", remote, 300*time.Millisecond)
	require.Error(t, err, "connected to %s, which said %q", remote, line)
}

func dial(t drivertest.T, ns netns.NsHandle, local, remote string, limit time.Duration) (line string, err error) {
	d := net.Dialer{Timeout: limit}
	if local != "" {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(local))
	}
	err = within(ns, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		c, err := d.DialContext(ctx, "tcp4", remote)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(limit))
		line, err = bufio.NewReader(c).ReadString('\n')
		return err
	})
	if line != "" {
		line = line[:len(line)-1]
	}
	return line, err
}

// inbox is a guest's UDP port.
type inbox struct {
	t drivertest.T
	c *net.UDPConn
}

func (g *guest) inbox(port int) *inbox {
	g.t.Helper()
	b := &inbox{t: g.t}
	inside(g.t, g.ns, func() (err error) {
		b.c, err = net.ListenUDP("udp", &net.UDPAddr{Port: port})
		return err
	})
	g.t.Cleanup(func() { _ = b.c.Close() })
	return b
}

// next waits for a datagram.
func (b *inbox) next() string {
	b.t.Helper()
	buf := make([]byte, 100)
	_ = b.c.SetReadDeadline(time.Now().Add(patience))
	n, from, err := b.c.ReadFromUDPAddrPort(buf)
	require.NoError(b.t, err)
	return from.Addr().Unmap().String() + " " + string(buf[:n])
}

// empty reports whether nothing has arrived.
func (b *inbox) empty() bool {
	b.t.Helper()
	raw, err := b.c.SyscallConn()
	require.NoError(b.t, err)
	var got error
	require.NoError(b.t, raw.Control(func(fd uintptr) {
		_, _, got = unix.Recvfrom(int(fd), make([]byte, 100), unix.MSG_DONTWAIT|unix.MSG_PEEK)
	}))
	return got == unix.EAGAIN
}

// send sends a datagram; local may be empty.
func (g *guest) send(local, remote, text string) {
	g.t.Helper()
	d := net.Dialer{}
	if local != "" {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.MustParseAddrPort(local))
	}
	inside(g.t, g.ns, func() error {
		c, err := d.DialContext(g.t.Context(), "udp", remote)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte(text))
		return err
	})
}
