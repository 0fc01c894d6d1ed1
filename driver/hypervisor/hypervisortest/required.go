package hypervisortest

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

func (s *suite) testInfo() {
	h, err := s.d.Info(s.ctx())
	require.NoError(s.t, err)
	require.NotEmpty(s.t, h.Type)
	require.Positive(s.t, h.Version)
	require.NotEmpty(s.t, h.Arch)
	require.Positive(s.t, h.VCPUs)
	require.Positive(s.t, h.MemoryMiB)
	require.Positive(s.t, h.DiskGiB)
	require.LessOrEqual(s.t, h.FreeDiskGiB, h.DiskGiB)
	require.NotEmpty(s.t, h.BootID)
	require.NotEmpty(s.t, h.Formats)
	require.NoError(s.t, h.Validate(), "a host that can be")
	before := h.RunningVMs
	s.running()
	h, err = s.d.Info(s.ctx())
	require.NoError(s.t, err)
	require.Equal(s.t, before+1, h.RunningVMs)
}

func (s *suite) testAbilities() {
	n, err := hypervisor.NewNode(s.ctx(), s.d, hypervisor.NodeOptions{})
	require.NoError(s.t, err)
	for _, a := range n.Abilities() {
		require.True(s.t, n.Can(a))
	}
	require.False(s.t, n.Can("Teleporter"))
}

func (s *suite) testLifecycle() {
	id := s.guest()
	g := s.get(id)
	require.Equal(s.t, hypervisor.Stopped, g.State)
	require.True(s.t, g.Started.IsZero(), "a stopped guest has no start time")
	require.Equal(s.t, []string{"root"}, g.Disks)
	require.Empty(s.t, g.NICs)

	require.NoError(s.t, s.d.Start(s.ctx(), id))
	g = s.get(id)
	require.Equal(s.t, hypervisor.Running, g.State)
	require.False(s.t, g.Started.IsZero(), "a running guest has a start time")
	require.Equal(s.t, g, s.listed()[id], "List and Get tell the same")

	require.NoError(s.t, s.d.Stop(s.ctx(), id, s.stopOptions()))
	require.Equal(s.t, hypervisor.Stopped, s.get(id).State)

	require.NoError(s.t, s.d.Start(s.ctx(), id))
	require.Equal(s.t, hypervisor.Running, s.get(id).State)
	require.NoError(s.t, s.d.Destroy(s.ctx(), id), "a running guest can be destroyed")
	_, err := s.d.Get(s.ctx(), id)
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
	require.NotContains(s.t, s.listed(), id)
}

func (s *suite) listed() map[string]hypervisor.Guest {
	list, err := s.d.List(s.ctx())
	require.NoError(s.t, err)
	byID := make(map[string]hypervisor.Guest)
	for _, g := range list {
		require.NotContains(s.t, byID, g.ID, "List has a guest twice")
		byID[g.ID] = g
	}
	return byID
}

func (s *suite) testIdempotence() {
	id := s.guest()
	for range 2 {
		require.NoError(s.t, s.d.Ensure(s.ctx(), id, s.spec()))
	}
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	started := s.get(id).Started
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	require.Equal(s.t, started, s.get(id).Started, "a second Start left the guest as it was")
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, s.spec()), "the same spec changes nothing on a running guest")
	require.Equal(s.t, started, s.get(id).Started)
	for range 2 {
		require.NoError(s.t, s.d.Stop(s.ctx(), id, s.stopOptions()))
		require.Equal(s.t, hypervisor.Stopped, s.get(id).State)
	}
	for range 2 {
		require.NoError(s.t, s.d.Destroy(s.ctx(), id))
	}
	require.NoError(s.t, s.d.Destroy(s.ctx(), nephos.IDs{}.New()), "what never was is destroyed")
}

