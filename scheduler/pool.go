package scheduler

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// DefaultOverSubscription is how many times its size a thin pool may promise if
// it says nothing, as in Cinder.
const DefaultOverSubscription = 20.0

// Pool is a pool of storage as the scheduler sees it: the same pipeline that
// chooses hosts for servers chooses pools for volumes. Sizes are in GiB.
type Pool struct {
	// ID names the pool as the Block Storage API does: host@backend#pool.
	ID   string
	Zone string
	// Up and Enabled as in [Host].
	Up, Enabled bool

	// TotalGB and FreeGB are what there is and what is left by the backend's own
	// account; negative means unknown or without end.
	TotalGB, FreeGB float64
	// ProvisionedGB is the sum of the sizes that volumes were promised.
	ProvisionedGB float64
	// ReservedPercentage of TotalGB is kept free.
	ReservedPercentage int
	// MaxOverSubscription is how many times TotalGB a thin pool may promise; 0
	// means DefaultOverSubscription.
	MaxOverSubscription float64
	// Thin and Thick say which kinds of volume the pool makes; neither means
	// Thick.
	Thin, Thick bool

	// Volumes counts the volumes in the pool.
	Volumes int
	// Capabilities are what volume types' extra specs ask for:
	// volume_backend_name, storage_protocol, multiattach and so on.
	Capabilities map[string]string
	// Filter and Goodness are the backend's expressions; see package
	// scheduler/cel, whose DriverFilter and GoodnessWeigher judge by them.
	Filter, Goodness string
}

func (p *Pool) clone() Pool {
	c := *p
	c.Capabilities = maps.Clone(p.Capabilities)
	return c
}

func (p *Pool) check() error {
	bad := func(field string) error {
		return nephos.Errorf(nephos.ErrInvalid, "pool %.64q has an invalid %s", p.ID, field).WithField(field)
	}
	big := func(f float64) bool { return math.IsNaN(f) || f > maxAmount }
	switch {
	case p.ID == "" || len(p.ID) > maxName:
		return bad("id")
	case big(p.TotalGB):
		return bad("total_capacity_gb")
	case big(p.FreeGB):
		return bad("free_capacity_gb")
	case big(p.ProvisionedGB) || p.ProvisionedGB < 0:
		return bad("provisioned_capacity_gb")
	case p.ReservedPercentage < 0 || p.ReservedPercentage > 100:
		return bad("reserved_percentage")
	case p.MaxOverSubscription != 0 && !(p.MaxOverSubscription >= 1 && p.MaxOverSubscription <= 1e6):
		return bad("max_over_subscription_ratio")
	case p.Volumes < 0 || p.Volumes > 1<<30:
		return bad("total_volumes")
	case len(p.Capabilities) > maxAttributes:
		return bad("capabilities")
	case len(p.Filter) > maxExpression || len(p.Goodness) > maxExpression:
		return bad("filter_function")
	}
	return nil
}

// maxExpression bounds an expression, in bytes.
const maxExpression = 16 << 10

// Host writes the pool as what a [Snapshot] holds.
func (p Pool) Host() Host {
	h := Host{
		ID: p.ID, Zone: p.Zone, Up: p.Up, Enabled: p.Enabled, Pool: &p, NumInstances: p.Volumes,
		Attributes: p.Capabilities,
	}
	if p.TotalGB >= 1 {
		total := int64(math.Min(p.TotalGB, maxAmount))
		inv := Inventory{Total: total, Reserved: total * int64(min(max(p.ReservedPercentage, 0), 100)) / 100, Ratio: 1}
		used := p.TotalGB - p.FreeGB
		if p.Thin {
			inv.Ratio, used = p.ratio(), p.ProvisionedGB
		}
		h.Inventory = map[string]Inventory{DiskGB: inv}
		if used > 0 {
			h.Used = Resources{DiskGB: int64(math.Min(math.Ceil(used), maxAmount))}
		}
	}
	return h
}

func (p *Pool) ratio() float64 {
	if p.MaxOverSubscription == 0 {
		return DefaultOverSubscription
	}
	return p.MaxOverSubscription
}

// room says how many GiB more the pool gives to a thin or a thick volume, when
// earlier picks took some; +Inf if that is unknown. limit names what bounds it.
func (p *Pool) room(thin bool, taken float64) (gib float64, limit string) {
	if p.TotalGB < 0 || p.FreeGB < 0 {
		return math.Inf(1), ""
	}
	free := math.Floor(p.FreeGB - p.TotalGB*float64(p.ReservedPercentage)/100)
	if !thin {
		return math.Max(free-taken, 0), "free space"
	}
	room, limit := free*p.ratio()-taken, "free space"
	if promised := math.Floor(p.TotalGB*p.ratio() - p.ProvisionedGB - taken); promised < room {
		room, limit = promised, "room under max_over_subscription_ratio"
	}
	return math.Max(room, 0), limit
}

