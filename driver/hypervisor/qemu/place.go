package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/internal/linuxhost"
)

var (
	_ hypervisor.Abilitier = (*Driver)(nil)
	_ hypervisor.Placer    = (*Driver)(nil)
)

// Abilities implements hypervisor.Abilitier: all that the driver implements, but
// for placing guests where the kernel does not let it.
func (d *Driver) Abilities(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list abilities: %w", err)
	}
	has := []string{
		hypervisor.CanHotPlug, hypervisor.CanReboot, hypervisor.CanPause, hypervisor.CanSuspend, hypervisor.CanSnapshot,
		hypervisor.CanConsoleLog, hypervisor.CanConsole, hypervisor.CanEvents, hypervisor.CanDiagnose, hypervisor.CanResizeDisk,
		hypervisor.CanThrottleDisk, hypervisor.CanExportDisk, hypervisor.CanImportDisk, hypervisor.CanRescue,
		hypervisor.CanStatistics, hypervisor.CanLiveMigrate,
	}
	if d.unplaced == nil {
		has = append(has, hypervisor.CanPlace)
	}
	return has, nil
}

// shape is what of its spec a guest has from one power-on to the next.
type shape struct {
	VCPUs, MemoryMiB int
	Topology         hypervisor.Topology `json:",omitzero"`
	NUMA             []hypervisor.Cell   `json:",omitempty"`
	EmulatorCPUs     []int               `json:",omitempty"`
}

func shapeOf(s hypervisor.Spec) shape {
	return shape{s.VCPUs, s.MemoryMiB, s.Topology, s.NUMA, s.EmulatorCPUs}
}

// apply gives a spec the shape.
func (f shape) apply(s *hypervisor.Spec) {
	s.VCPUs, s.MemoryMiB, s.Topology, s.NUMA, s.EmulatorCPUs = f.VCPUs, f.MemoryMiB, f.Topology, f.NUMA, f.EmulatorCPUs
}

// cells are the host's, with what of them guests may have for themselves.
func (d *Driver) cells(root fs.FS) ([]driver.NUMACell, error) {
	cells, err := linuxhost.ReadCells(root)
	if err != nil {
		return nil, err
	}
	if err := linuxhost.Dedicate(cells, d.cfg.Dedicated); err != nil {
		return nil, err
	}
	return cells, linuxhost.ReadCores(root, cells)
}

// checkPlace refuses a place that the host does not have, or that the kernel does
// not let us keep.
func (d *Driver) checkPlace(s hypervisor.Spec) error {
	if len(s.PCI) > 0 {
		return fmt.Errorf("this driver passes no devices to guests: %w", errors.ErrUnsupported)
	}
	if len(s.NUMA) == 0 {
		return nil
	}
	if d.unplaced != nil {
		return fmt.Errorf("guests cannot be placed: %w: %w", errors.ErrUnsupported, d.unplaced)
	}
	cells, err := d.cells(os.DirFS("/"))
	if err != nil {
		return err
	}
	return hypervisor.Host{NUMA: cells}.Holds(s)
}

// specOf is the spec of a guest; the zero one if there is no such guest.
func (d *Driver) specOf(id string) hypervisor.Spec {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.guests[id]; g != nil {
		return g.rec.Spec
	}
	return hypervisor.Spec{}
}

// smp is the value of -smp.
func smp(s hypervisor.Spec) string {
	out := strconv.Itoa(s.VCPUs)
	if t := s.Topology; t != (hypervisor.Topology{}) {
		out += fmt.Sprintf(",sockets=%d,cores=%d,threads=%d", t.Sockets, t.Cores, t.Threads)
	}
	return out
}

// numa adds a guest's cells, each with memory that the kernel takes from one cell
// of the host only. Huge pages are taken at once, so that none is missing later.
func (c *command) numa(cells []hypervisor.Cell) {
	for i, cell := range cells {
		id := "cell" + strconv.Itoa(i)
		memory := map[string]any{
			"qom-type": "memory-backend-ram", "id": id, "size": int64(cell.MemoryMiB) << 20,
			"host-nodes": []int{cell.Host}, "policy": "bind",
		}
		if cell.PageKiB > 0 {
			memory["qom-type"], memory["prealloc"] = "memory-backend-memfd", true
			memory["hugetlb"], memory["hugetlbsize"] = true, int64(cell.PageKiB)<<10
		}
		c.json("-object", memory)
		node := fmt.Sprintf("node,nodeid=%d,memdev=%s", i, id)
		for _, pin := range cell.Pins {
			node += ",cpus=" + strconv.Itoa(pin.VCPU)
		}
		c.add("-numa", node)
	}
}

