package hypervisortest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
)

type (
	host  = hypervisor.Host
	guest = hypervisor.Guest
	spec  = hypervisor.Spec
	drv   = hypervisor.Driver
)

// Each driver here breaks one promise, and the suite must notice.
func TestBrokenPromisesAreNoticed(t *testing.T) {
	type row struct {
		promise, test string
		broken        func(*fake.Driver) drv
	}
	seen := func(change func(*guest)) func(*fake.Driver) drv {
		return func(d *fake.Driver) drv { return tells{d, change} }
	}
	ensures := func(change func(old *spec, s *spec)) func(*fake.Driver) drv {
		return func(d *fake.Driver) drv { return makes{d, change} }
	}
	rows := []row{
		{"labels come back", "Labels", seen(func(g *guest) { g.Labels = nil })},
		{"odd labels come back", "Labels", seen(func(g *guest) { delete(g.Labels, "odd") })},
		{"the cloud's ID comes back", "Labels", seen(func(g *guest) { g.CloudID = "" })},
		{"the name comes back", "Labels", seen(func(g *guest) { g.Name = strings.ToUpper(g.Name) })},
		{"the revision comes back", "Labels", seen(func(g *guest) { g.Revision = 1 })},
		{"disks come back", "EnsureStopped", seen(func(g *guest) { g.Disks = g.Disks[:1] })},
		{"cards come back", "EnsureStopped", seen(func(g *guest) { g.NICs = nil })},
		{"a stopped guest has not started", "Lifecycle", seen(func(g *guest) { g.Started = time.Now() })},
		{"a running guest has started", "Lifecycle", seen(func(g *guest) { g.Started = time.Time{} })},
		{"labels change", "Labels", ensures(func(old, s *spec) { s.Labels = old.Labels })},
		{"the revision changes", "Labels", ensures(func(old, s *spec) { s.Revision = old.Revision })},
		{"disks are added", "EnsureStopped", ensures(func(old, s *spec) { s.Disks = old.Disks })},
		{"disks are plugged", "HotPlug", ensures(func(old, s *spec) { s.Disks = old.Disks })},
		{"cards are plugged", "HotPlug", ensures(func(old, s *spec) { s.NICs = old.NICs })},
		{"disks are removed", "EnsureStopped", ensures(func(old, s *spec) {
			if len(old.Disks) > len(s.Disks) {
				s.Disks = old.Disks
			}
		})},
		{"cards are removed", "EnsureStopped", ensures(func(old, s *spec) {
			if len(old.NICs) > len(s.NICs) {
				s.NICs = old.NICs
			}
		})},
		{"disks are unplugged", "HotPlug", ensures(func(old, s *spec) {
			if len(old.Disks) > len(s.Disks) {
				s.Disks = old.Disks
			}
		})},
		{"processors wait for the next start", "EnsureRunning", func(d *fake.Driver) drv { return ensureRestarts{d} }},
		{"memory may change on a running guest", "EnsureRunning", func(d *fake.Driver) drv { return ensureStoppedOnly{d} }},
		{"what cannot be plugged is ErrUnsupported", "EnsureRunning", func(d *fake.Driver) drv { return plugsNothing{d} }},
		{"power is cut after the grace", "Grace", func(d *fake.Driver) drv { return asksOnly{d} }},
		{"Ensure starts nothing", "Lifecycle", func(d *fake.Driver) drv { return ensureStarts{d} }},
		{"Ensure stops nothing", "Idempotence", func(d *fake.Driver) drv { return ensureStops{d} }},
		{"Ensure restarts nothing", "Idempotence", func(d *fake.Driver) drv { return ensureRestarts{d} }},
		{"nothing is left of a refused spec", "Errors", func(d *fake.Driver) drv { return ensureKeeps{d} }},
		{"specs are checked", "Errors", func(d *fake.Driver) drv { return ensureAll{d} }},
		{"Start leaves what runs", "Idempotence", func(d *fake.Driver) drv { return startRestarts{d} }},
		{"Start resumes what is paused", "Pause", func(d *fake.Driver) drv { return startOnlyStopped{d} }},
		{"ErrNotFound: Start", "Errors", func(d *fake.Driver) drv { return startsAll{d} }},
		{"ErrNotFound: Stop", "Errors", func(d *fake.Driver) drv { return stopsAll{d} }},
		{"ErrNotFound: Get", "Errors", func(d *fake.Driver) drv { return imagines{d} }},
		{"Stop again is success", "Idempotence", func(d *fake.Driver) drv { return stopsOnce{d} }},
		{"Stop returns once the guest is off", "Lifecycle", func(d *fake.Driver) drv { return stopsLater{d} }},
		{"unknown IDs are destroyed", "Idempotence", func(d *fake.Driver) drv { return strictDestroy{d} }},
		{"a running guest can be destroyed", "Lifecycle", func(d *fake.Driver) drv { return destroysStopped{d} }},
		{"Destroy destroys", "Lifecycle", func(d *fake.Driver) drv { return destroysNothing{d} }},
		{"List tells of all", "Reopen", func(d *fake.Driver) drv { return listsRunning{d} }},
		{"List tells each once", "Lifecycle", func(d *fake.Driver) drv { return listsTwice{d} }},
		{"List and Get agree", "Labels", func(d *fake.Driver) drv { return listsShort{d} }},
		{"Info counts", "Info", func(d *fake.Driver) drv { return fixedInfo{d} }},
		{"a host can be so", "Info", func(d *fake.Driver) drv { return oddHost{d} }},
		{"guests run on without their driver", "Reopen", func(d *fake.Driver) drv { return closeStops{d} }},
		{"paused guests stay paused", "Reopen", func(d *fake.Driver) drv { return closeUnpauses{d} }},
		{"guests are found again", "Reopen", func(d *fake.Driver) drv { return &forgets{Driver: d} }},
		{"labels stay after the driver", "Labels", func(d *fake.Driver) drv { return &forgetsLabels{Driver: d} }},
		{"plugged disks stay after the driver", "HotPlug", func(d *fake.Driver) drv { return &forgetsDisks{Driver: d} }},
		{"arguments are copied", "Labels", func(d *fake.Driver) drv { return &sharesLabels{Driver: d} }},
		{"results are the caller's", "Labels", func(d *fake.Driver) drv { return &sharesGuests{Driver: d} }},
		{"calls with different IDs run at once", "Concurrency", func(d *fake.Driver) drv { return &oneAtATime{Driver: d} }},
		{"errors name the guest", "Errors", func(d *fake.Driver) drv { return tersely{d} }},
		{"a soft reboot needs a running guest", "Reboot", func(d *fake.Driver) drv { return rebootsHard{d} }},
		{"a hard reboot powers on", "Reboot", func(d *fake.Driver) drv { return rebootsRunning{d} }},
		{"ErrNotFound: Reboot", "Reboot", func(d *fake.Driver) drv { return rebootsAll{d} }},
		{"Pause pauses", "Pause", func(d *fake.Driver) drv { return pausesNothing{d} }},
		{"Pause again is success", "Pause", func(d *fake.Driver) drv { return pausesOnce{d} }},
		{"a stopped guest is not paused", "Pause", func(d *fake.Driver) drv { return pausesAll{d} }},
		{"a suspended guest is stopped", "Suspend", func(d *fake.Driver) drv { return suspendPauses{d} }},
		{"a suspended guest stays so", "Suspend", func(d *fake.Driver) drv { return &forgetsSuspended{Driver: d} }},
		{"a snapshot that fails leaves no copy", "Snapshot", func(d *fake.Driver) drv { return halfSnapshots{d} }},
		{"a snapshot is qcow2", "Snapshot", func(d *fake.Driver) drv { return rawSnapshots{d} }},
		{"a snapshot replaces", "Snapshot", func(d *fake.Driver) drv { return snapshotsOnce{d} }},
		{"a snapshot leaves the guest running", "Snapshot", func(d *fake.Driver) drv { return snapshotStops{d} }},
		{"ErrNotFound: Snapshot", "Snapshot", func(d *fake.Driver) drv { return snapshotsRoot{d} }},
		{"the console's log is bounded", "ConsoleLog", func(d *fake.Driver) drv { return logsAll{d} }},
		{"the console's log is its end", "ConsoleLog", func(d *fake.Driver) drv { return logsHead{d} }},
		{"the console's log stays", "ConsoleLog", func(d *fake.Driver) drv { return logsRunning{d} }},
		{"ErrNotFound: ConsoleLog", "ConsoleLog", func(d *fake.Driver) drv { return logsNobody{d} }},
		{"a stopped guest has no console", "Console", func(d *fake.Driver) drv { return consoleAlways{d} }},
		{"unknown consoles are ErrUnsupported", "Console", func(d *fake.Driver) drv { return consoleAny{d} }},
		{"a console ends with its guest", "Console", func(d *fake.Driver) drv { return consoleForEver{d} }},
		{"events tell", "Events", func(d *fake.Driver) drv { return silentEvents{d} }},
		{"events tell who did it", "GuestEvents", func(d *fake.Driver) drv { return oursAll{Driver: d, guest: false} }},
		{"events tell what we did", "Events", func(d *fake.Driver) drv { return oursAll{Driver: d, guest: true} }},
		{"events end with their context", "Events", func(d *fake.Driver) drv { return eventsForEver{d} }},
		{"diagnostics need a running guest", "Diagnostics", func(d *fake.Driver) drv { return diagnosesAll{d} }},
		{"a disk does not shrink", "ResizeDisk", func(d *fake.Driver) drv { return resizesAll{d} }},
		{"a disk's size stays", "ResizeDisk", func(d *fake.Driver) drv { return &forgetsSize{Driver: d} }},
		{"limits are checked", "ThrottleDisk", func(d *fake.Driver) drv { return throttlesAll{d} }},
		{"ErrNotFound: ThrottleDisk", "ThrottleDisk", func(d *fake.Driver) drv { return throttlesNobody{d} }},
		{"encryption names its formats", "DecryptDisk", func(d *fake.Driver) drv { return decryptsNothing{d} }},
		{"an export is whole", "ExportDisk", func(d *fake.Driver) drv { return exportsHalf{d} }},
		{"a running guest's disk is not exported", "ExportDisk", func(d *fake.Driver) drv { return exportsRunning{d} }},
		{"an export ends with its context", "ExportDisk", func(d *fake.Driver) drv { return exportsForEver{d} }},
		{"an imported disk waits for its guest", "ImportDisk", func(d *fake.Driver) drv { return importEnsures{d} }},
		{"Ensure keeps an imported disk", "ImportDisk", func(d *fake.Driver) drv { return importsBlank{d} }},
		{"a failed import leaves what was there", "ImportDisk", func(d *fake.Driver) drv { return importsHalves{d} }},
		{"a rescued guest has the rescue disk first", "Rescue", seen(func(g *guest) { slices.Reverse(g.Disks) })},
		{"a rescued guest stays so", "Rescue", func(d *fake.Driver) drv { return closeUnrescues{d} }},
		{"Unrescue stops the guest", "Rescue", func(d *fake.Driver) drv { return unrescueStarts{d} }},
		{"another rescue disk is ErrConflict", "Rescue", func(d *fake.Driver) drv { return rescuesAgain{d} }},
		{"statistics need a running guest", "Statistics", func(d *fake.Driver) drv { return countsAll{d} }},
		{"counters do not go back", "Statistics", func(d *fake.Driver) drv { return &countsAnew{Driver: d} }},
		{"an error holds no password", "SetPassword", func(d *fake.Driver) drv { return tellsPasswords{d} }},
		{"images have their digest", "ImageCache", func(d *fake.Driver) drv { return cachesAll{d} }},
		{"an image in use is not evicted", "ImageCache", func(d *fake.Driver) drv { return evictsUsed{d} }},
		{"an image that is there is not read", "ImageCache", func(d *fake.Driver) drv { return readsAgain{d} }},
		{"images stay after the driver", "ImageCache", func(d *fake.Driver) drv { return &forgetsImages{Driver: d} }},
		{"a guest that has left does not start", "LiveMigrate", func(d *fake.Driver) drv { return startsLeft{d} }},
		{"a guest runs on one side", "LiveMigrate", seen(func(g *guest) {
			if g.State == hypervisor.Stopped {
				g.State = hypervisor.Running
			}
		})},
		{"a completed migration is not aborted", "LiveMigrate", func(d *fake.Driver) drv { return abortsAll{d} }},
		{"a guest that waits is Incoming", "LiveMigrate", seen(func(g *guest) {
			if g.State == hypervisor.Incoming {
				g.State = hypervisor.Stopped
			}
		})},
		{"another architecture is in the way", "AbortMigration", func(d *fake.Driver) drv { return goesAnywhere{d} }},
		{"a failed migration leaves the guest", "AbortMigration", func(d *fake.Driver) drv { return migrateStops{d} }},
	}
	for test, ops := range map[string][]string{
		"Cancellation": {"Info", "List", "Events", "ListImages"},
		"Identifiers":  {},
	} {
		ops = append(
			ops, "Ensure", "Start", "Stop", "Destroy", "Get", "Reboot", "Pause", "Unpause", "Suspend", "Resume", "Snapshot", "ConsoleLog",
			"Console", "Diagnostics", "ResizeDisk", "ThrottleDisk", "ExportDisk", "ImportDisk", "Rescue", "Unrescue", "Statistics", "SetPassword",
			"CheckMigration", "PrepareMigration", "Migrate", "Migration", "AbortMigration", "EvictImage", "Placement", "Devices",
		)
		for _, op := range ops {
			rows = append(rows, row{op + ": " + test, test, func(d *fake.Driver) drv {
				return careless{Driver: d, op: op, ctx: test == "Cancellation", id: test == "Identifiers"}
			}})
		}
	}
	for _, r := range rows {
		t.Run(r.promise, func(t *testing.T) {
			state, wires, peer := fake.NewState(), fake.NewWires(), fake.NewState()
			open := func(name string, s *fake.State) func(drivertest.T) drv {
				return func(t drivertest.T) drv {
					d, err := fake.Open(fake.Config{CloudID: "cloud", Name: name, State: s, Wires: wires})
					require.NoError(t, err)
					return r.broken(d)
				}
			}
			drivertest.Catch(t, hypervisortest.Tests(open("host1", state), hypervisortest.Options{
				CloudID: "cloud", BootText: "nephos-guest: ready", Alive: true, GuestAgent: r.test != "SetPassword",
				Wait: 300 * time.Millisecond, Grace: time.Millisecond, Peer: open("host2", peer),
				NIC: func(drivertest.T, int) driver.NIC {
					return driver.NIC{ID: "port", MAC: "02:00:00:00:00:01", Device: "tap0"}
				},
				PowerOff: func(t drivertest.T, id string) { require.NoError(t, state.PowerOff(id)) },
				Crash:    func(t drivertest.T, id string) { require.NoError(t, state.Crash(id)) },
			}), r.test)
		})
	}
}

