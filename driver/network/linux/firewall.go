//go:build linux

package linux

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	mdnetlink "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// firewall is the ruleset of a namespace. It knows what it applied and at which
// generation of the ruleset, so that it notices a change by others.
type firewall struct {
	ns         *namespace
	generation uint32            // after the last change of ours; 0: unknown
	applied    map[string]string // fingerprints, by kind and ID
}

func newFirewall(ns *namespace) *firewall {
	return &firewall{ns: ns, applied: map[string]string{}}
}

// The tables, and the maps in them.
var (
	bridgeTable = &nftables.Table{Family: nftables.TableFamilyBridge, Name: "nephos"}
	inetTable   = &nftables.Table{Family: nftables.TableFamilyINet, Name: "nephos"}

	// By tap: the chain that checks what it sends, and marks it.
	fromMap = &nftables.Set{Table: bridgeTable, Name: "from", IsMap: true, KeyType: nftables.TypeIFName, DataType: nftables.TypeVerdict}
	// By tap: the chain that marks what goes to it.
	toMap = &nftables.Set{Table: bridgeTable, Name: "to", IsMap: true, KeyType: nftables.TypeIFName, DataType: nftables.TypeVerdict}
	// The taps without port security.
	openSet = &nftables.Set{Table: bridgeTable, Name: "open", KeyType: nftables.TypeIFName}
	// By bridge: the chain that sets the zone.
	zoneMap = &nftables.Set{Table: inetTable, Name: "zones", IsMap: true, KeyType: nftables.TypeIFName, DataType: nftables.TypeVerdict}
	// By mark: the chain with the port's groups.
	egressMap  = &nftables.Set{Table: inetTable, Name: "egress", IsMap: true, KeyType: nftables.TypeMark, DataType: nftables.TypeVerdict}
	ingressMap = &nftables.Set{Table: inetTable, Name: "ingress", IsMap: true, KeyType: nftables.TypeMark, DataType: nftables.TypeVerdict}
)

// The bits of a connection's mark: which side's stateful group let it through,
// so that the answers pass there and only there.
const (
	sentBit     = 1 // the egress rules of who opened it
	receivedBit = 2 // the ingress rules of whom it was opened to
)

// batch is a change of the ruleset that happens as a whole or not at all.
type batch struct {
	*nftables.Conn
	err error
}

func (b *batch) chain(t *nftables.Table, name string, rules ...[]expr.Any) {
	c := b.AddChain(&nftables.Chain{Table: t, Name: name})
	b.FlushChain(c)
	b.rules(c, rules)
}

// dropChain removes a chain, also one that is not there.
func (b *batch) dropChain(t *nftables.Table, name string) {
	b.chain(t, name)
	b.DelChain(&nftables.Chain{Table: t, Name: name})
}

func (b *batch) base(t *nftables.Table, name string, kind nftables.ChainType, hook *nftables.ChainHook, priority nftables.ChainPriority, rules ...[]expr.Any) {
	c := b.AddChain(&nftables.Chain{Table: t, Name: name, Type: kind, Hooknum: hook, Priority: &priority})
	b.FlushChain(c)
	b.rules(c, rules)
}

func (b *batch) rules(c *nftables.Chain, rules [][]expr.Any) {
	for _, r := range rules {
		b.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: r})
	}
}

// set declares a set, without changing one that is there.
func (b *batch) set(s *nftables.Set) {
	fresh := *s // the library writes an ID into it
	b.err = errors.Join(b.err, b.AddSet(&fresh, nil))
}

// add adds elements, in messages that fit.
func (b *batch) add(s *nftables.Set, elements ...nftables.SetElement) {
	for len(elements) > 0 {
		n := min(len(elements), 512)
		b.err = errors.Join(b.err, b.SetAddElements(s, elements[:n]))
		elements = elements[n:]
	}
}

func (b *batch) remove(s *nftables.Set, elements ...nftables.SetElement) {
	if len(elements) > 0 {
		b.err = errors.Join(b.err, b.SetDeleteElements(s, elements))
	}
}

// open returns a connection that keeps nothing open between calls.
func (f *firewall) open() (*nftables.Conn, error) {
	return nftables.New(nftables.WithNetNSFd(int(f.ns.fd)), nftables.WithSockOptions(func(c *mdnetlink.Conn) error {
		// A batch is one datagram, and the kernel acknowledges each message.
		return errors.Join(c.SetWriteBuffer(8<<20), c.SetReadBuffer(8<<20))
	}))
}

// change applies a batch and follows the generation.
func (f *firewall) change(build func(*batch)) error {
	conn, err := f.open()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	b := &batch{Conn: conn}
	build(b)
	if b.err != nil {
		return fmt.Errorf("build ruleset: %w", b.err)
	}
	if err := conn.Flush(); err != nil {
		f.generation = 0
		return fmt.Errorf("change ruleset: %w", err)
	}
	now, err := f.readGeneration()
	if err != nil {
		return err
	}
	if f.generation != 0 && now != f.generation+1 {
		now = 0 // somebody else changed something at the same time
	}
	f.generation = now
	return nil
}

