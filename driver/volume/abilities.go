package volume

import (
	"context"

	"github.com/nephos-cloud/nephos/driver"
)

// The names of the optional interfaces, as [Abilitier] lists them and
// [Pool.Can] asks for them.
const (
	AbilitySnapshotter   = "Snapshotter"
	AbilityCloner        = "Cloner"
	AbilityImageWriter   = "ImageWriter"
	AbilityImageReader   = "ImageReader"
	AbilityExtender      = "Extender"
	AbilityReverter      = "Reverter"
	AbilityRetyper       = "Retyper"
	AbilityMigrator      = "Migrator"
	AbilityGrouper       = "Grouper"
	AbilityAdopter       = "Adopter"
	AbilityMultiAttacher = "MultiAttacher"
	AbilityLimiter       = "Limiter"
	AbilityEncrypter     = "Encrypter"
	AbilityImageCloner   = "ImageCloner"
	AbilityDiffExporter  = "DiffExporter"
	AbilityDiffImporter  = "DiffImporter"
	AbilityAttacher      = "Attacher"
)

// offers tells of each ability whether a driver's methods have it.
var offers = map[string]func(Driver) bool{
	AbilitySnapshotter:   is[Snapshotter],
	AbilityCloner:        is[Cloner],
	AbilityImageWriter:   is[ImageWriter],
	AbilityImageReader:   is[ImageReader],
	AbilityExtender:      is[Extender],
	AbilityReverter:      is[Reverter],
	AbilityRetyper:       is[Retyper],
	AbilityMigrator:      is[Migrator],
	AbilityGrouper:       is[Grouper],
	AbilityAdopter:       is[Adopter],
	AbilityMultiAttacher: func(d Driver) bool { m, ok := d.(MultiAttacher); return ok && m.MultiAttach() != 0 },
	AbilityLimiter:       is[Limiter],
	AbilityEncrypter:     is[Encrypter],
	AbilityImageCloner:   is[ImageCloner],
	AbilityDiffExporter:  is[DiffExporter],
	AbilityDiffImporter:  is[DiffImporter],
	AbilityAttacher:      is[Attacher],
}

func is[T any](d Driver) bool {
	_, ok := d.(T)
	return ok
}

// AbilitiesOf tells what the driver offers: the optional interfaces that it
// implements, narrowed by its [Abilitier] if it is one. Names that this version
// does not know are left out. The result is sorted.
func AbilitiesOf(ctx context.Context, d Driver) ([]string, error) {
	return driver.AbilitiesOf(ctx, "volume", d, offers)
}