// careless does not look at the context, or the identifiers, of one of its calls.
type careless struct {
	*fake.Driver
	op      string
	ctx, id bool
}

func (d careless) begin(op string, ctx context.Context, ids ...*string) (context.Context, func(error) error) {
	end := func(err error) error { return err }
	if d.op != op {
		return ctx, end
	}
	if d.ctx && ctx.Err() != nil {
		ended := ctx.Err()
		ctx = context.WithoutCancel(ctx)
		switch op {
		case "Info", "List", "Get", "Events", "ListImages", "ConsoleLog", "Console", "Diagnostics", "ExportDisk", "Statistics", "Placement", "Devices", "CheckMigration", "Migration",
			"Unpause", "Resume", "Unrescue", "EvictImage", "AbortMigration", "ThrottleDisk", "SetPassword", "PrepareMigration", "ImportDisk", "Migrate":
		default: // it did something, and says that it did nothing
			end = func(err error) error { return errors.Join(err, ended) }
		}
	}
	for _, id := range ids {
		if d.id && hypervisor.CheckID(*id) != nil {
			*id = "good"
			end = func(error) error { return nil }
		}
	}
	return ctx, end
}

func (d careless) Info(ctx context.Context) (host, error) {
	ctx, _ = d.begin("Info", ctx)
	return d.Driver.Info(ctx)
}