func (s *suite) testLabels() {
	id := s.newID()
	spec := s.spec()
	check := func(g hypervisor.Guest) {
		s.t.Helper()
		require.Equal(s.t, id, g.ID)
		require.Equal(s.t, spec.CloudID, g.CloudID)
		require.Equal(s.t, spec.Name, g.Name)
		require.Equal(s.t, spec.Revision, g.Revision)
		require.Equal(s.t, spec.Labels, g.Labels)
	}
	for _, name := range []string{"web-1", "", "a name with 'quotes', commas=and ünïcödé"} {
		spec.Name, spec.Revision = name, spec.Revision+1
		require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
		check(s.get(id))
		check(s.listed()[id])
	}
	// Arguments are copied, not kept, and results are the caller's to change.
	given := spec
	given.Labels, given.Disks = maps.Clone(spec.Labels), slices.Clone(spec.Disks)
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, given))
	clear(given.Labels)
	given.Disks[0].ID = "changed"
	g := s.get(id)
	check(g)
	clear(g.Labels)
	clear(g.Disks)
	check(s.get(id))
	require.Equal(s.t, []string{"root"}, s.get(id).Disks)
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	spec.Revision++
	spec.Labels = map[string]string{"other": "x"}
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec), "labels change on a running guest")
	check(s.get(id))
	s.reopen()
	check(s.get(id))
	check(s.listed()[id])
}

func (s *suite) testErrors() {
	unknown := nephos.IDs{}.New()
	_, err := s.d.Get(s.ctx(), unknown)
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
	require.ErrorIs(s.t, s.d.Start(s.ctx(), unknown), nephos.ErrNotFound)
	require.ErrorContains(s.t, err, unknown, "an error says on which ID")
	err = s.d.Stop(s.ctx(), unknown, hypervisor.StopOptions{})
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
	require.ErrorContains(s.t, err, unknown, "an error says on which ID")

	for _, id := range []string{"", "..", "../../etc", "a/b", "a b", "-x", string(make([]byte, 65))} {
		require.ErrorIs(s.t, s.d.Ensure(s.ctx(), id, s.spec()), nephos.ErrInvalid, "id %q", id)
	}
	breaks := map[string]func(*hypervisor.Spec){
		"no processor":   func(sp *hypervisor.Spec) { sp.VCPUs = 0 },
		"no memory":      func(sp *hypervisor.Spec) { sp.MemoryMiB = 0 },
		"twin disks":     func(sp *hypervisor.Spec) { sp.Disks = append(sp.Disks, sp.Disks[0]) },
		"evil disk":      func(sp *hypervisor.Spec) { sp.Disks[0].ID = "../root" },
		"long serial":    func(sp *hypervisor.Spec) { sp.Disks[0].Serial = "123456789012345678901" },
		"unknown format": func(sp *hypervisor.Spec) { sp.Disks[0].Format = "vmdk" },
		"no size":        func(sp *hypervisor.Spec) { sp.Disks = []driver.Disk{blank("root", 0, 0)} },
		"no MAC":         func(sp *hypervisor.Spec) { sp.NICs = []driver.NIC{{ID: "p1"}} },
	}
	for name, change := range breaks {
		spec := s.spec()
		change(&spec)
		id := nephos.IDs{}.New()
		require.ErrorIs(s.t, s.d.Ensure(s.ctx(), id, spec), nephos.ErrInvalid, name)
		_, err := s.d.Get(s.ctx(), id)
		require.ErrorIs(s.t, err, nephos.ErrNotFound, "%s: nothing is left of a refused spec", name)
	}
}

func (s *suite) testConcurrency() {
	ids := make([]string, s.o.Guests)
	for i := range ids {
		ids[i] = s.newID()
	}
	errs := make([]error, len(ids))
	each := func(f func(id string) error) {
		var wg sync.WaitGroup
		for i, id := range ids {
			wg.Go(func() { errs[i] = f(id) })
		}
		wg.Wait()
		for i, err := range errs {
			require.NoError(s.t, err, "guest %s", ids[i])
		}
	}
	spec, ctx, stop := s.spec(), s.ctx(), s.stopOptions()
	each(func(id string) error { return s.d.Ensure(ctx, id, spec) })
	each(func(id string) error {
		if err := s.d.Start(ctx, id); err != nil {
			return err
		}
		_, err := s.d.List(ctx)
		return err
	})
	listed := s.listed()
	for _, id := range ids {
		require.Equal(s.t, hypervisor.Running, listed[id].State)
	}
	ctx = s.ctx()
	each(func(id string) error { return s.d.Stop(ctx, id, stop) })
	each(func(id string) error { return s.d.Destroy(ctx, id) })
	listed = s.listed()
	for _, id := range ids {
		require.NotContains(s.t, listed, id)
	}
}

