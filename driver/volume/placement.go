package volume

import (
	"cmp"
	"fmt"
	"math"

	"github.com/nephos-cloud/nephos"
)

// MaxExpression bounds an expression of a [Placement], in bytes.
const MaxExpression = 16 << 10

// Validate returns an error that wraps ErrInvalid and names the field when the
// placement cannot be heeded. It does not read the expressions.
func (p Placement) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), nephos.ErrInvalid)
	}
	switch {
	case len(p.Filter) > MaxExpression:
		return bad("filter_function has %d bytes, want at most %d", len(p.Filter), MaxExpression)
	case len(p.Goodness) > MaxExpression:
		return bad("goodness_function has %d bytes, want at most %d", len(p.Goodness), MaxExpression)
	case p.ReservedPercentage < 0 || p.ReservedPercentage > 100:
		return bad("reserved_percentage is %d, want 0 to 100", p.ReservedPercentage)
	case p.MaxOverSubscription != 0 && !(p.MaxOverSubscription >= 1 && p.MaxOverSubscription <= 1e6):
		return bad("max_over_subscription_ratio is %v, want 1 to 1000000", p.MaxOverSubscription)
	}
	return nil
}

// over is the placement where what p says overrules the other.
func (p Placement) over(o Placement) Placement {
	return Placement{
		Filter: cmp.Or(p.Filter, o.Filter), Goodness: cmp.Or(p.Goodness, o.Goodness),
		ReservedPercentage:  cmp.Or(p.ReservedPercentage, o.ReservedPercentage),
		MaxOverSubscription: cmp.Or(p.MaxOverSubscription, o.MaxOverSubscription),
	}
}

// validate returns an error that wraps ErrInvalid when a driver tells of its
// pool what cannot be.
func (s Stats) validate() error {
	for name, f := range map[string]float64{"total": s.TotalGiB, "free": s.FreeGiB, "allocated": s.AllocatedGiB} {
		if math.IsNaN(f) || f > 1<<50 {
			return fmt.Errorf("the volume driver tells of %v GiB %s: %w", f, name, nephos.ErrInvalid)
		}
	}
	if err := s.Placement.Validate(); err != nil {
		return fmt.Errorf("the volume driver tells what cannot be: %w", err)
	}
	return nil
}