func (d careless) List(ctx context.Context) ([]guest, error) {
	ctx, _ = d.begin("List", ctx)
	return d.Driver.List(ctx)
}

func (d careless) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	ctx, _ = d.begin("Events", ctx)
	return d.Driver.Events(ctx)
}

func (d careless) ListImages(ctx context.Context) ([]hypervisor.CachedImage, error) {
	ctx, _ = d.begin("ListImages", ctx)
	return d.Driver.ListImages(ctx)
}

func (d careless) Ensure(ctx context.Context, id string, s spec) error {
	ctx, end := d.begin("Ensure", ctx, &id)
	return end(d.Driver.Ensure(ctx, id, s))
}

func (d careless) Start(ctx context.Context, id string) error {
	ctx, end := d.begin("Start", ctx, &id)
	return end(d.Driver.Start(ctx, id))
}

func (d careless) Stop(ctx context.Context, id string, o hypervisor.StopOptions) error {
	ctx, end := d.begin("Stop", ctx, &id)
	return end(d.Driver.Stop(ctx, id, o))
}

func (d careless) Destroy(ctx context.Context, id string) error {
	ctx, end := d.begin("Destroy", ctx, &id)
	return end(d.Driver.Destroy(ctx, id))
}

func (d careless) Get(ctx context.Context, id string) (guest, error) {
	ctx, end := d.begin("Get", ctx, &id)
	g, err := d.Driver.Get(ctx, id)
	return g, end(err)
}

func (d careless) Reboot(ctx context.Context, id string, hard bool) error {
	ctx, end := d.begin("Reboot", ctx, &id)
	return end(d.Driver.Reboot(ctx, id, hard))
}

func (d careless) Pause(ctx context.Context, id string) error {
	ctx, end := d.begin("Pause", ctx, &id)
	return end(d.Driver.Pause(ctx, id))
}

func (d careless) Unpause(ctx context.Context, id string) error {
	ctx, end := d.begin("Unpause", ctx, &id)
	return end(d.Driver.Unpause(ctx, id))
}

func (d careless) Suspend(ctx context.Context, id string) error {
	ctx, end := d.begin("Suspend", ctx, &id)
	return end(d.Driver.Suspend(ctx, id))
}

func (d careless) Resume(ctx context.Context, id string) error {
	ctx, end := d.begin("Resume", ctx, &id)
	return end(d.Driver.Resume(ctx, id))
}

