package hypervisortest

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// invocation is one call with an identifier left open.
type invocation struct {
	name string
	id   string // that makes the call a good one
	call func(ctx context.Context, id string) error
}

func closed(c io.Closer, err error) error {
	if err == nil {
		err = c.Close()
	}
	return err
}

// invocations are all calls of the driver that take an identifier, of a guest that
// runs and of one that is down. Snapshots would go to the path.
func (s *suite) invocations(up, down, path string) (all []invocation) {
	add := func(name, id string, call func(ctx context.Context, id string) error) {
		all = append(all, invocation{name, id, call})
	}
	d, other := s.d, s.newID()
	add("Ensure", other, func(ctx context.Context, id string) error { return d.Ensure(ctx, id, s.spec()) })
	add("Start", down, d.Start)
	add("Stop", up, func(ctx context.Context, id string) error { return d.Stop(ctx, id, hypervisor.StopOptions{}) })
	add("Destroy", up, d.Destroy)
	add("Get", up, func(ctx context.Context, id string) error { _, err := d.Get(ctx, id); return err })
	if s.can(hypervisor.CanReboot) {
		add("Reboot", up, func(ctx context.Context, id string) error { return d.(hypervisor.Rebooter).Reboot(ctx, id, true) })
	}
	if s.can(hypervisor.CanPause) {
		add("Pause", up, d.(hypervisor.Pauser).Pause)
		add("Unpause", up, d.(hypervisor.Pauser).Unpause)
	}
	if s.can(hypervisor.CanSuspend) {
		add("Suspend", up, d.(hypervisor.Suspender).Suspend)
		add("Resume", down, d.(hypervisor.Suspender).Resume)
	}
	if s.can(hypervisor.CanSnapshot) {
		snap := d.(hypervisor.Snapshotter).Snapshot
		add("Snapshot", down, func(ctx context.Context, id string) error { return snap(ctx, id, "root", path) })
	}
	if s.can(hypervisor.CanConsoleLog) {
		add("ConsoleLog", up, func(ctx context.Context, id string) error {
			_, err := d.(hypervisor.ConsoleLogger).ConsoleLog(ctx, id, 10)
			return err
		})
	}
	if s.can(hypervisor.CanConsole) {
		add("Console", up, func(ctx context.Context, id string) error {
			return closed(d.(hypervisor.Consoler).Console(ctx, id, hypervisor.Serial))
		})
	}
	if s.can(hypervisor.CanDiagnose) {
		add("Diagnostics", up, func(ctx context.Context, id string) error {
			_, err := d.(hypervisor.Diagnoser).Diagnostics(ctx, id)
			return err
		})
	}
	if s.can(hypervisor.CanResizeDisk) {
		add("ResizeDisk", down, func(ctx context.Context, id string) error {
			return d.(hypervisor.DiskResizer).ResizeDisk(ctx, id, "root", 1<<40)
		})
	}
	if s.can(hypervisor.CanThrottleDisk) {
		add("ThrottleDisk", down, func(ctx context.Context, id string) error {
			return d.(hypervisor.DiskThrottler).ThrottleDisk(ctx, id, "root", driver.Limits{TotalIOPS: 77})
		})
	}
	if s.can(hypervisor.CanExportDisk) {
		add("ExportDisk", down, func(ctx context.Context, id string) error {
			_, body, err := d.(hypervisor.DiskExporter).ExportDisk(ctx, id, "root")
			return closed(body, err)
		})
	}
	if s.can(hypervisor.CanImportDisk) {
		in := func(ctx context.Context, id, diskID string) error {
			content := make([]byte, 4096)
			return d.(hypervisor.DiskImporter).ImportDisk(ctx, id, diskID, hypervisor.DiskImage{Format: "raw", Size: 4096, VirtualSize: 8 << 20}, bytes.NewReader(content))
		}
		add("ImportDisk", other, func(ctx context.Context, id string) error { return in(ctx, id, "root") })
		add("ImportDisk: disk", "root", func(ctx context.Context, id string) error { return in(ctx, other, id) })
	}
	if s.can(hypervisor.CanRescue) {
		add("Rescue", up, func(ctx context.Context, id string) error {
			return d.(hypervisor.Rescuer).Rescue(ctx, id, blank(hypervisor.RescueDiskID, 8<<20, 0))
		})
		add("Unrescue", up, d.(hypervisor.Rescuer).Unrescue)
	}
	if s.can(hypervisor.CanStatistics) {
		add("Statistics", up, func(ctx context.Context, id string) error {
			_, err := d.(hypervisor.Statistician).Statistics(ctx, id)
			return err
		})
	}
	if s.can(hypervisor.CanPlace) {
		add("Placement", up, func(ctx context.Context, id string) error {
			_, err := d.(hypervisor.Placer).Placement(ctx, id)
			return err
		})
	}
	if s.can(hypervisor.CanPassDevices) {
		add("Devices", up, func(ctx context.Context, id string) error {
			_, err := d.(hypervisor.DevicePasser).Devices(ctx, id)
			return err
		})
	}
	if s.can(hypervisor.CanSetPassword) {
		add("SetPassword", up, func(ctx context.Context, id string) error {
			return d.(hypervisor.PasswordSetter).SetPassword(ctx, id, "", "Tr0ub4dor&3")
		})
	}
	if s.can(hypervisor.CanLiveMigrate) {
		m := d.(hypervisor.LiveMigrator)
		add("CheckMigration", up, func(ctx context.Context, id string) error {
			host, err := d.Info(context.WithoutCancel(ctx))
			if err == nil {
				_, err = m.CheckMigration(ctx, id, host)
			}
			return err
		})
		add("PrepareMigration", other, func(ctx context.Context, id string) error {
			_, err := m.PrepareMigration(ctx, id, s.spec(), hypervisor.PrepareOptions{Source: "source"})
			return err
		})
		add("Migrate", up, func(ctx context.Context, id string) error {
			host, err := d.Info(context.WithoutCancel(ctx))
			if err == nil {
				err = m.Migrate(ctx, id, hypervisor.MigrationTarget{Type: host.Type, Address: "tcp:127.0.0.1:1"}, hypervisor.MigrateOptions{})
			}
			return err
		})
		add("Migration", up, func(ctx context.Context, id string) error { _, err := m.Migration(ctx, id); return err })
		add("AbortMigration", up, m.AbortMigration)
	}
	if s.can(hypervisor.CanCacheImages) {
		add("EvictImage", string(bytes.Repeat([]byte("0"), 128)), d.(hypervisor.ImageCacher).EvictImage)
	}
	return all
}

