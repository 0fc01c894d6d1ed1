package volume

import (
	"context"
	"fmt"
	"slices"
)

// The names of the optional interfaces, as [Abilitier] lists them and
// [Pool.Can] asks for them.
const (
	AbilitySnapshotter = "Snapshotter"
	AbilityCloner      = "Cloner"
	AbilityImageWriter = "ImageWriter"
	AbilityImageReader = "ImageReader"
	AbilityExtender    = "Extender"
	AbilityReverter    = "Reverter"
)

// AbilitiesOf tells what the driver offers: the optional interfaces that it
// implements, narrowed by its [Abilitier] if it is one. Names that this version
// does not know are left out. The result is sorted.
func AbilitiesOf(ctx context.Context, d Driver) ([]string, error) {
	var names []string
	add := func(name string, ok bool) {
		if ok {
			names = append(names, name)
		}
	}
	_, ok := d.(Snapshotter)
	add(AbilitySnapshotter, ok)
	_, ok = d.(Cloner)
	add(AbilityCloner, ok)
	_, ok = d.(ImageWriter)
	add(AbilityImageWriter, ok)
	_, ok = d.(ImageReader)
	add(AbilityImageReader, ok)
	_, ok = d.(Extender)
	add(AbilityExtender, ok)
	_, ok = d.(Reverter)
	add(AbilityReverter, ok)
	if a, ok := d.(Abilitier); ok {
		offered, err := a.Abilities(ctx)
		if err != nil {
			return nil, fmt.Errorf("asking the volume driver for its abilities: %w", err)
		}
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(offered, n) })
	}
	slices.Sort(names)
	return names, nil
}
