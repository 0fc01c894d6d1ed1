package fake_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
)

// handClock moves when the test says so.
type handClock struct {
	mu    sync.Mutex
	now   time.Time
	waits []chan time.Time
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) After(time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time, 1)
	c.waits = append(c.waits, ch)
	return ch
}

// pass moves the time and wakes all sleepers; it returns how many there were.
func (c *handClock) pass(d time.Duration) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for _, ch := range c.waits {
		ch <- c.now
	}
	n := len(c.waits)
	c.waits = nil
	return n
}

func small() hypervisor.Spec {
	return hypervisor.Spec{
		CloudID: "cloud", Name: "web", VCPUs: 1, MemoryMiB: 64,
		Disks: []driver.Disk{{ID: "root", Source: driver.Connection{Type: "local"}, SizeBytes: 10 << 30}},
	}
}

func TestFaults(t *testing.T) {
	boom := errors.New("boom")
	faults := new(fake.Faults)
	d, err := fake.Open(fake.Config{Faults: faults})
	require.NoError(t, err)
	ctx := t.Context()
	faults.Add(
		fake.Fault{Method: "Ensure", Nth: 2, Count: 2, Err: boom},
		fake.Fault{Method: "Start", ID: "b", Err: boom, After: true},
	)
	for i, want := range []error{nil, boom, boom, nil} {
		require.ErrorIs(t, d.Ensure(ctx, "a", small()), want, "call %d", i+1)
	}
	require.NoError(t, d.Ensure(ctx, "b", small()))
	require.NoError(t, d.Start(ctx, "a"))
	require.ErrorIs(t, d.Start(ctx, "b"), boom)
	g, err := d.Get(ctx, "b")
	require.NoError(t, err)
	require.Equal(t, hypervisor.Running, g.State, "the answer was lost, not the work")
	require.Equal(t, 5, faults.Calls("Ensure"))
	faults.Add(fake.Fault{Count: -1, Err: boom})
	_, err = d.List(ctx)
	require.ErrorIs(t, err, boom)
	faults.Clear()
	_, err = d.List(ctx)
	require.NoError(t, err)
}

