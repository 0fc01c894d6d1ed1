//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/nephos-cloud/nephos/driver/network"
)

// EnsureSecurityGroup implements [network.Driver].
func (d *Driver) EnsureSecurityGroup(ctx context.Context, id string, g network.SecurityGroup) error {
	if err := errors.Join(network.CheckID(id), g.Validate()); err != nil {
		return err
	}
	for _, r := range g.Rules {
		if r.RemoteGroup != "" {
			if err := network.CheckID(r.RemoteGroup); err != nil {
				return fmt.Errorf("remote group: %w", err)
			}
		}
	}
	return d.locked(ctx, true, func() error {
		if err := d.fw.ensureGroup(id, g); err != nil {
			return err
		}
		old, known := d.groups[id]
		d.groups[id] = g
		if known {
			d.cutGroup(id, old, g)
		}
		return nil
	})
}

// cutGroup ends connections that rules or members may have allowed which the
// group has lost.
func (d *Driver) cutGroup(id string, old, g network.SecurityGroup) {
	sameRule := func(a, b network.Rule) bool { return fingerprint(a) == fingerprint(b) }
	lost := slices.ContainsFunc(old.Rules, func(r network.Rule) bool {
		return !slices.ContainsFunc(g.Rules, func(x network.Rule) bool { return sameRule(r, x) })
	})
	gone := slices.ContainsFunc(old.Members, func(a netip.Addr) bool { return !slices.Contains(g.Members, a) })
	if !lost && !gone {
		return
	}
	for _, t := range d.ports {
		concerned := lost && slices.Contains(t.spec.SecurityGroups, id)
		for _, name := range t.spec.SecurityGroups {
			concerned = concerned || gone && slices.ContainsFunc(d.groups[name].Rules, func(r network.Rule) bool { return r.RemoteGroup == id })
		}
		if concerned {
			d.cut(t)
		}
	}
}

// DeleteSecurityGroup implements [network.Driver].
func (d *Driver) DeleteSecurityGroup(ctx context.Context, id string) error {
	return d.about(ctx, id, func() error {
		if d.sw == nil {
			return nil
		}
		old, known := d.groups[id]
		delete(d.groups, id)
		if err := d.fw.deleteGroup(id); err != nil {
			return err
		}
		if known {
			d.cutGroup(id, old, network.SecurityGroup{})
		}
		return d.dropSwitch()
	})
}
