package trace

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// Spec says what cloud and workload to make up.
type Spec struct {
	// Hosts is how many hosts there are, 1 to 1,000,000, in Zones zones (0: 3).
	Hosts, Zones int
	// Servers is how many come, over Hours hours (0: 24). About half of them go
	// again before the end.
	Servers int
	Hours   float64
	// Seed decides all that is random: the same Spec is the same trace.
	Seed uint64
}

// kind is a kind of host.
type kind struct {
	share            int // of 100 hosts
	vcpus, memory    int64
	disk             int64
	traits           []string
	reservedMemoryMB int64
}

func kinds() []kind {
	return []kind{
		{70, 64, 262_144, 4_000, []string{"HW_CPU_X86_AVX", "HW_CPU_X86_AVX2"}, 4096},
		{20, 128, 1_048_576, 8_000, []string{"HW_CPU_X86_AVX", "HW_CPU_X86_AVX2", "HW_CPU_X86_AVX512F"}, 8192},
		{10, 32, 131_072, 20_000, []string{"HW_CPU_X86_AVX", "STORAGE_DISK_SSD"}, 4096},
	}
}

// size is a flavor; the shares are like those that public clouds publish: most
// servers are small.
type size struct {
	name                string
	share               int
	vcpus, memory, disk int64
}

func sizes() []size {
	return []size{
		{"small", 45, 1, 2048, 10},
		{"medium", 27, 2, 8192, 40},
		{"large", 16, 4, 16_384, 80},
		{"memory", 6, 4, 65_536, 80},
		{"compute", 4, 16, 16_384, 80},
		{"giant", 2, 32, 131_072, 400},
	}
}

// Host returns the i-th host that Generate makes.
func (s Spec) Host(i int) scheduler.Host {
	k := kinds()[0]
	at := i * 37 % 100 // spread the kinds evenly
	for _, one := range kinds() {
		if k = one; at < one.share {
			break
		}
		at -= one.share
	}
	return scheduler.Host{
		ID: fmt.Sprintf("host-%06d", i), Up: true, Enabled: true, Zone: fmt.Sprintf("az%d", 1+i%max(s.Zones, 1)),
		Inventory: map[string]scheduler.Inventory{
			scheduler.VCPU:     {Total: k.vcpus, MaxUnit: k.vcpus, Ratio: 4},
			scheduler.MemoryMB: {Total: k.memory, Reserved: k.reservedMemoryMB, MaxUnit: k.memory, Ratio: 1},
			scheduler.DiskGB:   {Total: k.disk, MaxUnit: k.disk, Ratio: 1},
		},
		Traits: k.traits, Attributes: map[string]string{"hypervisor_type": "QEMU"},
		Supported: []scheduler.Guest{{Arch: "x86_64", HVType: "kvm", VMMode: "hvm"}},
	}
}

// Generate makes up a cloud and a workload. It fails with nephos.ErrInvalid if
// the Spec is out of bounds.
func Generate(s Spec) (iter.Seq[Event], error) {
	if s.Zones == 0 {
		s.Zones = 3
	}
	if s.Hours == 0 {
		s.Hours = 24
	}
	switch {
	case s.Hosts < 1 || s.Hosts > 1_000_000:
		return nil, nephos.Errorf(nephos.ErrInvalid, "making up a cloud: %d hosts is not between 1 and 1,000,000", s.Hosts).WithField("hosts")
	case s.Servers < 0 || s.Servers > 10_000_000:
		return nil, nephos.Errorf(nephos.ErrInvalid, "making up a cloud: %d servers is not between 0 and 10,000,000", s.Servers).WithField("servers")
	case s.Zones < 1 || s.Zones > s.Hosts && s.Hosts >= 3:
		return nil, nephos.Errorf(nephos.ErrInvalid, "making up a cloud: %d zones for %d hosts", s.Zones, s.Hosts).WithField("zones")
	case !(s.Hours > 0 && s.Hours <= 1e6):
		return nil, nephos.Errorf(nephos.ErrInvalid, "making up a cloud: %g hours is not above 0", s.Hours).WithField("hours")
	}
	return func(yield func(Event) bool) {
		for i := range s.Hosts {
			h := s.Host(i)
			if !yield(Event{Host: &h}) {
				return
			}
		}
		for _, e := range s.servers() {
			if !yield(e) {
				return
			}
		}
	}, nil
}

func (s Spec) servers() []Event {
	r := rand.New(rand.NewPCG(s.Seed, 0x6c6162))
	end := s.Hours * 3600
	events := make([]Event, 0, s.Servers*3/2)
	for i := range s.Servers {
		n := r.IntN(100)
		var f size
		for _, f = range sizes() {
			if n -= f.share; n < 0 {
				break
			}
		}
		req := scheduler.Request{
			ID: fmt.Sprintf("server-%06d", i), ProjectID: fmt.Sprintf("project-%02d", r.IntN(20)), FlavorName: f.name,
			Resources: scheduler.Resources{scheduler.VCPU: f.vcpus, scheduler.MemoryMB: f.memory, scheduler.DiskGB: f.disk},
		}
		if r.IntN(4) == 0 {
			req.Zone = fmt.Sprintf("az%d", 1+r.IntN(s.Zones))
		}
		switch r.IntN(20) {
		case 0:
			req.ExtraSpecs = map[string]string{"trait:HW_CPU_X86_AVX512F": "required"}
		case 1:
			req.Group = &scheduler.Group{ID: fmt.Sprintf("group-%03d", r.IntN(1+s.Servers/40)), Policy: scheduler.AntiAffinity}
		case 2:
			req.Group = &scheduler.Group{ID: fmt.Sprintf("soft-%03d", r.IntN(1+s.Servers/40)), Policy: scheduler.SoftAffinity}
		}
		at := round(end * r.Float64())
		events = append(events, Event{At: at, Boot: &req})
		// Most that go at all go soon: lifetimes over many orders of magnitude.
		if gone := round(at + 60*math.Exp(r.Float64()*math.Log(end/30))); gone < end && r.IntN(5) < 3 {
			events = append(events, Event{At: gone, Delete: req.ID})
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return events
}

func round(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }
