package driver

import (
	"context"
	"fmt"
	"slices"
)

// AbilitiesOf tells what a driver of a kind offers beyond its required interface:
// those of the kind's abilities, by their names, that its methods have. A driver
// that has a method Abilities, as each kind's Abilitier describes it, narrows them
// by its word. Names that offers does not have are left out. The result is sorted.
func AbilitiesOf[D any](ctx context.Context, kind string, d D, offers map[string]func(D) bool) ([]string, error) {
	var names []string
	for name, offered := range offers {
		if offered(d) {
			names = append(names, name)
		}
	}
	if a, ok := any(d).(interface {
		Abilities(ctx context.Context) ([]string, error)
	}); ok {
		said, err := a.Abilities(ctx)
		if err != nil {
			return nil, fmt.Errorf("asking the %s driver for its abilities: %w", kind, err)
		}
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(said, n) })
	}
	slices.Sort(names)
	return names, nil
}
