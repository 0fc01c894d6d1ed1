package hypervisortest

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// pinned is a guest of as many cells as the host has, two at most, each with a
// processor: a dedicated one for itself where there is one.
func (s *suite) pinned(h hypervisor.Host) hypervisor.Spec {
	spec := s.spec()
	var cells []driver.NUMACell
	for _, c := range h.NUMA {
		if len(c.CPUs)+len(c.Dedicated) > 0 && len(cells) < 2 {
			cells = append(cells, c)
		}
	}
	if len(cells) == 0 {
		s.t.Skip("the host tells of no NUMA cell with processors")
	}
	slices.Reverse(cells) // the guest's cells need not have the host's numbers
	spec.NUMA, spec.VCPUs = nil, len(cells)
	spec.MemoryMiB = spec.MemoryMiB / len(cells) * len(cells)
	for i, c := range cells {
		spec.NUMA = append(spec.NUMA, hypervisor.Cell{
			Host: c.ID, MemoryMiB: spec.MemoryMiB / len(cells),
			Pins: []hypervisor.Pin{{VCPU: i, CPUs: slices.Concat(c.Dedicated, c.CPUs)[:1]}},
		})
	}
	return spec
}

func (s *suite) testPlacement() {
	d := s.d.(hypervisor.Placer)
	h, err := s.d.Info(s.ctx())
	require.NoError(s.t, err)
	spec := s.pinned(h)
	_, err = d.Placement(s.ctx(), nephos.IDs{}.New())
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
	id := s.newID()
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
	_, err = d.Placement(s.ctx(), id)
	require.ErrorIs(s.t, err, nephos.ErrConflict, "a guest that is off is nowhere")
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	s.placed(id, spec)
	s.reopen()
	s.placed(id, spec)

	// One cell, whose processors float together: from the next start on.
	first, all := spec.NUMA[0], h.NUMA[slices.IndexFunc(h.NUMA, func(c driver.NUMACell) bool { return c.ID == spec.NUMA[0].Host })]
	cpus := slices.Sorted(slices.Values(slices.Concat(all.CPUs, all.Dedicated)))
	again := spec
	again.VCPUs = 2
	again.NUMA = []hypervisor.Cell{{Host: first.Host, MemoryMiB: again.MemoryMiB, Pins: []hypervisor.Pin{{VCPU: 1, CPUs: cpus}, {VCPU: 0, CPUs: cpus[:1]}}}}
	again.EmulatorCPUs = cpus[len(cpus)-1:]
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, again))
	s.placed(id, spec)
	require.NoError(s.t, s.d.Stop(s.ctx(), id, s.stopOptions()))
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	s.placed(id, again)

	// What cannot be kept is refused, and leaves nothing.
	breaks := map[string]func(*hypervisor.Spec){
		"cell":      func(sp *hypervisor.Spec) { sp.NUMA[0].Host = 1 << 19 },
		"processor": func(sp *hypervisor.Spec) { sp.NUMA[0].Pins = []hypervisor.Pin{{VCPU: 0, CPUs: []int{1 << 19}}} },
		"emulator":  func(sp *hypervisor.Spec) { sp.EmulatorCPUs = []int{1 << 19} },
		"pages":     func(sp *hypervisor.Spec) { sp.NUMA[0].PageKiB = 64 },
		"memory":    func(sp *hypervisor.Spec) { sp.MemoryMiB++ },
		"vcpus":     func(sp *hypervisor.Spec) { sp.VCPUs++ },
	}
	for name, change := range breaks {
		bad := s.pinned(h)
		change(&bad)
		never := nephos.IDs{}.New()
		require.ErrorIs(s.t, s.d.Ensure(s.ctx(), never, bad), nephos.ErrInvalid, name)
		_, err := s.d.Get(s.ctx(), never)
		require.ErrorIs(s.t, err, nephos.ErrNotFound, name)
	}
	require.NoError(s.t, s.d.Destroy(s.ctx(), id))
	s.huge(h)
}