func (d careless) Snapshot(ctx context.Context, id, diskID, path string) error {
	ctx, end := d.begin("Snapshot", ctx, &id)
	return end(d.Driver.Snapshot(ctx, id, diskID, path))
}

func (d careless) ConsoleLog(ctx context.Context, id string, limit int64) ([]byte, error) {
	ctx, end := d.begin("ConsoleLog", ctx, &id)
	log, err := d.Driver.ConsoleLog(ctx, id, limit)
	return log, end(err)
}

type nothing struct{ io.ReadWriter }

func (nothing) Close() error { return nil }

func (d careless) Console(ctx context.Context, id string, kind hypervisor.ConsoleKind) (io.ReadWriteCloser, error) {
	ctx, end := d.begin("Console", ctx, &id)
	c, err := d.Driver.Console(ctx, id, kind)
	if err != nil {
		c = nothing{}
	}
	return c, end(err)
}

func (d careless) Diagnostics(ctx context.Context, id string) (map[string]any, error) {
	ctx, end := d.begin("Diagnostics", ctx, &id)
	v, err := d.Driver.Diagnostics(ctx, id)
	return v, end(err)
}

func (d careless) ResizeDisk(ctx context.Context, id, diskID string, size int64) error {
	ctx, end := d.begin("ResizeDisk", ctx, &id)
	return end(d.Driver.ResizeDisk(ctx, id, diskID, size))
}

func (d careless) ThrottleDisk(ctx context.Context, id, diskID string, l driver.Limits) error {
	ctx, end := d.begin("ThrottleDisk", ctx, &id)
	return end(d.Driver.ThrottleDisk(ctx, id, diskID, l))
}

func (d careless) ExportDisk(ctx context.Context, id, diskID string) (hypervisor.DiskImage, io.ReadCloser, error) {
	ctx, end := d.begin("ExportDisk", ctx, &id)
	i, r, err := d.Driver.ExportDisk(ctx, id, diskID)
	if err != nil {
		r = nothing{}
	}
	return i, r, end(err)
}

func (d careless) ImportDisk(ctx context.Context, id, diskID string, i hypervisor.DiskImage, body io.Reader) error {
	ctx, end := d.begin("ImportDisk", ctx, &id, &diskID)
	return end(d.Driver.ImportDisk(ctx, id, diskID, i, body))
}

func (d careless) Rescue(ctx context.Context, id string, disk driver.Disk) error {
	ctx, end := d.begin("Rescue", ctx, &id)
	return end(d.Driver.Rescue(ctx, id, disk))
}

func (d careless) Unrescue(ctx context.Context, id string) error {
	ctx, end := d.begin("Unrescue", ctx, &id)
	return end(d.Driver.Unrescue(ctx, id))
}

func (d careless) Statistics(ctx context.Context, id string) (hypervisor.Statistics, error) {
	ctx, end := d.begin("Statistics", ctx, &id)
	s, err := d.Driver.Statistics(ctx, id)
	return s, end(err)
}

func (d careless) Placement(ctx context.Context, id string) (hypervisor.Placement, error) {
	ctx, end := d.begin("Placement", ctx, &id)
	p, err := d.Driver.Placement(ctx, id)
	return p, end(err)
}

func (d careless) Devices(ctx context.Context, id string) ([]string, error) {
	ctx, end := d.begin("Devices", ctx, &id)
	all, err := d.Driver.Devices(ctx, id)
	return all, end(err)
}

func (d careless) SetPassword(ctx context.Context, id, user, password string) error {
	ctx, end := d.begin("SetPassword", ctx, &id)
	return end(d.Driver.SetPassword(ctx, id, user, password))
}

func (d careless) CheckMigration(ctx context.Context, id string, dest host) (hypervisor.MigrationCheck, error) {
	ctx, end := d.begin("CheckMigration", ctx, &id)
	c, err := d.Driver.CheckMigration(ctx, id, dest)
	return c, end(err)
}

func (d careless) PrepareMigration(ctx context.Context, id string, s spec, o hypervisor.PrepareOptions) (hypervisor.MigrationTarget, error) {
	ctx, end := d.begin("PrepareMigration", ctx, &id)
	t, err := d.Driver.PrepareMigration(ctx, id, s, o)
	return t, end(err)
}

func (d careless) Migrate(ctx context.Context, id string, t hypervisor.MigrationTarget, o hypervisor.MigrateOptions) error {
	ctx, end := d.begin("Migrate", ctx, &id)
	return end(d.Driver.Migrate(ctx, id, t, o))
}

func (d careless) Migration(ctx context.Context, id string) (hypervisor.Migration, error) {
	ctx, end := d.begin("Migration", ctx, &id)
	m, err := d.Driver.Migration(ctx, id)
	return m, end(err)
}

func (d careless) AbortMigration(ctx context.Context, id string) error {
	ctx, end := d.begin("AbortMigration", ctx, &id)
	return end(d.Driver.AbortMigration(ctx, id))
}

func (d careless) EvictImage(ctx context.Context, digest string) error {
	short := digest[:min(len(digest), 64)]
	ctx, end := d.begin("EvictImage", ctx, &short)
	if short == "good" {
		return nil
	}
	return end(d.Driver.EvictImage(ctx, digest))
}

func is(err, kind error) bool { return errors.Is(err, kind) }

// lenient has errors of the kind pass for success.
func lenient(err, kind error) error {
	if is(err, kind) {
		return nil
	}
	return err
}

// tells changes what Get and List tell.
type tells struct {
	*fake.Driver
	change func(*guest)
}

func (d tells) Get(ctx context.Context, id string) (guest, error) {
	g, err := d.Driver.Get(ctx, id)
	if err == nil {
		d.change(&g)
	}
	return g, err
}

func (d tells) List(ctx context.Context) ([]guest, error) {
	all, err := d.Driver.List(ctx)
	for i := range all {
		d.change(&all[i])
	}
	return all, err
}

// makes changes what a second Ensure makes.
type makes struct {
	*fake.Driver
	change func(old, s *spec)
}

func (d makes) Ensure(ctx context.Context, id string, s spec) error {
	if old, ok := d.State().Spec(id); ok {
		d.change(&old, &s)
	}
	return d.Driver.Ensure(ctx, id, s)
}

type ensureStarts struct{ *fake.Driver }

func (d ensureStarts) Ensure(ctx context.Context, id string, s spec) error {
	if err := d.Driver.Ensure(ctx, id, s); err != nil {
		return err
	}
	return d.Start(ctx, id)
}

