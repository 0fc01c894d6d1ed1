package hypervisor

import (
	"context"

	"github.com/nephos-cloud/nephos/driver"
)

// Names of the optional abilities, as [Node.Can], [Node.Abilities] and
// [Abilitier] use them: those of the interfaces.
const (
	CanHotPlug      = "HotPlugger"
	CanReboot       = "Rebooter"
	CanPause        = "Pauser"
	CanSuspend      = "Suspender"
	CanSnapshot     = "Snapshotter"
	CanConsoleLog   = "ConsoleLogger"
	CanConsole      = "Consoler"
	CanEvents       = "Eventer"
	CanDiagnose     = "Diagnoser"
	CanResizeDisk   = "DiskResizer"
	CanThrottleDisk = "DiskThrottler"
	CanDecryptDisk  = "DiskDecrypter"
	CanExportDisk   = "DiskExporter"
	CanImportDisk   = "DiskImporter"
	CanRescue       = "Rescuer"
	CanStatistics   = "Statistician"
	CanSetPassword  = "PasswordSetter"
	CanLiveMigrate  = "LiveMigrator"
	CanCacheImages  = "ImageCacher"
	CanPlace        = "Placer"
	CanPassDevices  = "DevicePasser"
)

// offers tells of each ability whether a driver's methods have it.
var offers = map[string]func(Driver) bool{
	CanHotPlug:      is[HotPlugger],
	CanReboot:       is[Rebooter],
	CanPause:        is[Pauser],
	CanSuspend:      is[Suspender],
	CanSnapshot:     is[Snapshotter],
	CanConsoleLog:   is[ConsoleLogger],
	CanConsole:      is[Consoler],
	CanEvents:       is[Eventer],
	CanDiagnose:     is[Diagnoser],
	CanResizeDisk:   is[DiskResizer],
	CanThrottleDisk: is[DiskThrottler],
	CanDecryptDisk:  is[DiskDecrypter],
	CanExportDisk:   is[DiskExporter],
	CanImportDisk:   is[DiskImporter],
	CanRescue:       is[Rescuer],
	CanStatistics:   is[Statistician],
	CanSetPassword:  is[PasswordSetter],
	CanLiveMigrate:  is[LiveMigrator],
	CanCacheImages:  is[ImageCacher],
	CanPlace:        is[Placer],
	CanPassDevices:  is[DevicePasser],
}

func is[T any](d Driver) bool {
	_, ok := d.(T)
	return ok
}

// AbilitiesOf returns the names of the abilities that a driver offers, sorted:
// the optional interfaces it implements, narrowed by [Abilitier] if it is one.
// Names that this version does not know are left out.
func AbilitiesOf(ctx context.Context, d Driver) ([]string, error) {
	return driver.AbilitiesOf(ctx, "hypervisor", d, offers)
}
