package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/nephos-cloud/nephos"
)

// probeExit is what QEMU exits with when the probe's guest wrote 0x2a to the
// debug exit port: twice that plus one.
const probeExit = 0x2a<<1 | 1

// bootSector is the probe's guest: mov dx,0xf4; mov al,0x2a; out dx,al; hlt.
func bootSector() []byte {
	b := make([]byte, 512)
	copy(b, []byte{0xba, 0xf4, 0x00, 0xb0, 0x2a, 0xee, 0xf4, 0xeb, 0xfd})
	b[510], b[511] = 0x55, 0xaa
	return b
}

// chooseAccel settles the accelerator. The answer of a probe holds until the
// host boots again or QEMU changes.
func (d *Driver) chooseAccel(ctx context.Context) (string, error) {
	switch d.cfg.Accel {
	case "tcg", "kvm":
		return d.cfg.Accel, nil
	case "auto":
	default:
		return "", fmt.Errorf("Config.Accel is %q, want auto, kvm or tcg: %w", d.cfg.Accel, nephos.ErrInvalid)
	}
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return "tcg", nil
	}
	if cpus, err := os.ReadFile("/proc/cpuinfo"); err == nil && !virtualizes(runtime.GOARCH, cpus) {
		d.log.Warn("the processor does not offer virtualization, guests are emulated")
		return "tcg", nil
	}
	type answer struct{ BootID, QEMU, Accel string }
	now, path := answer{BootID: bootID(), QEMU: fmt.Sprint(d.cfg.Binary, " ", d.version)}, filepath.Join(d.cfg.Dir, "accel.json")
	var old answer
	if ok, _ := readJSON(path, &old); ok && old.BootID == now.BootID && old.QEMU == now.QEMU && old.Accel != "" {
		return old.Accel, nil
	}
	now.Accel = "kvm"
	if err := d.probe(ctx, "kvm"); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		d.log.Warn("KVM does not work here, guests are emulated", "error", err)
		now.Accel = "tcg"
	}
	return now.Accel, writeJSON(path, now)
}

// virtualizes reports whether a processor may run guests, by what the kernel
// says of it: one of x86 must show vmx or svm. There are machines whose /dev/kvm
// hangs, and a probe of that takes its whole time.
func virtualizes(arch string, cpuinfo []byte) bool {
	if arch != "amd64" && arch != "386" {
		return true
	}
	for line := range bytes.Lines(cpuinfo) {
		if name, flags, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(name)) == "flags" {
			for _, f := range bytes.Fields(flags) {
				if string(f) == "vmx" || string(f) == "svm" {
					return true
				}
			}
		}
	}
	return false
}

// probe boots a tiny guest.
func (d *Driver) probe(ctx context.Context, accel string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	f, err := os.CreateTemp(d.cfg.Dir, ".probe-*")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	if _, err := f.Write(bootSector()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, d.cfg.Binary, "-machine", "pc", "-accel", accel, "-m", "16",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-sandbox", sandbox,
		"-device", "isa-debug-exit,iobase=0xf4,iosize=0x4", "-add-fd", "fd=3,set=1",
		"-blockdev", `{"driver":"raw","node-name":"boot","file":{"driver":"file","filename":"/dev/fdset/1"}}`,
		"-device", "ide-hd,drive=boot")
	cmd.ExtraFiles, cmd.Env, cmd.SysProcAttr = []*os.File{f}, []string{}, d.sysProcAttr()
	var says bytes.Buffer
	cmd.Stderr = &says
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("probe %s: nothing booted: %w", accel, ctx.Err())
	case errors.As(err, &exit) && exit.ExitCode() == probeExit:
		return nil
	}
	return fmt.Errorf("probe %s: %w: %.500s", accel, err, says.String())
}

// sysProcAttr says as whom QEMU runs: in a session of its own, so that nothing
// sent to ours reaches it.
func (d *Driver) sysProcAttr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if d.cfg.UID == 0 || os.Getuid() != 0 {
		return attr
	}
	attr.Credential = &syscall.Credential{Uid: d.cfg.UID, Gid: d.cfg.GID}
	if info, err := os.Stat("/dev/kvm"); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Gid != 0 {
			attr.Credential.Groups = []uint32{st.Gid}
		}
	}
	return attr
}

var versionPattern = regexp.MustCompile(`version (\d{1,3})\.(\d{1,3})\.(\d{1,3})`)

// askVersion returns QEMU's version as libvirt counts: 7.2.22 is 7002022.
func (d *Driver) askVersion(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.cfg.Binary, "--version")
	cmd.Env = []string{}
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("ask %s for its version: %w", d.cfg.Binary, err)
	}
	return parseVersion(string(out))
}

func parseVersion(text string) (int, error) {
	m := versionPattern.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("parse QEMU's version: %.100q", text)
	}
	var v int
	for _, part := range m[1:] {
		n, _ := strconv.Atoi(part)
		v = v*1000 + n
	}
	return v, nil
}

// bootID changes with each boot of the host.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(id))
}
