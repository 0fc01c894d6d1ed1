package scheduler

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// PCIPool is a number of PCI devices of one kind on one host. What servers take
// of it is counted under a resource class; see [PCIPool.Class].
type PCIPool struct {
	// VendorID and ProductID are four hexadecimal digits each, such as 8086 and
	// 10fb.
	VendorID, ProductID string
	// DevType is type-PCI, type-PF or type-VF; empty means type-PCI.
	DevType string
	// NUMANode is the id of the cell that the devices are near; nil: unknown.
	NUMANode *int
	Count    int64
	// ResourceClass counts the devices; empty: see Class.
	ResourceClass string
	// Tags are further properties that an alias may ask for, such as
	// physical_network or trusted.
	Tags map[string]string
	// Addresses are the devices that Count counts, such as 0000:81:00.0; see
	// [Assign]. Hosts that only count leave them out.
	Addresses []string `json:",omitempty"`
}

// The kinds of PCI device.
const (
	PCIDevice   = "type-PCI"
	PCIPhysical = "type-PF"
	PCIVirtual  = "type-VF"
)

// maxPCIPools bounds the PCI pools of a host.
const maxPCIPools = 256

// Class returns the resource class that counts the devices: ResourceClass, or
// else CUSTOM_PCI_ with vendor and product, as Nova names it, and _NUMA with
// the node if that is known.
func (p PCIPool) Class() string {
	if p.ResourceClass != "" {
		return p.ResourceClass
	}
	class := "CUSTOM_PCI_" + strings.ToUpper(p.VendorID) + "_" + strings.ToUpper(p.ProductID)
	if p.DevType == PCIPhysical || p.DevType == PCIVirtual {
		class += "_" + strings.TrimPrefix(p.DevType, "type-")
	}
	if p.NUMANode != nil {
		class += "_NUMA" + strconv.Itoa(*p.NUMANode)
	}
	return class
}

func (p PCIPool) clone() PCIPool {
	p.Tags, p.Addresses = maps.Clone(p.Tags), slices.Clone(p.Addresses)
	if p.NUMANode != nil {
		node := *p.NUMANode
		p.NUMANode = &node
	}
	return p
}

func isHex4(s string) bool {
	return len(s) == 4 && strings.Trim(strings.ToLower(s), "0123456789abcdef") == ""
}

func checkPCI(pools []PCIPool) error {
	bad := func(what string) error {
		return nephos.Errorf(nephos.ErrInvalid, "PCI pools have an invalid %s", what).WithField("pci")
	}
	if len(pools) > maxPCIPools {
		return bad("number")
	}
	classes := map[string]bool{}
	for _, p := range pools {
		switch {
		case !isHex4(p.VendorID) || !isHex4(p.ProductID):
			return bad("vendor or product id")
		case p.DevType != "" && p.DevType != PCIDevice && p.DevType != PCIPhysical && p.DevType != PCIVirtual:
			return bad("type of device")
		case p.NUMANode != nil && (*p.NUMANode < 0 || *p.NUMANode > 1<<20):
			return bad("NUMA node")
		case p.Count < 0 || p.Count > 1<<20:
			return bad("number of devices")
		case len(p.Tags) > 64:
			return bad("number of tags")
		case len(p.Addresses) > 0 && int64(len(p.Addresses)) != p.Count || slices.ContainsFunc(p.Addresses, func(a string) bool { return a == "" || len(a) > 64 }):
			return bad("list of addresses")
		}
		class := p.Class()
		if err := checkClass(class); err != nil {
			return err
		}
		if classes[class] {
			return nephos.Errorf(nephos.ErrInvalid, "two PCI pools have resource class %s: give them different ones", class).WithField("pci")
		}
		classes[class] = true
	}
	return nil
}
