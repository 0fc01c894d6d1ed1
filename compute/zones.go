package compute

import (
	"context"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos/scheduler"
)

// Zone is an availability zone: the hosts that aggregates, or their agents, put
// there. What else the service is made of is in the zone [InternalZone].
type Zone struct {
	Name      string
	Available bool // some host of it takes servers
	// Services are those that operators have not disabled.
	Services []ServiceRecord
}

// InternalZone is where services are that run no servers.
const InternalZone = "internal"

// Zones is what the Compute API's availability zones need.
type Zones interface {
	// ListZones returns the available zones and then the others, by name.
	// Services, and the zone of those that run no servers, are left out unless
	// detailed, which is for operators.
	ListZones(ctx context.Context, detailed bool) ([]Zone, error)
}

var _ Zones = (*Service)(nil)

// ListZones implements [Zones].
func (s *Service) ListZones(ctx context.Context, detailed bool) ([]Zone, error) {
	verb := "list"
	if detailed {
		verb = "detail"
	}
	if err := s.cfg.Policy.Enforce(ctx, zoneRule(verb), nil); err != nil {
		return nil, err
	}
	var more []ServiceRecord
	if detailed {
		more = s.ownRecords()
	}
	zones, err := s.zones(ctx, more...)
	if !detailed {
		for i := range zones {
			zones[i].Services = nil
		}
	}
	return zones, err
}

// zones returns the zones of all hosts, and of further services.
func (s *Service) zones(ctx context.Context, more ...ServiceRecord) ([]Zone, error) {
	_, services, err := s.hostServices(ctx)
	if err != nil {
		return nil, err
	}
	by := map[string]*Zone{}
	for _, r := range append(services, more...) {
		z := by[r.Zone]
		if z == nil {
			z = &Zone{Name: r.Zone}
			by[r.Zone] = z
		}
		if !r.Disabled {
			z.Available = true
			z.Services = append(z.Services, r)
		}
	}
	out := make([]Zone, 0, len(by))
	for _, z := range by {
		out = append(out, *z)
	}
	slices.SortFunc(out, func(a, b Zone) int {
		if a.Available != b.Available {
			if a.Available {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out, nil
}

// zoneOf is the zone of a host: its aggregates' before its agent's before the
// default.
func (s *Service) zoneOf(h Host, aggregates []scheduler.Aggregate) string {
	for _, a := range aggregates {
		if z := a.Metadata[zoneKey]; z != "" {
			return z
		}
	}
	if h.Zone != "" {
		return h.Zone
	}
	return s.cfg.Zone
}

// zoneExists reports whether a host is in the availability zone.
func (s *Service) zoneExists(ctx context.Context, zone string) (bool, error) {
	zones, err := s.zones(ctx)
	return slices.ContainsFunc(zones, func(z Zone) bool { return z.Name == zone && z.Available }), err
}
