package scheduler

import (
	"github.com/nephos-cloud/nephos"
)

// MaxCount bounds the servers of one request.
const MaxCount = 1000

// Request is what is to be placed: Count servers of one kind.
type Request struct {
	// ID is the request's or server's id. It takes part in settling ties.
	ID        string
	ProjectID string

	// Resources is what one server takes.
	Resources Resources
	// VCPUs and MemoryMB are the processors and the memory that the guest has,
	// which a NUMA topology divides; 0: as Resources say, VCPU and PCPU together.
	VCPUs, MemoryMB int64
	// Count is how many servers are placed in one decision; 0 means 1. They are
	// placed all or none.
	Count int

	// Zone is the availability zone asked for, or empty.
	Zone string
	// ForcedHost and ForcedNode, a host's Name (or ID) and Node, name the only
	// host to be asked, and only whether it is up, enabled and has room: as in
	// Nova, an operator who forces a host overrules all other filters.
	ForcedHost, ForcedNode string
	// RequestedHost and RequestedNode name the only host too, but every filter
	// is asked (Compute API since microversion 2.74).
	RequestedHost, RequestedNode string
	// IgnoreHosts are ids of hosts not to be asked, such as those that failed.
	IgnoreHosts []string
	// Refused are reasons, as a [Verdict] has them, not to ask hosts, by their ids:
	// what turned out when they were to be claimed.
	Refused map[string]string

	FlavorName      string
	ExtraSpecs      map[string]string
	ImageProperties map[string]string
	// ImageID is the image's; empty for what boots from a volume.
	ImageID string

	// PCI are devices that are asked for beside those of the flavor's extra
	// specs, such as for ports.
	PCI []PCIRequest

	// Hints are the scheduler hints as the user gave them. ServerHosts tells the
	// host id of each server that the hints same_host and different_host name;
	// a server that is absent there is on no host.
	Hints       map[string][]string
	ServerHosts map[string]string

	// Group is the server group, or nil.
	Group *Group

	// Volume is set if this is about a volume and the hosts are pools of
	// storage; see [VolumeRequest].
	Volume *VolumeSpec

	devices []PCIRequest // what the PciPassthroughFilter found to be wanted
}

// The policies of server groups.
const (
	Affinity         = "affinity"
	AntiAffinity     = "anti-affinity"
	SoftAffinity     = "soft-affinity"
	SoftAntiAffinity = "soft-anti-affinity"
)

// Group is a server group as the scheduler sees it.
type Group struct {
	ID     string
	Policy string
	// MaxServerPerHost is the rule max_server_per_host of anti-affinity, where 0
	// means 1; the weighers of the soft policies heed it too, where 0 means that
	// there is none.
	MaxServerPerHost int
	// MembersByHost counts the group's other members by host id. Leave out the
	// server that is being moved.
	MembersByHost map[string]int
}

func (r *Request) check() error {
	bad := func(field string) error {
		return nephos.Errorf(nephos.ErrInvalid, "scheduling request %.64q: invalid %s", r.ID, field).WithField(field)
	}
	switch {
	case r.Count < 0 || r.Count > MaxCount:
		return bad("count")
	case r.VCPUs < 0 || r.VCPUs > maxAmount || r.MemoryMB < 0 || r.MemoryMB > maxAmount:
		return bad("size")
	case len(r.Resources) > maxClasses:
		return bad("resources")
	case len(r.ExtraSpecs) > maxAttributes || len(r.ImageProperties) > maxAttributes:
		return bad("properties")
	case len(r.PCI) > maxPCIRequests:
		return bad("pci")
	case r.Group != nil && r.Group.MaxServerPerHost < 0:
		return bad("max_server_per_host")
	}
	return r.Resources.check("request")
}

// forced says whether an operator overrules the filters.
func (r *Request) forced() bool { return r.ForcedHost != "" || r.ForcedNode != "" }
