//go:build libvirt

package libvirt

import (
	"context"
	"fmt"
	"slices"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

var (
	_ hypervisor.Driver         = (*Driver)(nil)
	_ hypervisor.Abilitier      = (*Driver)(nil)
	_ hypervisor.HotPlugger     = (*Driver)(nil)
	_ hypervisor.Rebooter       = (*Driver)(nil)
	_ hypervisor.Pauser         = (*Driver)(nil)
	_ hypervisor.Suspender      = (*Driver)(nil)
	_ hypervisor.Snapshotter    = (*Driver)(nil)
	_ hypervisor.ConsoleLogger  = (*Driver)(nil)
	_ hypervisor.Consoler       = (*Driver)(nil)
	_ hypervisor.Eventer        = (*Driver)(nil)
	_ hypervisor.Diagnoser      = (*Driver)(nil)
	_ hypervisor.Statistician   = (*Driver)(nil)
	_ hypervisor.DiskResizer    = (*Driver)(nil)
	_ hypervisor.DiskThrottler  = (*Driver)(nil)
	_ hypervisor.DiskDecrypter  = (*Driver)(nil)
	_ hypervisor.DiskExporter   = (*Driver)(nil)
	_ hypervisor.DiskImporter   = (*Driver)(nil)
	_ hypervisor.Rescuer        = (*Driver)(nil)
	_ hypervisor.PasswordSetter = (*Driver)(nil)
	_ hypervisor.LiveMigrator   = (*Driver)(nil)
	_ hypervisor.Placer         = (*Driver)(nil)
	_ hypervisor.DevicePasser   = (*Driver)(nil)
)

// offered are the abilities that each of libvirt's drivers has the calls for.
var offered = map[string][]string{
	"QEMU": {
		hypervisor.CanHotPlug, hypervisor.CanReboot, hypervisor.CanPause, hypervisor.CanSuspend, hypervisor.CanSnapshot,
		hypervisor.CanConsoleLog, hypervisor.CanConsole, hypervisor.CanEvents, hypervisor.CanDiagnose, hypervisor.CanStatistics,
		hypervisor.CanResizeDisk, hypervisor.CanThrottleDisk, hypervisor.CanDecryptDisk, hypervisor.CanExportDisk,
		hypervisor.CanImportDisk, hypervisor.CanRescue, hypervisor.CanSetPassword, hypervisor.CanLiveMigrate,
		hypervisor.CanPlace, hypervisor.CanPassDevices,
	},
	"TEST": {
		hypervisor.CanReboot, hypervisor.CanPause, hypervisor.CanSuspend, hypervisor.CanEvents, hypervisor.CanDiagnose,
		hypervisor.CanExportDisk, hypervisor.CanImportDisk, hypervisor.CanRescue, hypervisor.CanStatistics, hypervisor.CanPlace,
	},
	"LXC": {
		hypervisor.CanReboot, hypervisor.CanPause, hypervisor.CanConsole, hypervisor.CanEvents, hypervisor.CanDiagnose,
		hypervisor.CanStatistics,
	},
	"Xen": {
		hypervisor.CanReboot, hypervisor.CanPause, hypervisor.CanSuspend, hypervisor.CanConsole, hypervisor.CanEvents,
		hypervisor.CanDiagnose, hypervisor.CanStatistics,
	},
}

// Abilities implements hypervisor.Abilitier: what libvirt's driver behind the
// connection can do.
func (d *Driver) Abilities(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list abilities: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	has, ok := offered[d.platform.Driver]
	if !ok { // one that we do not know: what all have
		has = []string{hypervisor.CanEvents}
	}
	return has, nil
}

// can says whether Abilities has one.
func (d *Driver) can(ability string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(offered[d.platform.Driver], ability)
}
