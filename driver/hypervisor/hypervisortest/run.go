package hypervisortest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Run tests a driver in subtests of t. It opens it for each and closes it at
// the end; opening it again must find what the one before left.
func Run(t *testing.T, open func(t drivertest.T) hypervisor.Driver, o Options) {
	drivertest.Run(t, Tests(open, o))
}

// Tests are what [Run] runs, for those who run them outside of go test.
func Tests(open func(t drivertest.T) hypervisor.Driver, o Options) []drivertest.Test {
	if o.Guests == 0 {
		o.Guests = 8
	}
	if o.Wait == 0 {
		o.Wait = 2 * time.Minute
	}
	if o.Grace == 0 {
		o.Grace = time.Minute
	}
	var tests []drivertest.Test
	run := func(name, ability string, f func(*suite)) {
		tests = append(tests, drivertest.Test{Name: name, Run: func(t drivertest.T) {
			s := &suite{t: t, o: o, open: open, d: open(t)}
			t.Cleanup(func() { require.NoError(t, s.d.Close()) })
			var err error
			s.has, err = hypervisor.AbilitiesOf(s.ctx(), s.d)
			require.NoError(t, err)
			if ability != "" && !s.can(ability) {
				t.Skipf("the driver is no %s", ability)
			}
			f(s)
		}})
	}
	run("Info", "", (*suite).testInfo)
	run("Abilities", "", (*suite).testAbilities)
	run("Lifecycle", "", (*suite).testLifecycle)
	run("Idempotence", "", (*suite).testIdempotence)
	run("Labels", "", (*suite).testLabels)
	run("Errors", "", (*suite).testErrors)
	run("Identifiers", "", (*suite).testIdentifiers)
	run("Cancellation", "", (*suite).testCancellation)
	run("Concurrency", "", (*suite).testConcurrency)
	run("SameGuestConcurrency", "", (*suite).testSameGuest)
	run("EnsureStopped", "", (*suite).testEnsureStopped)
	run("EnsureRunning", "", (*suite).testEnsureRunning)
	run("Grace", "", (*suite).testGrace)
	run("Reopen", "", (*suite).testReopen)
	run("HotPlug", hypervisor.CanHotPlug, (*suite).testHotPlug)
	run("Reboot", hypervisor.CanReboot, (*suite).testReboot)
	run("Pause", hypervisor.CanPause, (*suite).testPause)
	run("Suspend", hypervisor.CanSuspend, (*suite).testSuspend)
	run("Snapshot", hypervisor.CanSnapshot, (*suite).testSnapshot)
	run("ConsoleLog", hypervisor.CanConsoleLog, (*suite).testConsoleLog)
	run("Console", hypervisor.CanConsole, (*suite).testConsole)
	run("Events", hypervisor.CanEvents, (*suite).testEvents)
	run("GuestEvents", hypervisor.CanEvents, (*suite).testGuestEvents)
	run("Diagnostics", hypervisor.CanDiagnose, (*suite).testDiagnostics)
	run("ResizeDisk", hypervisor.CanResizeDisk, (*suite).testResizeDisk)
	run("ThrottleDisk", hypervisor.CanThrottleDisk, (*suite).testThrottleDisk)
	run("DecryptDisk", hypervisor.CanDecryptDisk, (*suite).testDecryptDisk)
	run("ExportDisk", hypervisor.CanExportDisk, (*suite).testExportDisk)
	run("ImportDisk", hypervisor.CanImportDisk, (*suite).testImportDisk)
	run("Rescue", hypervisor.CanRescue, (*suite).testRescue)
	run("Statistics", hypervisor.CanStatistics, (*suite).testStatistics)
	run("SetPassword", hypervisor.CanSetPassword, (*suite).testSetPassword)
	run("ImageCache", hypervisor.CanCacheImages, (*suite).testImages)
	run("LiveMigrate", hypervisor.CanLiveMigrate, (*suite).testLiveMigrate)
	run("Placement", hypervisor.CanPlace, (*suite).testPlacement)
	run("Topology", "", (*suite).testTopology)
	run("Devices", hypervisor.CanPassDevices, (*suite).testDevices)
	run("AbortMigration", hypervisor.CanLiveMigrate, (*suite).testAbortMigration)
	return tests
}
