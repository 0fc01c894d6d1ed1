//go:build linux

package linux

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/network"
)

var (
	leaseNetwork = network.Network{MTU: 1450, Subnets: []network.Subnet{
		{ID: "off", CIDR: netip.MustParsePrefix("10.1.0.0/24")},
		{ID: "on", CIDR: netip.MustParsePrefix("10.0.0.0/24"), DHCP: true},
	}}
	leasePort = network.Port{MAC: "fa:16:3e:00:00:01", AdminUp: true, Addresses: []network.Address{
		{SubnetID: "off", IP: netip.MustParseAddr("10.1.0.5")}, {SubnetID: "on", IP: netip.MustParseAddr("10.0.0.5")},
	}}
)

func ask(t drivertest.T, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	mac, err := net.ParseMAC(leasePort.MAC)
	require.NoError(t, err)
	req, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(mac)}, mods...)...)
	require.NoError(t, err)
	return req
}

func TestAnswerDHCP(t *testing.T) {
	want := func(ip string) dhcpv4.Modifier {
		return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(ip)))
	}
	server := func(ip string) dhcpv4.Modifier {
		return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(ip)))
	}
	for name, c := range map[string]struct {
		req  *dhcpv4.DHCPv4
		kind dhcpv4.MessageType // 0: no answer
		ip   string
	}{
		"discover":           {ask(t, dhcpv4.MessageTypeDiscover), dhcpv4.MessageTypeOffer, "10.0.0.5"},
		"request":            {ask(t, dhcpv4.MessageTypeRequest, want("10.0.0.5"), server("169.254.169.254")), dhcpv4.MessageTypeAck, "10.0.0.5"},
		"renewal":            {ask(t, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(net.IPv4(10, 0, 0, 5))), dhcpv4.MessageTypeAck, "10.0.0.5"},
		"another's address":  {ask(t, dhcpv4.MessageTypeRequest, want("10.0.0.6")), dhcpv4.MessageTypeNak, "0.0.0.0"},
		"an old address":     {ask(t, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(net.IPv4(10, 9, 0, 5))), dhcpv4.MessageTypeNak, "0.0.0.0"},
		"to another server":  {ask(t, dhcpv4.MessageTypeRequest, want("10.0.0.5"), server("10.0.0.9")), 0, ""},
		"inform":             {ask(t, dhcpv4.MessageTypeInform), dhcpv4.MessageTypeAck, "0.0.0.0"},
		"release":            {ask(t, dhcpv4.MessageTypeRelease), 0, ""},
		"an answer, not ask": {ask(t, dhcpv4.MessageTypeDiscover, func(d *dhcpv4.DHCPv4) { d.OpCode = dhcpv4.OpcodeBootReply }), 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			reply, _ := answerDHCP(c.req, leaseNetwork, leasePort, time.Hour)
			if c.kind == 0 {
				require.Nil(t, reply)
				return
			}
			require.Equal(t, c.kind, reply.MessageType())
			require.Equal(t, c.ip, reply.YourIPAddr.String())
			require.Equal(t, c.req.TransactionID, reply.TransactionID)
		})
	}
	down := leasePort
	down.AdminUp = false
	reply, _ := answerDHCP(ask(t, dhcpv4.MessageTypeDiscover), leaseNetwork, down, time.Hour)
	require.Nil(t, reply)
}

func FuzzAnswerDHCP(f *testing.F) {
	f.Add(ask(f, dhcpv4.MessageTypeDiscover).ToBytes())
	f.Add([]byte{1, 1, 6})
	f.Fuzz(func(t *testing.T, b []byte) {
		req, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		if reply, ip := answerDHCP(req, leaseNetwork, leasePort, time.Hour); reply != nil {
			require.Equal(t, "10.0.0.5", ip.String())
			require.NotEmpty(t, reply.ToBytes())
		}
	})
}

func FuzzParseOption(f *testing.F) {
	for _, s := range [][2]string{{"mtu", "1400"}, {"67", "file"}, {"option:150", "10.0.0.1, 10.0.0.2"}, {"router", "::1"}, {"53", "x"}, {"", ""}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		o, ok := parseOption(name, value)
		if !ok {
			return
		}
		n := len(o.Value.ToBytes())
		require.True(t, n > 0 && n < 256)
		require.NotContains(t, []uint8{0, 51, 53, 54, 55, 61, 255}, o.Code.Code())
	})
}

func TestUDPFrame(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	f := udpFrame(mac, mac, netip.MustParseAddrPort("169.254.169.254:67"), netip.MustParseAddrPort("10.0.0.5:68"), []byte("odd"))
	require.Len(t, f, 14+20+8+3)
	require.Equal(t, uint16(0xffff), sum(uint32(0), f[14:34]), "the IP header's checksum")
	pseudo := sum(uint32(17+11), f[26:34])
	require.Equal(t, uint16(0xffff), sum(pseudo, f[34:]), "UDP's checksum")
}
