package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/internal/filelock"
)

// launch starts the guest's QEMU with its processors still, and adopts it. With
// incoming it waits for the memory of the guest's last run, and has that run's
// processors.
func (d *Driver) launch(ctx context.Context, g *guest, incoming bool) (*vm, error) {
	d.mu.Lock()
	rec, last := g.rec.running(), g.run
	d.mu.Unlock()
	if err := takeImports(g.dir, rec); err != nil {
		return nil, err
	}
	var c command
	if incoming {
		last.apply(&rec.Spec)
		c.add("-incoming", "defer")
	}
	defer func() { c.close() }()
	if err := d.prepare(&c, g, rec); err != nil {
		return nil, err
	}
	if rec.Move != nil && rec.Move.Incoming { // it goes on by itself once it is here
		c.args = slices.DeleteFunc(c.args, func(arg string) bool { return arg == "-S" })
	}
	says, err := os.OpenFile(filepath.Join(g.dir, "qemu.log"), os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer says.Close()
	p, err := d.spawn(c, says, rec.Spec.MemoryMiB)
	if err != nil {
		return nil, err
	}
	c.close() // else our copy of the listening socket would keep a dead QEMU's queue
	c.files = nil
	run := runRecord{PID: p.pid, Ticks: p.ticks, BootID: bootID(), Started: d.clock.Now(), shape: shapeOf(rec.Spec)}
	err = writeJSON(filepath.Join(g.dir, "run.json"), run)
	if err == nil {
		d.mu.Lock()
		g.run = run
		d.mu.Unlock()
		v := d.adopt(ctx, g, p, true)
		if _, err = v.client(); err == nil {
			if err = v.pin(ctx); err == nil {
				return v, nil
			}
		}
		err = errors.Join(ctx.Err(), err, p.kill())
		<-v.gone
	} else {
		err = errors.Join(err, p.kill(), p.wait(context.WithoutCancel(ctx)))
		p.close()
	}
	_, _ = says.Seek(0, io.SeekStart)
	text, _ := io.ReadAll(io.LimitReader(says, 1000))
	return nil, fmt.Errorf("QEMU did not start: %w: %s", err, text)
}

// prepare writes the command line and opens what goes with it.
func (d *Driver) prepare(c *command, g *guest, rec record) error {
	lock, err := filelock.Take(filepath.Join(g.dir, "lock"))
	if err != nil {
		return fmt.Errorf("lock it: %w", err)
	}
	c.file(lock)
	c.machine(g.id, d.nameOf(g.id), d.accel, rec.Spec)
	for _, socket := range []string{"vm.qmp", "vm.ser"} {
		f, err := listen(g.dir, socket)
		if err != nil {
			return err
		}
		if socket == "vm.qmp" {
			c.monitor(f)
			continue
		}
		log, err := os.OpenFile(filepath.Join(g.dir, "console.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			_ = f.Close()
			return err
		}
		c.serial(f, log)
	}
	order := bootOrder(rec.Spec.Disks)
	units := make(map[string]int)
	for _, disk := range rec.Spec.Disks {
		if err := c.disk(d, g.dir, disk); err != nil {
			return err
		}
		bus := busOf(disk)
		c.json("-device", diskDeviceOf(disk, place{rec.Slots[diskDevice(disk.ID)], units[bus], order[disk.ID]}))
		units[bus]++
	}
	for _, nic := range rec.Spec.NICs {
		if err := c.nic(nic, rec.Slots[nicDevice(nic.ID)]); err != nil {
			return err
		}
	}
	return nil
}

// limited is a shell's script that lowers what a process may take and becomes
// QEMU: the first argument is the most memory in KiB. Nothing of the arguments is
// read by the shell. A process of another user cannot be limited from outside
// without a privilege that containers lack.
const limited = `ulimit -c 0; ulimit -n 4096; ulimit -l 64; ulimit -v "$1"; shift; exec "$@"`

// spawn starts QEMU: a session of its own, its own user, no environment, its
// output into a file, with limits.
func (d *Driver) spawn(c command, says *os.File, memoryMiB int) (*process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	most := strconv.FormatInt(int64(memoryMiB)<<10+8<<20, 10)
	args := append([]string{"sh", "-c", limited, "sh", most, d.cfg.Binary}, c.args...)
	child, err := os.StartProcess("/bin/sh", args, &os.ProcAttr{
		Dir: "/", Env: []string{}, Sys: d.sysProcAttr(),
		Files: append([]*os.File{null, says, says}, c.files...),
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w: %w", d.cfg.Binary, nephos.ErrUnavailable, err)
	}
	p, err := openChild(child.Pid)
	if err != nil {
		return nil, errors.Join(err, child.Kill())
	}
	return p, child.Release()
}

// checkSpec refuses what no start of this driver could carry out.
func (d *Driver) checkSpec(s hypervisor.Spec) error {
	if err := s.Validate(); err != nil {
		return err
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), nephos.ErrInvalid)
	}
	switch {
	case s.CloudID != d.cfg.CloudID:
		return bad("CloudID is %q and not this cloud's %q", s.CloudID, d.cfg.CloudID)
	case s.Firmware == "uefi":
		return bad("firmware uefi is not built into this driver")
	case s.Machine != "" && s.Machine != "pc":
		return bad("machine %.40q is not offered, only pc", s.Machine)
	case s.VCPUs > 255:
		return bad("vcpus is %d, machine pc has at most 255", s.VCPUs)
	}
	slots := make(map[string]int)
	for _, disk := range s.Disks {
		if err := checkDisk(disk); err != nil {
			return err
		}
		bus := busOf(disk)
		if slots[bus]++; busSlots[bus] > 0 && slots[bus] > busSlots[bus] {
			return bad("more than %d disks on bus %s", busSlots[bus], bus)
		}
		if bus == "virtio" && disk.CDROM {
			return bad("disk %s: no CD on bus virtio", disk.ID)
		}
	}
	for _, nic := range s.NICs {
		if err := checkNIC(nic); err != nil {
			return err
		}
	}
	if n := slots["virtio"] + len(s.NICs); n > pciSlots {
		return bad("%d disks and cards want PCI slots, %d are free", n, pciSlots)
	}
	return nil
}

func hasDisk(disks []driver.Disk, id string) bool {
	return slices.ContainsFunc(disks, func(d driver.Disk) bool { return d.ID == id })
}