type ensureStops struct{ *fake.Driver }

func (d ensureStops) Ensure(ctx context.Context, id string, s spec) error {
	if err := d.Driver.Ensure(ctx, id, s); err != nil {
		return err
	}
	return d.Stop(ctx, id, hypervisor.StopOptions{})
}

type ensureRestarts struct{ *fake.Driver }

func (d ensureRestarts) Ensure(ctx context.Context, id string, s spec) error {
	g, err := d.Get(ctx, id)
	if err == nil && g.State == hypervisor.Running {
		return errors.Join(d.Driver.Ensure(ctx, id, s), d.Reboot(ctx, id, true))
	}
	return d.Driver.Ensure(ctx, id, s)
}

type ensureStoppedOnly struct{ *fake.Driver }

func (d ensureStoppedOnly) Ensure(ctx context.Context, id string, s spec) error {
	if g, err := d.Get(ctx, id); err == nil && g.State == hypervisor.Running {
		return nephos.Errorf(nephos.ErrConflict, "ensure guest %s: it runs", id)
	}
	return d.Driver.Ensure(ctx, id, s)
}

// plugsNothing is no HotPlugger, and takes disks for a running guest all the same.
type plugsNothing struct{ *fake.Driver }

func (d plugsNothing) Abilities(ctx context.Context) ([]string, error) {
	all, err := d.Driver.Abilities(ctx)
	return slices.DeleteFunc(all, func(a string) bool { return a == hypervisor.CanHotPlug }), err
}

// asksOnly never cuts the power of a guest that was given time.
type asksOnly struct{ *fake.Driver }

func (d asksOnly) Stop(ctx context.Context, id string, o hypervisor.StopOptions) error {
	if o.Grace > 0 {
		return nephos.Errorf(nephos.ErrConflict, "stop guest %s: it does not want to", id)
	}
	return d.Driver.Stop(ctx, id, o)
}

type ensureKeeps struct{ *fake.Driver }

func (d ensureKeeps) Ensure(ctx context.Context, id string, s spec) error {
	err := d.Driver.Ensure(ctx, id, s)
	if err != nil && hypervisor.CheckID(id) == nil {
		_ = d.Driver.Ensure(ctx, id, spec{CloudID: s.CloudID, VCPUs: 1, MemoryMiB: 1})
	}
	return err
}

type ensureAll struct{ *fake.Driver }

func (d ensureAll) Ensure(ctx context.Context, id string, s spec) error {
	s.VCPUs = max(1, s.VCPUs)
	return d.Driver.Ensure(ctx, id, s)
}

type startRestarts struct{ *fake.Driver }

func (d startRestarts) Start(ctx context.Context, id string) error { return d.Reboot(ctx, id, true) }

type startOnlyStopped struct{ *fake.Driver }

func (d startOnlyStopped) Start(ctx context.Context, id string) error {
	if g, err := d.Get(ctx, id); err == nil && g.State == hypervisor.Paused {
		return nil
	}
	return d.Driver.Start(ctx, id)
}

type startsAll struct{ *fake.Driver }

func (d startsAll) Start(ctx context.Context, id string) error {
	return lenient(d.Driver.Start(ctx, id), nephos.ErrNotFound)
}

type stopsAll struct{ *fake.Driver }

func (d stopsAll) Stop(ctx context.Context, id string, o hypervisor.StopOptions) error {
	return lenient(d.Driver.Stop(ctx, id, o), nephos.ErrNotFound)
}

type imagines struct{ *fake.Driver }

func (d imagines) Get(ctx context.Context, id string) (guest, error) {
	g, err := d.Driver.Get(ctx, id)
	g.ID = id
	return g, lenient(err, nephos.ErrNotFound)
}

type stopsOnce struct{ *fake.Driver }

func (d stopsOnce) Stop(ctx context.Context, id string, o hypervisor.StopOptions) error {
	if g, err := d.Get(ctx, id); err == nil && g.State == hypervisor.Stopped {
		return nephos.Errorf(nephos.ErrConflict, "stop guest %s: it is stopped", id)
	}
	return d.Driver.Stop(ctx, id, o)
}

type stopsLater struct{ *fake.Driver }

func (d stopsLater) Stop(ctx context.Context, id string, _ hypervisor.StopOptions) error {
	_, err := d.Get(ctx, id)
	return err
}

type strictDestroy struct{ *fake.Driver }

func (d strictDestroy) Destroy(ctx context.Context, id string) error {
	if _, err := d.Get(ctx, id); err != nil {
		return err
	}
	return d.Driver.Destroy(ctx, id)
}

type destroysStopped struct{ *fake.Driver }

func (d destroysStopped) Destroy(ctx context.Context, id string) error {
	if g, err := d.Get(ctx, id); err == nil && g.State == hypervisor.Running {
		return nephos.Errorf(nephos.ErrConflict, "destroy guest %s: it runs", id)
	}
	return d.Driver.Destroy(ctx, id)
}

type destroysNothing struct{ *fake.Driver }

func (d destroysNothing) Destroy(context.Context, string) error { return nil }

type listsRunning struct{ *fake.Driver }

func (d listsRunning) List(ctx context.Context) ([]guest, error) {
	all, err := d.Driver.List(ctx)
	return slices.DeleteFunc(all, func(g guest) bool { return g.State != hypervisor.Running }), err
}

type listsTwice struct{ *fake.Driver }

func (d listsTwice) List(ctx context.Context) ([]guest, error) {
	all, err := d.Driver.List(ctx)
	return append(all, all...), err
}

type listsShort struct{ *fake.Driver }

func (d listsShort) List(ctx context.Context) ([]guest, error) {
	all, err := d.Driver.List(ctx)
	for i := range all {
		all[i].Labels = nil
	}
	return all, err
}

type oddHost struct{ *fake.Driver }

func (d oddHost) Info(ctx context.Context) (host, error) {
	h, err := d.Driver.Info(ctx)
	h.Traits = append(h.Traits, "not a trait")
	return h, err
}

type fixedInfo struct{ *fake.Driver }

func (d fixedInfo) Info(ctx context.Context) (host, error) {
	h, err := d.Driver.Info(ctx)
	h.RunningVMs = 0
	return h, err
}

