//go:build linux

package linux

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Builders of nftables expressions. Each returns what nft would print on one
// rule; match concatenates them. All use register 1.

func match(parts ...[]expr.Any) []expr.Any { return slices.Concat(parts...) }

func equal(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data}
}

func meta(key expr.MetaKey, data []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, equal(data)}
}

func payload(base expr.PayloadBase, offset, length uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: length}
}

// field matches bytes of a header.
func field(base expr.PayloadBase, offset uint32, data []byte) []expr.Any {
	return []expr.Any{payload(base, offset, uint32(len(data))), equal(data)} //nolint:gosec // a few bytes
}

// ifnameKey is a whole interface name, as sets and matches have it.
func ifnameKey(name string) []byte {
	b := make([]byte, 16)
	copy(b, name)
	return b
}

func nfproto(v6 bool) []expr.Any {
	if v6 {
		return meta(expr.MetaKeyNFPROTO, []byte{unix.NFPROTO_IPV6})
	}
	return meta(expr.MetaKeyNFPROTO, []byte{unix.NFPROTO_IPV4})
}

func l4proto(p int) []expr.Any { return meta(expr.MetaKeyL4PROTO, []byte{byte(p)}) }

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

// etherType looks into the frame itself, where a VLAN tag shows.
func etherType(t uint16) []expr.Any {
	return field(expr.PayloadBaseLLHeader, 12, binary.BigEndian.AppendUint16(nil, t))
}

func etherSource(mac net.HardwareAddr) []expr.Any {
	return field(expr.PayloadBaseLLHeader, 6, mac)
}

// port matches a transport port.
func sport(p uint16) []expr.Any {
	return field(expr.PayloadBaseTransportHeader, 0, binary.BigEndian.AppendUint16(nil, p))
}

func dport(p uint16) []expr.Any {
	return field(expr.PayloadBaseTransportHeader, 2, binary.BigEndian.AppendUint16(nil, p))
}

func dportRange(lo, hi uint16) []expr.Any {
	if lo == hi {
		return dport(lo)
	}
	return []expr.Any{
		payload(expr.PayloadBaseTransportHeader, 2, 2),
		&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: binary.BigEndian.AppendUint16(nil, lo), ToData: binary.BigEndian.AppendUint16(nil, hi)},
	}
}

// prefixAt matches an address at an offset of a header against a prefix.
func prefixAt(base expr.PayloadBase, offset uint32, p netip.Prefix) []expr.Any {
	if p.Bits() == 0 {
		return nil
	}
	p = p.Masked()
	a := p.Addr().AsSlice()
	if p.IsSingleIP() {
		return field(base, offset, a)
	}
	return []expr.Any{
		payload(base, offset, uint32(len(a))), //nolint:gosec // 4 or 16
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(len(a)), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()), Xor: make([]byte, len(a))}, //nolint:gosec // 4 or 16
		equal(a),
	}
}

// The offsets of addresses in the IP headers.
func sourceOffset(v6 bool) uint32 {
	if v6 {
		return 8
	}
	return 12
}

func destOffset(v6 bool) uint32 {
	if v6 {
		return 24
	}
	return 16
}

func source(p netip.Prefix) []expr.Any {
	return prefixAt(expr.PayloadBaseNetworkHeader, sourceOffset(p.Addr().Is6()), p)
}

func dest(p netip.Prefix) []expr.Any {
	return prefixAt(expr.PayloadBaseNetworkHeader, destOffset(p.Addr().Is6()), p)
}

// ctState matches any of the states.
func ctState(bits uint32) []expr.Any {
	return masked(&expr.Ct{Key: expr.CtKeySTATE, Register: 1}, bits)
}

// ctMark matches a bit of the connection's mark.
func ctMark(bit uint32) []expr.Any {
	return masked(&expr.Ct{Key: expr.CtKeyMARK, Register: 1}, bit)
}

func masked(load expr.Any, bits uint32) []expr.Any {
	return []expr.Any{
		load,
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// ctReply matches the direction of a connection.
func ctReply(reply bool) []expr.Any {
	d := byte(0)
	if reply {
		d = 1
	}
	return []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, equal([]byte{d})}
}

// setCtMark sets a bit of the connection's mark.
func setCtMark(bit uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(^bit), Xor: binaryutil.NativeEndian.PutUint32(bit)},
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1, SourceRegister: true},
	}
}

func setMark(m uint32) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint32(m)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}
}

// lookup continues when the register is in the set.
func lookup(set string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: 1, SetName: set}}
}

// vmap goes where the map sends the register's value, if it is there.
func vmap(set string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: 1, DestRegister: 0, IsDestRegSet: true, SetName: set}}
}

var (
	accept = []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	drop   = []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}}
)

func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

func goTo(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}
