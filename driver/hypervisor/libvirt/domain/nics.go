package domain

import (
	"errors"
	"fmt"

	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// maxDevice is the longest name of a network device.
const maxDevice = 15

// CheckNICs refuses cards that no domain can have.
func CheckNICs(p Platform, nics []driver.NIC) error {
	if p.Container() && len(nics) > 0 {
		return fmt.Errorf("card %s: a container cannot use a tap: %w", nics[0].ID, errors.ErrUnsupported)
	}
	seen := make(map[string]bool)
	for _, n := range nics {
		if n.Device == "" || len(n.Device) > maxDevice {
			return fmt.Errorf("card %s: Device %.40q is no name of a tap: %w", n.ID, n.Device, nephos.ErrInvalid)
		}
		if seen[n.MAC] {
			return fmt.Errorf("card %s: MAC %s is another card's too, and libvirt tells cards by it: %w", n.ID, n.MAC, nephos.ErrInvalid)
		}
		seen[n.MAC] = true
	}
	return nil
}

// NIC describes a card on a tap that is there already: libvirt opens it, in the
// network namespace that libvirtd runs in, and leaves it as it is.
func NIC(p Platform, n driver.NIC) libvirtxml.DomainInterface {
	x := libvirtxml.DomainInterface{
		MAC:    &libvirtxml.DomainInterfaceMAC{Address: n.MAC},
		Source: &libvirtxml.DomainInterfaceSource{Ethernet: &libvirtxml.DomainInterfaceSourceEthernet{}},
		Target: &libvirtxml.DomainInterfaceTarget{Dev: n.Device, Managed: "no"},
		Alias:  &libvirtxml.DomainAlias{Name: NICAlias(n.ID)},
	}
	if n.MTU > 0 && n.MTU != 1500 && n.Model != "e1000" {
		x.MTU = &libvirtxml.DomainInterfaceMTU{Size: uint(n.MTU)}
	}
	switch {
	case p.Type == "xen":
		x.Alias, x.MTU = nil, nil
		x.Target.Managed = ""
		if p.OS == "hvm" && n.Model == "e1000" {
			x.Model = &libvirtxml.DomainInterfaceModel{Type: "e1000"}
		}
	default:
		model := n.Model
		if model == "" {
			model = "virtio"
		}
		x.Model = &libvirtxml.DomainInterfaceModel{Type: model}
		x.ROM = &libvirtxml.DomainROM{Enabled: "no"}
	}
	return x
}

// SameNIC reports whether a card can stay as it is.
func SameNIC(a, b driver.NIC) bool { return a == b }