// each does something to each guest when the driver is closed.
func each(d *fake.Driver, f func(id string)) error {
	all, _ := d.List(context.Background())
	for _, g := range all {
		f(g.ID)
	}
	return d.Close()
}

type closeStops struct{ *fake.Driver }

func (d closeStops) Close() error {
	return each(d.Driver, func(id string) { _ = d.Stop(context.Background(), id, hypervisor.StopOptions{}) })
}

type closeUnpauses struct{ *fake.Driver }

func (d closeUnpauses) Close() error {
	return each(d.Driver, func(id string) { _ = d.Unpause(context.Background(), id) })
}

type closeUnrescues struct{ *fake.Driver }

func (d closeUnrescues) Close() error {
	return each(d.Driver, func(id string) { _ = d.Unrescue(context.Background(), id) })
}

// forgets knows what this run made.
type forgets struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgets) Ensure(ctx context.Context, id string, s spec) error {
	d.mine.Store(id, true)
	return d.Driver.Ensure(ctx, id, s)
}

func (d *forgets) List(ctx context.Context) ([]guest, error) {
	all, err := d.Driver.List(ctx)
	return slices.DeleteFunc(all, func(g guest) bool { _, ok := d.mine.Load(g.ID); return !ok }), err
}

type forgetsLabels struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsLabels) Ensure(ctx context.Context, id string, s spec) error {
	d.mine.Store(id, true)
	return d.Driver.Ensure(ctx, id, s)
}

func (d *forgetsLabels) Get(ctx context.Context, id string) (guest, error) {
	g, err := d.Driver.Get(ctx, id)
	if _, ok := d.mine.Load(id); !ok {
		g.Labels = nil
	}
	return g, err
}

type forgetsDisks struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsDisks) Ensure(ctx context.Context, id string, s spec) error {
	d.mine.Store(id, true)
	return d.Driver.Ensure(ctx, id, s)
}

func (d *forgetsDisks) Get(ctx context.Context, id string) (guest, error) {
	g, err := d.Driver.Get(ctx, id)
	if _, ok := d.mine.Load(id); !ok && err == nil {
		g.Disks = g.Disks[:1]
	}
	return g, err
}

type sharesLabels struct {
	*fake.Driver
	labels sync.Map
}

func (d *sharesLabels) Ensure(ctx context.Context, id string, s spec) error {
	d.labels.Store(id, s.Labels)
	return d.Driver.Ensure(ctx, id, s)
}

func (d *sharesLabels) Get(ctx context.Context, id string) (guest, error) {
	g, err := d.Driver.Get(ctx, id)
	if labels, ok := d.labels.Load(id); ok {
		g.Labels = maps.Clone(labels.(map[string]string))
	}
	return g, err
}

type sharesGuests struct {
	*fake.Driver
	cache sync.Map
}

func (d *sharesGuests) Ensure(ctx context.Context, id string, s spec) error {
	d.cache.Delete(id)
	return d.Driver.Ensure(ctx, id, s)
}

func (d *sharesGuests) Get(ctx context.Context, id string) (guest, error) {
	if g, ok := d.cache.Load(id); ok {
		return g.(guest), nil
	}
	g, err := d.Driver.Get(ctx, id)
	if err == nil {
		d.cache.Store(id, g)
	}
	return g, err
}

type oneAtATime struct {
	*fake.Driver
	n atomic.Int64
}

func (d *oneAtATime) Stop(ctx context.Context, id string, o hypervisor.StopOptions) error {
	if d.n.Add(1) == 3 {
		return nephos.Errorf(nephos.ErrConflict, "stop guest %s: another one is being stopped", id)
	}
	return d.Driver.Stop(ctx, id, o)
}

type tersely struct{ *fake.Driver }

func (d tersely) Stop(ctx context.Context, id string, o hypervisor.StopOptions) error {
	err := d.Driver.Stop(ctx, id, o)
	if is(err, nephos.ErrNotFound) {
		return nephos.ErrNotFound
	}
	return err
}

type rebootsHard struct{ *fake.Driver }

func (d rebootsHard) Reboot(ctx context.Context, id string, _ bool) error {
	return d.Driver.Reboot(ctx, id, true)
}

type rebootsRunning struct{ *fake.Driver }

func (d rebootsRunning) Reboot(ctx context.Context, id string, _ bool) error {
	return d.Driver.Reboot(ctx, id, false)
}

type rebootsAll struct{ *fake.Driver }

func (d rebootsAll) Reboot(ctx context.Context, id string, hard bool) error {
	return lenient(d.Driver.Reboot(ctx, id, hard), nephos.ErrNotFound)
}

type pausesNothing struct{ *fake.Driver }

func (d pausesNothing) Pause(ctx context.Context, id string) error {
	g, err := d.Get(ctx, id)
	if err == nil && g.State == hypervisor.Stopped {
		err = nephos.ErrConflict
	}
	return err
}

type pausesOnce struct{ *fake.Driver }

func (d pausesOnce) Pause(ctx context.Context, id string) error {
	if g, err := d.Get(ctx, id); err == nil && g.State == hypervisor.Paused {
		return nephos.ErrConflict
	}
	return d.Driver.Pause(ctx, id)
}

type pausesAll struct{ *fake.Driver }

func (d pausesAll) Pause(ctx context.Context, id string) error {
	return lenient(d.Driver.Pause(ctx, id), nephos.ErrConflict)
}

type suspendPauses struct{ *fake.Driver }

func (d suspendPauses) Suspend(ctx context.Context, id string) error { return d.Pause(ctx, id) }

type forgetsSuspended struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsSuspended) Suspend(ctx context.Context, id string) error {
	d.mine.Store(id, true)
	return d.Driver.Suspend(ctx, id)
}

func (d *forgetsSuspended) Resume(ctx context.Context, id string) error {
	if _, ok := d.mine.Load(id); !ok {
		return nephos.Errorf(nephos.ErrConflict, "resume guest %s: it is not suspended", id)
	}
	return d.Driver.Resume(ctx, id)
}

type halfSnapshots struct{ *fake.Driver }

func (d halfSnapshots) Snapshot(ctx context.Context, id, diskID, path string) error {
	err := d.Driver.Snapshot(ctx, id, diskID, path)
	if err != nil {
		_ = os.WriteFile(path, []byte("QFI"), 0o600)
	}
	return err
}

