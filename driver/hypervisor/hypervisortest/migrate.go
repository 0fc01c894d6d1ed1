package hypervisortest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

func (s *suite) testStatistics() {
	d, id := s.d.(hypervisor.Statistician), s.guest()
	_, err := d.Statistics(s.ctx(), id)
	require.ErrorIs(s.t, err, nephos.ErrConflict, "a stopped guest uses nothing")
	_, err = d.Statistics(s.ctx(), nephos.IDs{}.New())
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	one, err := d.Statistics(s.ctx(), id)
	require.NoError(s.t, err)
	require.Equal(s.t, hypervisor.Running, one.State)
	require.False(s.t, one.At.IsZero())
	require.Len(s.t, one.CPUs, 1)
	require.NotZero(s.t, one.Memory.Total)
	require.Len(s.t, one.Disks, 1)
	require.Equal(s.t, "root", one.Disks[0].ID)
	require.Empty(s.t, one.NICs)
	s.reopen()
	two, err := s.d.(hypervisor.Statistician).Statistics(s.ctx(), id)
	require.NoError(s.t, err)
	require.GreaterOrEqual(s.t, two.CPUTime, one.CPUTime, "counters do not go back")
	require.GreaterOrEqual(s.t, two.Disks[0].ReadBytes, one.Disks[0].ReadBytes)
}

func (s *suite) testSetPassword() {
	const secret = "Tr0ub4dor&3"
	d, id := s.d.(hypervisor.PasswordSetter), s.guest()
	require.ErrorIs(s.t, d.SetPassword(s.ctx(), nephos.IDs{}.New(), "", secret), nephos.ErrNotFound)
	err := d.SetPassword(s.ctx(), id, "", secret)
	require.ErrorIs(s.t, err, nephos.ErrConflict, "a stopped guest has no agent")
	require.NotContains(s.t, err.Error(), secret)
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	err = d.SetPassword(s.ctx(), id, "", secret)
	if s.o.GuestAgent {
		require.NoError(s.t, err)
		require.NoError(s.t, d.SetPassword(s.ctx(), id, "root", secret))
		return
	}
	require.Error(s.t, err, "nothing in the guest answers")
	require.NotContains(s.t, err.Error(), secret)
}

// peer opens the other host's driver.
func (s *suite) peer() hypervisor.Driver {
	if s.o.Peer == nil {
		s.t.Skip("Options.Peer is not set")
	}
	d := s.o.Peer(s.t)
	s.t.Cleanup(func() { require.NoError(s.t, d.Close()) })
	return d
}

// prepare makes a guest on this host and its counterpart on the other.
func (s *suite) prepare(dest hypervisor.Driver) (id string, target hypervisor.MigrationTarget) {
	id = s.running()
	s.t.Cleanup(func() { _ = dest.Destroy(s.ctx(), id) })
	info, err := dest.Info(s.ctx())
	require.NoError(s.t, err)
	check, err := s.d.(hypervisor.LiveMigrator).CheckMigration(s.ctx(), id, info)
	require.NoError(s.t, err)
	for range 2 {
		target, err = dest.(hypervisor.LiveMigrator).PrepareMigration(s.ctx(), id, s.spec(), hypervisor.PrepareOptions{
			Source: "source", Address: s.o.PeerAddress, CopyDisks: check.CopyDisks,
		})
		require.NoError(s.t, err)
	}
	g, err := dest.Get(s.ctx(), id)
	require.NoError(s.t, err)
	require.Equal(s.t, hypervisor.Incoming, g.State)
	require.ErrorIs(s.t, dest.Start(s.ctx(), id), nephos.ErrConflict, "a guest that waits cannot be started")
	m, err := dest.(hypervisor.LiveMigrator).Migration(s.ctx(), id)
	require.NoError(s.t, err)
	require.Equal(s.t, hypervisor.MigrationPrepared, m.Phase)
	return id, target
}

// await follows a migration to its end.
func (s *suite) await(id string) (m hypervisor.Migration) {
	require.Eventually(s.t, func() bool {
		var err error
		m, err = s.d.(hypervisor.LiveMigrator).Migration(s.ctx(), id)
		require.NoError(s.t, err)
		return m.Phase != hypervisor.MigrationActive
	}, s.o.Wait, 20*time.Millisecond, "the migration of %s does not end", id)
	return m
}