// readGeneration asks for the number that each change of the ruleset raises.
func (f *firewall) readGeneration() (uint32, error) {
	c, err := mdnetlink.Dial(unix.NETLINK_NETFILTER, &mdnetlink.Config{NetNS: int(f.ns.fd)})
	if err != nil {
		return 0, fmt.Errorf("ask for the ruleset's generation: %w", err)
	}
	defer c.Close()
	answers, err := c.Execute(mdnetlink.Message{
		Header: mdnetlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Flags: mdnetlink.Request},
		Data:   make([]byte, 4), // nfgenmsg
	})
	if err != nil || len(answers) == 0 || len(answers[0].Data) < 4 {
		return 0, fmt.Errorf("ask for the ruleset's generation: %w", errors.Join(err, errors.New("no answer")))
	}
	ad, err := mdnetlink.NewAttributeDecoder(answers[0].Data[4:])
	if err != nil {
		return 0, fmt.Errorf("read the ruleset's generation: %w", err)
	}
	ad.ByteOrder = bigEndian
	for ad.Next() {
		if ad.Type() == unix.NFTA_GEN_ID {
			return ad.Uint32(), nil
		}
	}
	return 0, fmt.Errorf("read the ruleset's generation: %w", errors.Join(ad.Err(), errors.New("it is missing")))
}

// foreign reports whether the ruleset is not as this process left it.
func (f *firewall) foreign() (bool, error) {
	if f.generation == 0 {
		return true, nil
	}
	now, err := f.readGeneration()
	return now != f.generation, err
}

// install makes the tables, the maps and the chains that the kernel calls.
func (f *firewall) install() error {
	clear(f.applied)
	f.generation = 0
	return f.change(func(b *batch) {
		b.AddTable(bridgeTable)
		b.AddTable(inetTable)
		for _, s := range []*nftables.Set{fromMap, toMap, openSet, zoneMap, egressMap, ingressMap} {
			b.set(s)
		}
		name := func(key expr.MetaKey) []expr.Any { return []expr.Any{&expr.Meta{Key: key, Register: 1}} }
		// Each host has a service at that address; they must not meet.
		b.chain(bridgeTable, "tunnel",
			match(etherType(etherARP), prefixAt(expr.PayloadBaseNetworkHeader, 14, servicePrefix), drop),
			match(etherType(etherARP), prefixAt(expr.PayloadBaseNetworkHeader, 24, servicePrefix), drop),
			match(etherType(etherIPv4), source(servicePrefix), drop),
			match(etherType(etherIPv4), dest(servicePrefix), drop))
		b.base(bridgeTable, "sent", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, -350,
			setMark(0),
			match(meta(expr.MetaKeyIIFNAME, []byte("v")), goTo("tunnel")),
			match(name(expr.MetaKeyIIFNAME), vmap("from")),
			// Without port security there is no metadata: who asks is not known.
			match(name(expr.MetaKeyIIFNAME), lookup("open"), etherType(etherIPv4), dest(servicePrefix), l4proto(unix.IPPROTO_TCP), drop),
			match(name(expr.MetaKeyIIFNAME), lookup("open"), accept),
			// A tap that the maps do not know is not ready.
			match(meta(expr.MetaKeyIIFNAME, []byte("t")), drop),
		)
		b.base(bridgeTable, "delivered", nftables.ChainTypeFilter, nftables.ChainHookForward, -200,
			setMark(0),
			match(meta(expr.MetaKeyOIFNAME, []byte("v")), goTo("tunnel")),
			match(name(expr.MetaKeyOIFNAME), vmap("to")),
			match(name(expr.MetaKeyOIFNAME), lookup("open"), accept),
			match(meta(expr.MetaKeyOIFNAME, []byte("t")), drop),
		)
		// Before defragmentation, so that fragments of two networks do not mix.
		b.base(inetTable, "zone", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, -450,
			match(name(expr.MetaKeyIIFNAME), vmap("zones")))
		b.base(inetTable, "sent", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, 0,
			match(name(expr.MetaKeyMARK), vmap("egress")))
		b.base(inetTable, "delivered", nftables.ChainTypeFilter, nftables.ChainHookForward, 0,
			match(name(expr.MetaKeyMARK), vmap("ingress")))
		b.chain(inetTable, "pass-sent", match(setCtMark(sentBit), accept))
		b.chain(inetTable, "pass-delivered", match(setCtMark(receivedBit), accept))
	})
}

// repair brings the ruleset back when it is not as this process left it: after
// a start, and after others changed or flushed it.
func (d *Driver) repair() error {
	foreign, err := d.fw.foreign()
	if err != nil || !foreign {
		return err
	}
	if err := d.fw.install(); err != nil {
		return fmt.Errorf("install firewall: %w", err)
	}
	for id, g := range d.groups {
		if err := d.fw.ensureGroup(id, g); err != nil {
			return fmt.Errorf("restore security group %s: %w", id, err)
		}
	}
	for _, b := range d.networks {
		if err := d.fw.ensureZone(b); err != nil {
			return fmt.Errorf("restore network %s: %w", b.id, err)
		}
	}
	for id, t := range d.ports {
		if err := d.fw.ensurePort(id, t); err != nil {
			return fmt.Errorf("restore port %s: %w", id, err)
		}
	}
	return nil
}