func (s *suite) testCancellation() {
	up, down := s.running(), s.guest()
	before := []hypervisor.Guest{s.get(up), s.get(down)}
	path := filepath.Join(s.t.TempDir(), "snapshot")
	calls := s.invocations(up, down, path)
	size := s.virtual(up, "root")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range calls {
		require.ErrorIs(s.t, c.call(ctx, c.id), context.Canceled, c.name)
	}
	_, err := s.d.List(ctx)
	require.ErrorIs(s.t, err, context.Canceled, "List")
	_, err = s.d.Info(ctx)
	require.ErrorIs(s.t, err, context.Canceled, "Info")
	if s.can(hypervisor.CanEvents) {
		_, err = s.d.(hypervisor.Eventer).Events(ctx)
		require.ErrorIs(s.t, err, context.Canceled, "Events")
	}
	if s.can(hypervisor.CanCacheImages) {
		_, err = s.d.(hypervisor.ImageCacher).ListImages(ctx)
		require.ErrorIs(s.t, err, context.Canceled, "ListImages")
	}

	require.Equal(s.t, before, []hypervisor.Guest{s.get(up), s.get(down)}, "cancelled calls did nothing")
	for _, c := range calls {
		if c.name == "Ensure" {
			_, err = s.d.Get(s.ctx(), c.id)
			require.ErrorIs(s.t, err, nephos.ErrNotFound, "a cancelled call made a guest")
		}
	}
	require.NoFileExists(s.t, path)
	if s.can(hypervisor.CanRescue) {
		require.NotContains(s.t, s.get(up).Disks, hypervisor.RescueDiskID)
	}
	require.NoError(s.t, s.d.Start(s.ctx(), down), "and a later one works")
	require.Equal(s.t, size, s.virtual(down, "root"), "no disk was grown")
}

// testIdentifiers has every call refuse what is no ID of a guest or disk.
func (s *suite) testIdentifiers() {
	up, down := s.running(), s.guest()
	before := s.listed()
	path := filepath.Join(s.t.TempDir(), "snapshot")
	require.NoError(s.t, os.Chmod(filepath.Dir(path), 0o777))
	for _, c := range s.invocations(up, down, path) {
		for _, id := range []string{"", "..", "../../etc", "a/b", "a b", "-x", "a\x00", string(make([]byte, 65))} {
			require.ErrorIs(s.t, c.call(s.ctx(), id), nephos.ErrInvalid, "%s %q", c.name, id)
		}
	}
	require.Equal(s.t, before, s.listed())
	require.NoFileExists(s.t, path)
}