func (s *suite) testLiveMigrate() {
	dest := s.peer()
	src := func() hypervisor.LiveMigrator { return s.d.(hypervisor.LiveMigrator) }
	id, target := s.prepare(dest)
	before := s.get(id)
	for range 2 {
		require.NoError(s.t, src().Migrate(s.ctx(), id, target, hypervisor.MigrateOptions{}))
	}
	s.reopen()
	m := s.await(id)
	require.Equal(s.t, hypervisor.MigrationCompleted, m.Phase, m.Error)
	require.NoError(s.t, src().Migrate(s.ctx(), id, target, hypervisor.MigrateOptions{}), "it is done")
	require.ErrorIs(s.t, src().AbortMigration(s.ctx(), id), nephos.ErrConflict)

	var after hypervisor.Guest
	require.Eventually(s.t, func() bool { // it is there, and may still unpack
		var err error
		after, err = dest.Get(s.ctx(), id)
		require.NoError(s.t, err)
		return after.State != hypervisor.Incoming
	}, s.o.Wait, 20*time.Millisecond, "guest %s does not arrive", id)
	require.Equal(s.t, hypervisor.Running, after.State)
	require.Equal(s.t, before.Labels, after.Labels)
	require.Equal(s.t, hypervisor.Stopped, s.get(id).State, "it runs on one side only")
	require.ErrorIs(s.t, s.d.Start(s.ctx(), id), nephos.ErrConflict, "it has left")
	s.reopen()
	require.ErrorIs(s.t, s.d.Start(s.ctx(), id), nephos.ErrConflict, "it has left, and the driver remembers")
	require.NoError(s.t, s.d.Destroy(s.ctx(), id))
	_, err := src().Migration(s.ctx(), id)
	require.ErrorIs(s.t, err, nephos.ErrNotFound)

	after, err = dest.Get(s.ctx(), id)
	require.NoError(s.t, err)
	require.Equal(s.t, hypervisor.Running, after.State, "destroying what has left harms nobody")
	require.NoError(s.t, dest.Ensure(s.ctx(), id, s.spec()))
	require.NoError(s.t, dest.Stop(s.ctx(), id, s.stopOptions()))
	require.NoError(s.t, dest.Start(s.ctx(), id), "it is an ordinary guest there")
	require.NoError(s.t, dest.Destroy(s.ctx(), id))
}

func (s *suite) testAbortMigration() {
	dest := s.peer()
	src := s.d.(hypervisor.LiveMigrator)
	require.NoError(s.t, src.AbortMigration(s.ctx(), nephos.IDs{}.New()), "nothing to abort")
	stopped := s.guest()
	info, err := dest.Info(s.ctx())
	require.NoError(s.t, err)
	_, err = src.CheckMigration(s.ctx(), stopped, info)
	require.ErrorIs(s.t, err, nephos.ErrConflict, "a stopped guest has nothing to move")
	_, err = src.CheckMigration(s.ctx(), nephos.IDs{}.New(), info)
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
	info.Arch = "pdp11"
	id, target := s.prepare(dest)
	_, err = src.CheckMigration(s.ctx(), id, info)
	require.ErrorIs(s.t, err, nephos.ErrConflict, "another architecture")
	_, err = src.Migration(s.ctx(), id)
	require.ErrorIs(s.t, err, nephos.ErrNotFound)

	for range 2 { // the destination gives up before it begins
		require.NoError(s.t, dest.(hypervisor.LiveMigrator).AbortMigration(s.ctx(), id))
		_, err = dest.Get(s.ctx(), id)
		require.ErrorIs(s.t, err, nephos.ErrNotFound)
	}
	if err := src.Migrate(s.ctx(), id, target, hypervisor.MigrateOptions{}); err == nil {
		require.Equal(s.t, hypervisor.MigrationFailed, s.await(id).Phase, "nobody waits there")
	}
	require.Equal(s.t, hypervisor.Running, s.get(id).State, "a migration that failed leaves the guest")
	require.NoError(s.t, src.AbortMigration(s.ctx(), id))
	require.Equal(s.t, hypervisor.Running, s.get(id).State)
	require.NoError(s.t, s.d.Stop(s.ctx(), id, s.stopOptions()))
	require.NoError(s.t, s.d.Start(s.ctx(), id), "and it can be started as ever")
}