func TestLatency(t *testing.T) {
	clock, faults := new(handClock), new(fake.Faults)
	d, err := fake.Open(fake.Config{Faults: faults, Clock: clock})
	require.NoError(t, err)
	faults.Add(fake.Fault{Method: "Ensure", Delay: time.Hour})
	done := make(chan error, 1)
	go func() { done <- d.Ensure(t.Context(), "a", small()) }()
	require.Eventually(t, func() bool { return clock.pass(time.Hour) == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, <-done)
	faults.Add(fake.Fault{Method: "Start", Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, d.Start(ctx, "a"), context.Canceled)
}

func TestBootTextFollowsTheClock(t *testing.T) {
	clock := &handClock{now: time.Unix(0, 0)}
	d, err := fake.Open(fake.Config{Clock: clock, BootTime: 10 * time.Second})
	require.NoError(t, err)
	ctx := t.Context()
	require.NoError(t, d.Ensure(ctx, "a", small()))
	require.NoError(t, d.Start(ctx, "a"))
	read := func() string {
		log, err := d.ConsoleLog(ctx, "a", 1<<20)
		require.NoError(t, err)
		return string(log)
	}
	require.Empty(t, read())
	clock.pass(5 * time.Second)
	require.Contains(t, read(), "Booting")
	require.NotContains(t, read(), "ready")
	clock.pass(5 * time.Second)
	require.Contains(t, read(), "nephos-guest: ready")
	require.True(t, strings.HasSuffix(read(), "web login: "))
	require.NoError(t, d.State().Print("a", "kernel panic\n"))
	require.Contains(t, read(), "kernel panic")
}

func TestHostReboot(t *testing.T) {
	state := fake.NewState()
	d, err := fake.Open(fake.Config{State: state})
	require.NoError(t, err)
	ctx := t.Context()
	require.NoError(t, d.Ensure(ctx, "a", small()))
	require.NoError(t, d.Start(ctx, "a"))
	before, err := d.Info(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, before.RunningVMs)
	require.Equal(t, before.DiskGiB-10, before.FreeDiskGiB)
	state.RebootHost()
	after, err := d.Info(ctx)
	require.NoError(t, err)
	require.Zero(t, after.RunningVMs)
	require.NotEqual(t, before.BootID, after.BootID)
	require.ErrorIs(t, state.PowerOff("a"), nephos.ErrConflict)
	state.Remove("a")
	_, err = d.Get(ctx, "a")
	require.ErrorIs(t, err, nephos.ErrNotFound)
}

func TestDeafGuestGetsItsGrace(t *testing.T) {
	clock := new(handClock)
	d, err := fake.Open(fake.Config{Clock: clock, DeafGuests: true})
	require.NoError(t, err)
	require.NoError(t, d.Ensure(t.Context(), "a", small()))
	require.NoError(t, d.Start(t.Context(), "a"))
	done := make(chan error, 1)
	go func() { done <- d.Stop(t.Context(), "a", hypervisor.StopOptions{Grace: time.Minute}) }()
	require.Eventually(t, func() bool { return clock.pass(time.Minute) == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, <-done)
}

func TestSlowReaderLosesTheOldest(t *testing.T) {
	d, err := fake.Open(fake.Config{})
	require.NoError(t, err)
	events, err := d.Events(t.Context())
	require.NoError(t, err)
	ctx := t.Context()
	require.NoError(t, d.Ensure(ctx, "a", small()))
	for range 2000 {
		require.NoError(t, d.Start(ctx, "a"))
		require.NoError(t, d.Stop(ctx, "a", hypervisor.StopOptions{}))
	}
	require.NoError(t, d.Close())
	var last hypervisor.Event
	n := 0
	for e := range events {
		last = e
		n++
	}
	require.Less(t, n, 4000)
	require.Equal(t, hypervisor.Stopped, last.State, "the newest event is kept")
}

func BenchmarkBoot(b *testing.B) {
	d, err := fake.Open(fake.Config{})
	require.NoError(b, err)
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprint("guest", i)
		if err := errors.Join(d.Ensure(b.Context(), id, small()), d.Start(b.Context(), id)); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLiveMigrationTakesItsTime(t *testing.T) {
	clock, wires := &handClock{now: time.Unix(100, 0)}, fake.NewWires()
	host := func(name string) *fake.Driver {
		d, err := fake.Open(fake.Config{Name: name, Clock: clock, Wires: wires, MigrationTime: 10 * time.Second})
		require.NoError(t, err)
		return d
	}
	a, b := host("a"), host("b")
	ctx := t.Context()
	require.NoError(t, a.Ensure(ctx, "g", small()))
	require.NoError(t, a.Start(ctx, "g"))
	for _, abort := range []bool{true, false} {
		target, err := b.PrepareMigration(ctx, "g", small(), hypervisor.PrepareOptions{CopyDisks: []string{"root"}})
		require.NoError(t, err)
		require.Contains(t, target.Disks, "root")
		require.NoError(t, a.Migrate(ctx, "g", target, hypervisor.MigrateOptions{}))
		other := target
		other.Address = "fake:c"
		require.ErrorIs(t, a.Migrate(ctx, "g", other, hypervisor.MigrateOptions{}), nephos.ErrConflict)
		clock.pass(4 * time.Second)
		m, err := a.Migration(ctx, "g")
		require.NoError(t, err)
		require.Equal(t, hypervisor.MigrationActive, m.Phase)
		require.EqualValues(t, 64<<20*4/10, m.MemoryProcessed)
		if abort {
			require.NoError(t, a.AbortMigration(ctx, "g"))
			require.NoError(t, b.AbortMigration(ctx, "g"))
		}
		clock.pass(6 * time.Second)
		m, err = a.Migration(ctx, "g")
		require.NoError(t, err)
		g, err := a.Get(ctx, "g")
		require.NoError(t, err)
		if abort {
			require.Equal(t, hypervisor.MigrationAborted, m.Phase)
			require.Equal(t, hypervisor.Running, g.State)
			continue
		}
		require.Equal(t, hypervisor.MigrationCompleted, m.Phase)
		require.Equal(t, hypervisor.Stopped, g.State)
	}
	// And back, over what is left there.
	target, err := a.PrepareMigration(ctx, "g", small(), hypervisor.PrepareOptions{})
	require.NoError(t, err)
	require.NoError(t, b.Migrate(ctx, "g", target, hypervisor.MigrateOptions{}))
	clock.pass(10 * time.Second)
	m, err := b.Migration(ctx, "g")
	require.NoError(t, err)
	require.Equal(t, hypervisor.MigrationCompleted, m.Phase)
	g, err := a.Get(ctx, "g")
	require.NoError(t, err)
	require.Equal(t, hypervisor.Running, g.State)
}

func TestWhatTheDriverIsToldCanBeSeen(t *testing.T) {
	d, err := fake.Open(fake.Config{})
	require.NoError(t, err)
	ctx := t.Context()
	require.NoError(t, d.Ensure(ctx, "g", small()))
	require.NoError(t, d.ThrottleDisk(ctx, "g", "root", driver.Limits{TotalIOPS: 9}))
	require.Equal(t, driver.Limits{TotalIOPS: 9}, d.State().Limits("g", "root"))
	require.NoError(t, d.Start(ctx, "g"))
	require.NoError(t, d.SetPassword(ctx, "g", "", "secret"))
	password, ok := d.State().Password("g", "root")
	require.True(t, ok)
	require.Equal(t, "secret", password)
}