type rawSnapshots struct{ *fake.Driver }

func (d rawSnapshots) Snapshot(ctx context.Context, id, diskID, path string) error {
	return errors.Join(d.Driver.Snapshot(ctx, id, diskID, path), os.WriteFile(path, make([]byte, 4096), 0o600))
}

type snapshotsOnce struct{ *fake.Driver }

func (d snapshotsOnce) Snapshot(ctx context.Context, id, diskID, path string) error {
	if _, err := os.Stat(path); err == nil {
		return nephos.Errorf(nephos.ErrConflict, "snapshot of guest %s: %s is there", id, path)
	}
	return d.Driver.Snapshot(ctx, id, diskID, path)
}

type snapshotStops struct{ *fake.Driver }

func (d snapshotStops) Snapshot(ctx context.Context, id, diskID, path string) error {
	return errors.Join(d.Driver.Snapshot(ctx, id, diskID, path), d.Stop(ctx, id, hypervisor.StopOptions{}))
}

type snapshotsRoot struct{ *fake.Driver }

func (d snapshotsRoot) Snapshot(ctx context.Context, id, _, path string) error {
	return d.Driver.Snapshot(ctx, id, "root", path)
}

type logsAll struct{ *fake.Driver }

func (d logsAll) ConsoleLog(ctx context.Context, id string, _ int64) ([]byte, error) {
	return d.Driver.ConsoleLog(ctx, id, 1<<20)
}

type logsHead struct{ *fake.Driver }

func (d logsHead) ConsoleLog(ctx context.Context, id string, limit int64) ([]byte, error) {
	log, err := d.Driver.ConsoleLog(ctx, id, 1<<20)
	return log[:min(len(log), int(limit))], err
}

type logsRunning struct{ *fake.Driver }

func (d logsRunning) ConsoleLog(ctx context.Context, id string, limit int64) ([]byte, error) {
	if g, err := d.Get(ctx, id); err == nil && g.State != hypervisor.Running {
		return nil, nil
	}
	return d.Driver.ConsoleLog(ctx, id, limit)
}

type logsNobody struct{ *fake.Driver }

func (d logsNobody) ConsoleLog(ctx context.Context, id string, limit int64) ([]byte, error) {
	log, err := d.Driver.ConsoleLog(ctx, id, limit)
	return log, lenient(err, nephos.ErrNotFound)
}

type consoleAlways struct{ *fake.Driver }

func (d consoleAlways) Console(ctx context.Context, id string, kind hypervisor.ConsoleKind) (io.ReadWriteCloser, error) {
	c, err := d.Driver.Console(ctx, id, kind)
	if is(err, nephos.ErrConflict) {
		return nothing{}, nil
	}
	return c, err
}

type consoleAny struct{ *fake.Driver }

func (d consoleAny) Console(ctx context.Context, id string, kind hypervisor.ConsoleKind) (io.ReadWriteCloser, error) {
	c, err := d.Driver.Console(ctx, id, kind)
	if is(err, errors.ErrUnsupported) {
		return d.Driver.Console(ctx, id, hypervisor.Serial)
	}
	return c, err
}

type consoleForEver struct{ *fake.Driver }

type endless struct{ io.ReadWriteCloser }

func (e endless) Read(p []byte) (int, error) {
	n, err := e.ReadWriteCloser.Read(p)
	if err != nil {
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

func (d consoleForEver) Console(ctx context.Context, id string, kind hypervisor.ConsoleKind) (io.ReadWriteCloser, error) {
	c, err := d.Driver.Console(ctx, id, kind)
	if err != nil {
		return nil, err
	}
	return endless{c}, nil
}

type silentEvents struct{ *fake.Driver }

func (d silentEvents) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	events, err := d.Driver.Events(ctx)
	out := make(chan hypervisor.Event)
	go func() {
		defer close(out)
		for range events {
		}
	}()
	return out, err
}

type oursAll struct {
	*fake.Driver
	guest bool
}

func (d oursAll) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	events, err := d.Driver.Events(ctx)
	out := make(chan hypervisor.Event, 100)
	go func() {
		defer close(out)
		for e := range events {
			e.Guest = d.guest
			out <- e
		}
	}()
	return out, err
}

type eventsForEver struct{ *fake.Driver }

func (d eventsForEver) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	return d.Driver.Events(context.WithoutCancel(ctx))
}

type diagnosesAll struct{ *fake.Driver }

func (d diagnosesAll) Diagnostics(ctx context.Context, id string) (map[string]any, error) {
	v, err := d.Driver.Diagnostics(ctx, id)
	return v, lenient(err, nephos.ErrConflict)
}

type resizesAll struct{ *fake.Driver }

func (d resizesAll) ResizeDisk(ctx context.Context, id, diskID string, size int64) error {
	return lenient(d.Driver.ResizeDisk(ctx, id, diskID, size), nephos.ErrInvalid)
}

type forgetsSize struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsSize) ResizeDisk(ctx context.Context, id, diskID string, size int64) error {
	err := d.Driver.ResizeDisk(ctx, id, diskID, size)
	if _, ok := d.mine.LoadOrStore(id, true); !ok {
		return lenient(err, nephos.ErrInvalid)
	}
	return err
}

type throttlesAll struct{ *fake.Driver }

func (d throttlesAll) ThrottleDisk(ctx context.Context, id, diskID string, l driver.Limits) error {
	return lenient(d.Driver.ThrottleDisk(ctx, id, diskID, l), nephos.ErrInvalid)
}

type throttlesNobody struct{ *fake.Driver }

func (d throttlesNobody) ThrottleDisk(ctx context.Context, id, diskID string, l driver.Limits) error {
	return lenient(d.Driver.ThrottleDisk(ctx, id, diskID, l), nephos.ErrNotFound)
}

type decryptsNothing struct{ *fake.Driver }

func (decryptsNothing) EncryptionFormats() []string { return nil }

type exportsHalf struct{ *fake.Driver }

func (d exportsHalf) ExportDisk(ctx context.Context, id, diskID string) (hypervisor.DiskImage, io.ReadCloser, error) {
	i, r, err := d.Driver.ExportDisk(ctx, id, diskID)
	if err != nil {
		return i, nil, err
	}
	return i, struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, 100), r}, nil
}

type exportsRunning struct{ *fake.Driver }