// pin binds the threads of a guest to the host's CPUs that it was started for, and
// sees that they are: while its processors stand still, or before it is incoming.
func (v *vm) pin(ctx context.Context) error {
	v.d.mu.Lock()
	s := v.g.run.shape
	v.d.mu.Unlock()
	if len(s.NUMA) == 0 {
		return nil
	}
	threads, err := v.threads(ctx)
	if err != nil {
		return err
	}
	emulator := s.EmulatorCPUs
	for _, cell := range s.NUMA {
		for _, p := range cell.Pins {
			thread, ok := threads[p.VCPU]
			if !ok {
				return fmt.Errorf("pin processor %d: QEMU has none of this number: %w", p.VCPU, nephos.ErrUnavailable)
			}
			if err := bind(thread, p.CPUs); err != nil {
				return fmt.Errorf("pin processor %d: %w", p.VCPU, err)
			}
			if len(s.EmulatorCPUs) == 0 {
				emulator = append(slices.Clip(emulator), p.CPUs...)
			}
		}
	}
	mine := map[int]bool{}
	for _, thread := range threads {
		if mine[thread] {
			return fmt.Errorf("pin processors: QEMU runs several in one thread: %w", errors.ErrUnsupported)
		}
		mine[thread] = true
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", v.p.pid))
	if err != nil {
		return err
	}
	for _, task := range tasks {
		thread, err := strconv.Atoi(filepath.Base(task))
		if err != nil || mine[thread] {
			continue
		}
		if err := bind(thread, emulator); err != nil && !errors.Is(err, unix.ESRCH) { // some come and go
			return fmt.Errorf("pin QEMU's own thread %d: %w", thread, err)
		}
	}
	return nil
}

// threads are the guest's processors' in QEMU.
func (v *vm) threads(ctx context.Context) (map[int]int, error) {
	var cpus []struct {
		Index  int `json:"cpu-index"`
		Thread int `json:"thread-id"`
	}
	if err := v.execute(ctx, "query-cpus-fast", nil, &cpus); err != nil {
		return nil, err
	}
	out := make(map[int]int, len(cpus))
	for _, c := range cpus {
		out[c.Index] = c.Thread
	}
	return out, nil
}

// maxAffinity is how many processors the kernel's sets hold here.
const maxAffinity = int(unsafe.Sizeof(unix.CPUSet{})) * 8

// bind lets a thread run on the processors only.
func bind(thread int, cpus []int) error {
	var want, got unix.CPUSet
	for _, cpu := range cpus {
		if cpu >= maxAffinity {
			return fmt.Errorf("processor %d of the host is beyond the %d that can be bound to: %w", cpu, maxAffinity, errors.ErrUnsupported)
		}
		want.Set(cpu)
	}
	if err := unix.SchedSetaffinity(thread, &want); err != nil {
		return err
	}
	if err := unix.SchedGetaffinity(thread, &got); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the kernel lets it run on %v and not on %v: %w", listed(got), listed(want), nephos.ErrUnavailable)
	}
	return nil
}

func listed(set unix.CPUSet) []int {
	var out []int
	for cpu := range maxAffinity {
		if set.IsSet(cpu) {
			out = append(out, cpu)
		}
	}
	return out
}

// Placement implements hypervisor.Placer: of processors by what the kernel says, of
// memory by what QEMU was started with, which does not start otherwise.
func (d *Driver) Placement(ctx context.Context, id string) (p hypervisor.Placement, err error) {
	fail := func(err error) (hypervisor.Placement, error) {
		return hypervisor.Placement{}, fmt.Errorf("find the place of guest %s: %w", id, err)
	}
	if err := errors.Join(ctx.Err(), hypervisor.CheckID(id)); err != nil {
		return fail(err)
	}
	g, err := d.lookup(id)
	if err != nil {
		return fail(err)
	}
	d.mu.Lock()
	v, state, run := g.vm, g.state(), g.run
	d.mu.Unlock()
	if v == nil || state != hypervisor.Running && state != hypervisor.Paused {
		return fail(fmt.Errorf("it is %s: %w", state, nephos.ErrConflict))
	}
	threads, err := v.threads(ctx)
	if err != nil {
		return fail(err)
	}
	for cpu := range run.VCPUs {
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(threads[cpu], &set); err != nil {
			return fail(fmt.Errorf("processor %d: %w", cpu, err))
		}
		p.Pins = append(p.Pins, hypervisor.Pin{VCPU: cpu, CPUs: listed(set)})
	}
	for _, c := range run.NUMA {
		p.Cells = append(p.Cells, c.Host)
	}
	return p, nil
}

// placeable says why guests cannot be placed, or nil: the kernel must know cells,
// let memory be bound to them, and let the threads of QEMU's user be bound.
func (d *Driver) placeable() error {
	cells, err := d.cells(os.DirFS("/"))
	if err != nil {
		return err
	}
	if len(cells) == 0 {
		return errors.New("the kernel tells of no NUMA cells")
	}
	if err := bindMemory(cells[0].ID); err != nil {
		return fmt.Errorf("the kernel binds no memory to cell %d: %w", cells[0].ID, err)
	}
	if uid := int(d.cfg.UID); uid == 0 || uid == os.Geteuid() {
		return nil
	}
	const sysNice = 23 // CAP_SYS_NICE
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("ask for the driver's rights: %w", err)
	}
	if data[0].Effective&(1<<sysNice) == 0 {
		return errors.New("the driver lacks CAP_SYS_NICE, which binding the threads of another user takes")
	}
	return nil
}

// bindMemory tries whether memory can be bound to a cell.
func bindMemory(cell int) error {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(page) }()
	const policyBind = 2 // MPOL_BIND
	mask := make([]uint64, cell/64+2)
	mask[cell/64] |= 1 << (cell % 64)
	_, _, errno := unix.Syscall6(unix.SYS_MBIND, uintptr(unsafe.Pointer(&page[0])), uintptr(len(page)), policyBind,
		uintptr(unsafe.Pointer(&mask[0])), uintptr(len(mask)*64-1), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