// thin says whether a volume of the request would be thin in this pool.
func (p *Pool) thin(req *Request) bool {
	kind := ""
	if req.Volume != nil {
		kind = req.Volume.Provisioning
	}
	return p.Thin && kind != "thick"
}

// VolumeRequest is a volume to be placed.
type VolumeRequest struct {
	// ID is the volume's. It takes part in settling ties.
	ID        string
	ProjectID string
	SizeGB    int64
	// Count is how many such volumes are placed in one decision; 0 means 1.
	Count int
	Zone  string
	// ExtraSpecs are the volume type's.
	ExtraSpecs map[string]string
	// Same and Different name pools, or hosts or backends of them, that the
	// volume must or must not be in (the hints same_host and different_host).
	Same, Different []string
	// Ignore names pools that were tried.
	Ignore []string
	// Hints are the scheduler hints, for JSON queries and filters of others.
	Hints map[string][]string
}

// VolumeSpec is what a request that is for a volume says of it.
type VolumeSpec struct {
	SizeGB          int64
	Provisioning    string // "thin", "thick" or empty
	Zones           []string
	Same, Different []string
}

// request writes the volume's request as one for the pipeline.
func (r VolumeRequest) request() (Request, error) {
	bad := func(field, why string) (Request, error) {
		return Request{}, nephos.Errorf(nephos.ErrInvalid, "placing volume %.64q: %s %s", r.ID, field, why).WithField(field)
	}
	if r.SizeGB < 0 || r.SizeGB > maxAmount {
		return bad("size", "is out of bounds")
	}
	v := &VolumeSpec{SizeGB: r.SizeGB, Same: r.Same, Different: r.Different}
	switch kind := strings.ToLower(r.ExtraSpecs["provisioning:type"]); kind {
	case "", "thin", "thick":
		v.Provisioning = kind
	default:
		return bad("provisioning:type", "is neither thin nor thick")
	}
	for z := range strings.SplitSeq(r.ExtraSpecs["RESKEY:availability_zones"], ",") {
		if z = strings.TrimSpace(z); z != "" {
			v.Zones = append(v.Zones, z)
		}
	}
	return Request{
		ID: r.ID, ProjectID: r.ProjectID, Count: r.Count, Zone: r.Zone, ExtraSpecs: r.ExtraSpecs, Hints: r.Hints,
		IgnoreHosts: r.Ignore, Volume: v,
	}, nil
}

// NoValidPool is what Cinder tells when no pool can take a volume.
const NoValidPool = "No valid backend was found. No weighed backends available."

// DefaultPoolFilters returns the filters for pools of storage, as in Cinder:
// zone, capacity and capabilities, and those for the hints.
func DefaultPoolFilters() []Filter {
	return []Filter{PoolZoneFilter{}, CapacityFilter{}, CapabilitiesFilter{}, PoolAffinityFilter{}}
}

// DefaultPoolWeighers returns the weighers for pools of storage: most room
// first, as in Cinder.
func DefaultPoolWeighers() []WeigherConfig {
	return []WeigherConfig{{Weigher: CapacityWeigher{}, Multiplier: 1}}
}

// NewPools returns a scheduler for pools of storage. Nil filters and weighers
// mean [DefaultPoolFilters] and [DefaultPoolWeighers].
func NewPools(c Config) (*Scheduler, error) {
	if c.Filters == nil {
		c.Filters = DefaultPoolFilters()
	}
	if c.Weighers == nil {
		c.Weighers = DefaultPoolWeighers()
	}
	return New(c)
}

// SelectPool decides which of the pools takes the request's volumes; the choices'
// Host.ID is the pool's ID. The scheduler is one of [NewPools]. Nothing is
// claimed: whoever acts on it writes the volume's row in the transaction in
// which ProvisionedGB was counted, or takes the next alternate.
//
// It fails with a [nephos.Error] of kind nephos.ErrNoCapacity, whose message is
// [NoValidPool] and the summary, if no pool will do; the Decision then still
// carries the explanation. It fails with nephos.ErrInvalid if the request or a
// pool is out of bounds.
func (s *Scheduler) SelectPool(pools []Pool, req VolumeRequest, o Options) (Decision, error) {
	r, err := req.request()
	if err != nil {
		return Decision{}, err
	}
	snap := NewSnapshot(SnapshotConfig{})
	for i := range pools {
		if err := pools[i].check(); err != nil {
			return Decision{}, err
		}
		if err := snap.Put(pools[i].Host()); err != nil {
			return Decision{}, err
		}
	}
	return s.Select(snap, r, o)
}

// names says whether a word names the pool: all of host@backend#pool, or only
// host@backend, or host.
func (p *Pool) named(word string) bool {
	backend, _, _ := strings.Cut(p.ID, "#")
	host, _, _ := strings.Cut(backend, "@")
	return slices.Contains([]string{p.ID, backend, host}, word)
}
