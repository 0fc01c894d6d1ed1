package hypervisor_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
)

func spec() hypervisor.Spec {
	return hypervisor.Spec{
		CloudID: "cloud", Name: "web", VCPUs: 1, MemoryMiB: 64,
		Disks: []driver.Disk{{ID: "root", Source: driver.Connection{Type: "local"}, SizeBytes: 1 << 20}},
	}
}

func node(t *testing.T, cfg fake.Config, opts hypervisor.NodeOptions) *hypervisor.Node {
	t.Helper()
	d, err := fake.Open(cfg)
	require.NoError(t, err)
	n, err := hypervisor.NewNode(t.Context(), d, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

// bare is a driver without any ability.
type bare struct{ hypervisor.Driver }

func TestAbsentAbilities(t *testing.T) {
	d, err := fake.Open(fake.Config{Wires: fake.NewWires()})
	require.NoError(t, err)
	all := []string{
		hypervisor.CanHotPlug, hypervisor.CanReboot, hypervisor.CanPause, hypervisor.CanSuspend, hypervisor.CanSnapshot,
		hypervisor.CanConsoleLog, hypervisor.CanConsole, hypervisor.CanEvents, hypervisor.CanDiagnose,
		hypervisor.CanResizeDisk, hypervisor.CanThrottleDisk, hypervisor.CanDecryptDisk, hypervisor.CanExportDisk,
		hypervisor.CanImportDisk, hypervisor.CanRescue, hypervisor.CanStatistics, hypervisor.CanSetPassword,
		hypervisor.CanLiveMigrate, hypervisor.CanCacheImages, hypervisor.CanPlace, hypervisor.CanPassDevices,
	}
	has, err := hypervisor.AbilitiesOf(t.Context(), d)
	require.NoError(t, err)
	require.ElementsMatch(t, all, has)
	narrowed := node(t, fake.Config{Without: all}, hypervisor.NodeOptions{})
	lacking, err := hypervisor.NewNode(t.Context(), bare{d}, hypervisor.NodeOptions{})
	require.NoError(t, err)
	for _, n := range []*hypervisor.Node{narrowed, lacking} {
		require.Empty(t, n.Abilities())
		ctx := t.Context()
		require.NoError(t, n.Ensure(ctx, "g", spec()))
		_, logErr := n.ConsoleLog(ctx, "g", 1)
		_, consoleErr := n.Console(ctx, "g", hypervisor.VNC)
		_, eventsErr := n.Events(ctx)
		_, diagErr := n.Diagnostics(ctx, "g")
		_, statErr := n.Statistics(ctx, "g")
		_, _, exportErr := n.ExportDisk(ctx, "g", "root")
		_, checkErr := n.CheckMigration(ctx, "g", hypervisor.Host{})
		_, prepareErr := n.PrepareMigration(ctx, "g", spec(), hypervisor.PrepareOptions{})
		_, migrationErr := n.Migration(ctx, "g")
		_, imageErr := n.EnsureImage(ctx, hypervisor.ImageSpec{}, nil)
		_, imagesErr := n.ListImages(ctx)
		_, placeErr := n.Placement(ctx, "g")
		_, devicesErr := n.Devices(ctx, "g")
		placed, given := spec(), spec()
		placed.VCPUs, placed.NUMA = 1, []hypervisor.Cell{{MemoryMiB: placed.MemoryMiB, Pins: []hypervisor.Pin{{CPUs: []int{0}}}}}
		given.PCI = []string{"0000:81:00.0"}
		for _, err := range []error{
			n.Reboot(ctx, "g", true), n.Pause(ctx, "g"), n.Unpause(ctx, "g"), n.Suspend(ctx, "g"), n.Resume(ctx, "g"),
			n.Snapshot(ctx, "g", "root", "/x"), logErr, consoleErr, eventsErr, diagErr,
			n.Ensure(ctx, "h", placed), n.Ensure(ctx, "h", given), placeErr, devicesErr, statErr, exportErr, checkErr, prepareErr, migrationErr, imageErr, imagesErr,
			n.ResizeDisk(ctx, "g", "root", 1), n.ThrottleDisk(ctx, "g", "root", driver.Limits{}),
			n.ImportDisk(ctx, "g", "root", hypervisor.DiskImage{}, nil), n.Rescue(ctx, "g", driver.Disk{}), n.Unrescue(ctx, "g"),
			n.SetPassword(ctx, "g", "", "x"), n.Migrate(ctx, "g", hypervisor.MigrationTarget{}, hypervisor.MigrateOptions{}),
			n.AbortMigration(ctx, "g"), n.EvictImage(ctx, "x"),
		} {
			require.ErrorIs(t, err, errors.ErrUnsupported)
		}
		disks, nics := n.HotPlug()
		require.False(t, disks || nics)
		require.Empty(t, n.EncryptionFormats())
	}
}

func TestDeadline(t *testing.T) {
	faults := new(fake.Faults)
	faults.Add(fake.Fault{Hang: true, Count: -1})
	n := node(t, fake.Config{Faults: faults}, hypervisor.NodeOptions{
		Deadline: time.Millisecond, EnsureDeadline: time.Millisecond, SnapshotDeadline: time.Millisecond,
	})
	ctx := t.Context()
	_, getErr := n.Get(ctx, "g")
	_, listErr := n.List(ctx)
	_, infoErr := n.Info(ctx)
	for _, err := range []error{
		getErr, listErr, infoErr, n.Ensure(ctx, "g", spec()), n.Start(ctx, "g"), n.Stop(ctx, "g", hypervisor.StopOptions{}),
		n.Destroy(ctx, "g"), n.Pause(ctx, "g"), n.Snapshot(ctx, "g", "root", "/x"),
	} {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
}

// counting counts how many Starts run at once.
type counting struct {
	hypervisor.Driver
	now, most atomic.Int32
	enter     chan struct{}
	leave     chan struct{}
}

func (c *counting) Start(context.Context, string) error {
	c.most.Store(max(c.most.Load(), c.now.Add(1)))
	c.enter <- struct{}{}
	<-c.leave
	c.now.Add(-1)
	return nil
}

func TestSameGuestOneAfterTheOther(t *testing.T) {
	c := &counting{enter: make(chan struct{}), leave: make(chan struct{})}
	n, err := hypervisor.NewNode(t.Context(), c, hypervisor.NodeOptions{})
	require.NoError(t, err)
	done := make(chan error, 3)
	for range 3 {
		go func() { done <- n.Start(t.Context(), "same") }()
	}
	<-c.enter
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, n.Start(ctx, "same"), context.Canceled, "waiting for a turn ends with the context")
	go func() { done <- n.Start(t.Context(), "other") }()
	<-c.enter // another guest does not wait
	require.EqualValues(t, 2, c.now.Load())
	c.leave <- struct{}{}
	c.leave <- struct{}{}
	for range 2 {
		<-c.enter
		require.LessOrEqual(t, c.now.Load(), int32(2))
		c.leave <- struct{}{}
	}
	for range 4 {
		require.NoError(t, <-done)
	}
	require.EqualValues(t, 2, c.most.Load())
}

func TestInsideATransaction(t *testing.T) {
	n := node(t, fake.Config{}, hypervisor.NodeOptions{})
	ctx := nephos.EnterTx(t.Context())
	require.Panics(t, func() { _, _ = n.Get(ctx, "g") })
	require.Panics(t, func() { _ = n.Ensure(ctx, "g", spec()) })
	require.Panics(t, func() { _, _ = n.Events(ctx) })
	require.Panics(t, func() { _ = n.Snapshot(ctx, "g", "root", "/x") })
}

func TestBadIDsReachNoDriver(t *testing.T) {
	faults := new(fake.Faults)
	n := node(t, fake.Config{Faults: faults}, hypervisor.NodeOptions{})
	require.ErrorIs(t, n.Destroy(t.Context(), "../x"), nephos.ErrInvalid)
	bad := spec()
	bad.VCPUs = 0
	require.ErrorIs(t, n.Ensure(t.Context(), "g", bad), nephos.ErrInvalid)
	require.Zero(t, faults.Calls("Destroy")+faults.Calls("Ensure"))
}

func TestCallsAreObservedAndFailuresLogged(t *testing.T) {
	var log bytes.Buffer
	seen := make(map[string]error)
	faults := new(fake.Faults)
	n := node(t, fake.Config{Faults: faults}, hypervisor.NodeOptions{
		Log:     slog.New(slog.NewTextHandler(&log, nil)),
		Observe: func(call string, _ time.Duration, err error) { seen[call] = err },
	})
	require.NoError(t, n.Ensure(t.Context(), "g", spec()))
	require.Empty(t, log.String())
	boom := errors.New("boom")
	faults.Add(fake.Fault{Method: "Start", Err: boom})
	require.ErrorIs(t, n.Start(t.Context(), "g"), boom)
	require.NoError(t, seen["Ensure"])
	require.ErrorIs(t, seen["Start"], boom)
	require.Contains(t, log.String(), "guest=g")
	require.Contains(t, log.String(), "boom")
}

func FuzzCheckID(f *testing.F) {
	for _, s := range []string{"", ".", "..", "a", "a/b", "A-1_2.3", "-a", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if hypervisor.CheckID(id) == nil {
			require.Regexp(t, `^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`, id)
		}
	})
}