// testSameGuest breaks the caller's promise to serialise: calls may fail, but
// afterwards the guest is whole and obeys.
func (s *suite) testSameGuest() {
	id, spec, ctx := s.newID(), s.spec(), s.ctx()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { _ = s.d.Ensure(ctx, id, spec) })
		wg.Go(func() { _ = s.d.Start(ctx, id) })
	}
	wg.Wait()
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	g := s.get(id)
	require.Equal(s.t, hypervisor.Running, g.State)
	require.Equal(s.t, []string{"root"}, g.Disks)
	require.NoError(s.t, s.d.Destroy(s.ctx(), id))
	require.NotContains(s.t, s.listed(), id)
}

func (s *suite) testEnsureStopped() {
	id, spec := s.guest(), s.spec()
	spec.VCPUs, spec.MemoryMiB = 2, 96
	spec.Disks[0].SizeBytes += 8 << 20
	spec.Disks = append(spec.Disks, blank("ephemeral0", 4<<20, -1))
	if s.o.NIC != nil {
		spec.NICs = []driver.NIC{s.o.NIC(s.t, 0)}
	}
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
	g := s.get(id)
	require.ElementsMatch(s.t, []string{"root", "ephemeral0"}, g.Disks)
	require.Len(s.t, g.NICs, len(spec.NICs))
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	require.NoError(s.t, s.d.Stop(s.ctx(), id, s.stopOptions()))
	spec.Disks, spec.NICs = spec.Disks[:1], nil
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
	g = s.get(id)
	require.Equal(s.t, []string{"root"}, g.Disks)
	require.Empty(s.t, g.NICs)
	require.NoError(s.t, s.d.Start(s.ctx(), id), "the guest starts without the removed devices")
}

// testEnsureRunning asks of a running guest for what may wait, and for what the
// driver cannot plug.
func (s *suite) testEnsureRunning() {
	id, spec := s.running(), s.spec()
	before := s.get(id)
	spec.VCPUs, spec.MemoryMiB, spec.Revision = 2, 96, spec.Revision+1
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec), "processors and memory wait for the next start")
	g := s.get(id)
	require.Equal(s.t, hypervisor.Running, g.State)
	require.Equal(s.t, before.Started, g.Started, "the guest ran on")
	require.Equal(s.t, spec.Revision, g.Revision)
	if s.can(hypervisor.CanHotPlug) {
		return
	}
	spec.Disks = append(spec.Disks, blank("vol1", 4<<20, -1))
	require.ErrorIs(s.t, s.d.Ensure(s.ctx(), id, spec), errors.ErrUnsupported, "the driver is no HotPlugger")
	require.Equal(s.t, g, s.get(id), "nothing was changed")
	require.NoError(s.t, s.d.Stop(s.ctx(), id, s.stopOptions()))
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
	require.Equal(s.t, []string{"root", "vol1"}, s.get(id).Disks)
}

// testGrace stops a guest that may need longer than it gets.
func (s *suite) testGrace() {
	id := s.running()
	require.NoError(s.t, s.d.Stop(s.ctx(), id, hypervisor.StopOptions{Grace: time.Millisecond}))
	require.Equal(s.t, hypervisor.Stopped, s.get(id).State, "its power is cut once the grace is over")
}

func (s *suite) testReopen() {
	up, down, paused := s.running(), s.guest(), ""
	p, canPause := s.d.(hypervisor.Pauser)
	if canPause {
		paused = s.running()
		if err := p.Pause(s.ctx(), paused); err != nil {
			paused = ""
		}
	}
	before := s.listed()
	s.reopen()
	after := s.listed()
	for _, id := range []string{up, down, paused} {
		if id != "" {
			require.Contains(s.t, before, id, "List tells of all guests, whatever they do")
			require.Equal(s.t, before[id], after[id], "guest %s after the driver was opened again", id)
		}
	}
	require.NoError(s.t, s.d.Ensure(s.ctx(), up, s.spec()))
	require.NoError(s.t, s.d.Stop(s.ctx(), up, s.stopOptions()), "a found guest obeys")
	require.NoError(s.t, s.d.Start(s.ctx(), down))
	s.reopen()
	require.Equal(s.t, hypervisor.Stopped, s.get(up).State)
	require.Equal(s.t, hypervisor.Running, s.get(down).State)
}
