package scheduler

import (
	"strings"

	"github.com/nephos-cloud/nephos"
)

// The presets of [Preset].
const (
	PresetFilter       = "filter"         // filters and weighers as Nova has them
	PresetRandom       = "random"         // any host that is up and has room, by the seed
	PresetRandomInZone = "random-in-zone" // the same, in the zone asked for
	PresetLeastLoaded  = "least-loaded"   // the host with the fewest VCPUs in use
	PresetPack         = "pack"           // as filter, fullest hosts first
	PresetSpread       = "spread"         // as filter, emptiest hosts first: by the part that is free
	PresetCaching      = "caching"        // as filter; decide through a [Cache]
)

// Presets returns the names that [Preset] knows.
func Presets() []string {
	return []string{PresetFilter, PresetRandom, PresetRandomInZone, PresetLeastLoaded, PresetPack, PresetSpread, PresetCaching}
}

// Preset returns the configuration of a well-known way to schedule. It fails
// with nephos.ErrInvalid if there is none of that name.
func Preset(name string) (Config, error) {
	none := []WeigherConfig{}
	switch name {
	case PresetFilter, PresetCaching:
		return Config{}, nil
	case PresetRandom:
		return Config{Filters: []Filter{}, Weighers: none}, nil
	case PresetRandomInZone:
		return Config{Filters: []Filter{AvailabilityZoneFilter{}}, Weighers: none}, nil
	case PresetLeastLoaded:
		return Config{Filters: []Filter{AvailabilityZoneFilter{}}, Weighers: []WeigherConfig{{Weigher: LoadWeigher{}, Multiplier: 1}}}, nil
	case PresetPack:
		w := DefaultWeighers()
		for i := range w {
			switch w[i].Weigher.(type) {
			case RAMWeigher, CPUWeigher, DiskWeigher:
				w[i].Multiplier = -1
			}
		}
		return Config{Weighers: w}, nil
	case PresetSpread:
		w := []WeigherConfig{{Weigher: BalanceWeigher{}, Multiplier: 1, AggregateKey: "balance_weight_multiplier"}}
		for _, c := range DefaultWeighers() {
			switch c.Weigher.(type) {
			case RAMWeigher, CPUWeigher, DiskWeigher:
			default:
				w = append(w, c)
			}
		}
		return Config{Weighers: w}, nil
	}
	return Config{}, nephos.Errorf(nephos.ErrInvalid, "there is no preset %.64q: use one of %s", name, strings.Join(Presets(), ", ")).WithField("preset")
}

// LoadWeigher prefers hosts with fewer VCPUs in use, whatever their size: the
// simple scheduler of early days.
type LoadWeigher struct{}

// Name implements [Weigher].
func (LoadWeigher) Name() string { return "LoadWeigher" }

// Weigh implements [Weigher].
func (LoadWeigher) Weigh(_ *Request, h HostView) float64 { return -float64(h.Used(VCPU)) }

// BalanceWeigher prefers hosts of which the greater part is free, by the class
// that is scarcest there, of those that the request wants.
type BalanceWeigher struct{}

// Name implements [Weigher].
func (BalanceWeigher) Name() string { return "BalanceWeigher" }

// Weigh implements [Weigher]; 1 is empty, 0 is full.
func (BalanceWeigher) Weigh(req *Request, h HostView) float64 {
	free := 1.0
	for class, n := range req.Resources {
		if c := h.Capacity(class); n > 0 && c > 0 {
			free = min(free, float64(h.Free(class))/float64(c))
		}
	}
	return max(free, 0)
}

// Bounds implements [Bounded].
func (BalanceWeigher) Bounds() (lo, hi float64) { return 0, 1 }