// placed says that a running guest is where its spec says.
func (s *suite) placed(id string, spec hypervisor.Spec) {
	s.t.Helper()
	got, err := s.d.(hypervisor.Placer).Placement(s.ctx(), id)
	require.NoError(s.t, err)
	want := hypervisor.Placement{Pins: make([]hypervisor.Pin, spec.VCPUs)}
	for _, c := range spec.NUMA {
		want.Cells = append(want.Cells, c.Host)
		for _, p := range c.Pins {
			want.Pins[p.VCPU] = p
		}
	}
	require.Equal(s.t, want, got)
}

// huge has a guest's memory in huge pages, where the host tells of any.
func (s *suite) huge(h hypervisor.Host) {
	for _, c := range h.NUMA {
		for size, n := range c.Pages {
			spec := s.pinned(h)
			if mib := spec.MemoryMiB; int64(mib)<<10%size != 0 || n < int64(mib)<<10/size {
				continue
			}
			pins := []hypervisor.Pin{{VCPU: 0, CPUs: slices.Concat(c.Dedicated, c.CPUs)[:1]}}
			spec.VCPUs, spec.NUMA = 1, []hypervisor.Cell{{Host: c.ID, MemoryMiB: spec.MemoryMiB, PageKiB: int(size), Pins: pins}}
			id := s.newID()
			require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
			require.NoError(s.t, s.d.Start(s.ctx(), id))
			s.placed(id, spec)
			return
		}
	}
}

// testTopology only sees that it is taken: what a guest makes of it, it knows.
func (s *suite) testTopology() {
	spec := s.spec()
	spec.VCPUs, spec.Topology = 4, hypervisor.Topology{Sockets: 1, Cores: 2, Threads: 2}
	id := s.newID()
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	spec.Topology.Cores = 3
	require.ErrorIs(s.t, s.d.Ensure(s.ctx(), nephos.IDs{}.New(), spec), nephos.ErrInvalid)
}

func (s *suite) testDevices() {
	d := s.d.(hypervisor.DevicePasser)
	h, err := s.d.Info(s.ctx())
	require.NoError(s.t, err)
	if len(h.PCI) == 0 {
		s.t.Skip("the host hands out no PCI devices")
	}
	_, err = d.Devices(s.ctx(), nephos.IDs{}.New())
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
	spec, id, other := s.spec(), s.newID(), s.newID()
	spec.PCI = []string{h.PCI[0].Address}
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
	_, err = d.Devices(s.ctx(), id)
	require.ErrorIs(s.t, err, nephos.ErrConflict, "a guest that is off has none")
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	has := func() {
		s.t.Helper()
		list, err := s.d.(hypervisor.DevicePasser).Devices(s.ctx(), id)
		require.NoError(s.t, err)
		require.Equal(s.t, spec.PCI, list)
	}
	has()
	s.reopen()
	has()
	require.NoError(s.t, s.d.Ensure(s.ctx(), other, spec))
	require.ErrorIs(s.t, s.d.Start(s.ctx(), other), nephos.ErrConflict, "another guest has the device")
	require.NoError(s.t, s.d.Destroy(s.ctx(), id))
	require.NoError(s.t, s.d.Start(s.ctx(), other))
	if m, ok := s.d.(hypervisor.LiveMigrator); ok && s.can(hypervisor.CanLiveMigrate) {
		_, err := m.CheckMigration(s.ctx(), other, h)
		require.ErrorIs(s.t, err, nephos.ErrConflict)
	}
	spec.PCI = []string{"ffff:ff:1f.7"}
	never := nephos.IDs{}.New()
	require.ErrorIs(s.t, s.d.Ensure(s.ctx(), never, spec), nephos.ErrInvalid)
	_, err = s.d.Get(s.ctx(), never)
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
}