func (d exportsRunning) ExportDisk(ctx context.Context, id, diskID string) (hypervisor.DiskImage, io.ReadCloser, error) {
	i, r, err := d.Driver.ExportDisk(ctx, id, diskID)
	if is(err, nephos.ErrConflict) {
		return i, nothing{}, nil
	}
	return i, r, err
}

type exportsForEver struct{ *fake.Driver }

func (d exportsForEver) ExportDisk(ctx context.Context, id, diskID string) (hypervisor.DiskImage, io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return hypervisor.DiskImage{}, nil, err
	}
	return d.Driver.ExportDisk(context.WithoutCancel(ctx), id, diskID)
}

type importEnsures struct{ *fake.Driver }

func (d importEnsures) ImportDisk(ctx context.Context, id, diskID string, i hypervisor.DiskImage, body io.Reader) error {
	if err := d.Driver.ImportDisk(ctx, id, diskID, i, body); err != nil {
		return err
	}
	return d.Ensure(ctx, id, spec{CloudID: "cloud", VCPUs: 1, MemoryMiB: 1})
}

type importsBlank struct{ *fake.Driver }

func (d importsBlank) ImportDisk(ctx context.Context, id, diskID string, i hypervisor.DiskImage, body io.Reader) error {
	if i.Validate() != nil || hypervisor.CheckID(diskID) != nil {
		return d.Driver.ImportDisk(ctx, id, diskID, i, body)
	}
	n, err := io.Copy(io.Discard, body)
	if err == nil && n != i.Size && i.Size >= 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

type importsHalves struct{ *fake.Driver }

func (d importsHalves) ImportDisk(ctx context.Context, id, diskID string, i hypervisor.DiskImage, body io.Reader) error {
	got, err := io.ReadAll(body)
	if err != nil {
		i.Size = int64(len(got))
	}
	return errors.Join(d.Driver.ImportDisk(ctx, id, diskID, i, strings.NewReader(string(got))), err)
}

type unrescueStarts struct{ *fake.Driver }

func (d unrescueStarts) Unrescue(ctx context.Context, id string) error {
	if err := d.Driver.Unrescue(ctx, id); err != nil {
		return err
	}
	return d.Start(ctx, id)
}

type rescuesAgain struct{ *fake.Driver }

func (d rescuesAgain) Rescue(ctx context.Context, id string, disk driver.Disk) error {
	return lenient(d.Driver.Rescue(ctx, id, disk), nephos.ErrConflict)
}

type countsAll struct{ *fake.Driver }

func (d countsAll) Statistics(ctx context.Context, id string) (hypervisor.Statistics, error) {
	s, err := d.Driver.Statistics(ctx, id)
	return s, lenient(err, nephos.ErrConflict)
}

// countsAnew counts from its own beginning.
type countsAnew struct {
	*fake.Driver
	n atomic.Int64
}

var opened atomic.Int64

func (d *countsAnew) Statistics(ctx context.Context, id string) (hypervisor.Statistics, error) {
	s, err := d.Driver.Statistics(ctx, id)
	if d.n.Load() == 0 {
		d.n.Store(opened.Add(1))
	}
	s.CPUTime = time.Duration(1_000_000-d.n.Load()) * time.Hour
	return s, err
}

type tellsPasswords struct{ *fake.Driver }

func (d tellsPasswords) SetPassword(ctx context.Context, id, user, password string) error {
	if err := d.Driver.SetPassword(ctx, id, user, password); err != nil {
		return fmt.Errorf("set password %s: %w", password, err)
	}
	return nil
}

type cachesAll struct{ *fake.Driver }

func (d cachesAll) EnsureImage(ctx context.Context, i hypervisor.ImageSpec, body io.Reader) (driver.Image, error) {
	image, err := d.Driver.EnsureImage(ctx, i, body)
	return image, lenient(err, nephos.ErrInvalid)
}

type evictsUsed struct{ *fake.Driver }

func (d evictsUsed) EvictImage(ctx context.Context, digest string) error {
	return lenient(d.Driver.EvictImage(ctx, digest), nephos.ErrConflict)
}

type readsAgain struct{ *fake.Driver }

func (d readsAgain) EnsureImage(ctx context.Context, i hypervisor.ImageSpec, body io.Reader) (driver.Image, error) {
	all, err := io.ReadAll(body)
	if err != nil {
		return driver.Image{}, err
	}
	return d.Driver.EnsureImage(ctx, i, strings.NewReader(string(all)))
}

type forgetsImages struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsImages) EnsureImage(ctx context.Context, i hypervisor.ImageSpec, body io.Reader) (driver.Image, error) {
	d.mine.Store(i.Digest, true)
	return d.Driver.EnsureImage(ctx, i, body)
}

func (d *forgetsImages) ListImages(ctx context.Context) ([]hypervisor.CachedImage, error) {
	all, err := d.Driver.ListImages(ctx)
	return slices.DeleteFunc(all, func(i hypervisor.CachedImage) bool { _, ok := d.mine.Load(i.Image.Digest); return !ok }), err
}

type startsLeft struct{ *fake.Driver }

func (d startsLeft) Start(ctx context.Context, id string) error {
	if m, err := d.Migration(ctx, id); err == nil && m.Phase == hypervisor.MigrationCompleted {
		return nil
	}
	return d.Driver.Start(ctx, id)
}

type abortsAll struct{ *fake.Driver }

func (d abortsAll) AbortMigration(ctx context.Context, id string) error {
	return lenient(d.Driver.AbortMigration(ctx, id), nephos.ErrConflict)
}

type goesAnywhere struct{ *fake.Driver }

func (d goesAnywhere) CheckMigration(ctx context.Context, id string, dest host) (hypervisor.MigrationCheck, error) {
	here, _ := d.Info(ctx)
	dest.Arch = here.Arch
	return d.Driver.CheckMigration(ctx, id, dest)
}

type migrateStops struct{ *fake.Driver }

func (d migrateStops) Migrate(ctx context.Context, id string, t hypervisor.MigrationTarget, o hypervisor.MigrateOptions) error {
	err := d.Driver.Migrate(ctx, id, t, o)
	if m, merr := d.Migration(ctx, id); err != nil || merr == nil && m.Phase == hypervisor.MigrationFailed {
		_ = d.Stop(ctx, id, hypervisor.StopOptions{})
	}
	return err
}
