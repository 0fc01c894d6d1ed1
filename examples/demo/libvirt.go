package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hypervisorFlag is what allinone is told of the hypervisor; empty leaves it to
// its own choice. libvirt runs in a plugin, with a daemon of its own beside
// whatever this machine has.
func (o options) hypervisorFlag() string {
	switch o.hypervisor {
	case "", "qemu":
		return ""
	case "libvirt":
		program := filepath.Join(filepath.Dir(o.allinone), "plugin-libvirt")
		if abs, err := filepath.Abs(program); err == nil {
			program = abs
		}
		return program + ",arg=-libvirtd=" + o.libvirtd()
	}
	return o.hypervisor
}

// libvirtd is the directory of the plugin's daemon.
func (o options) libvirtd() string { return filepath.Join(o.data, "libvirtd") }

// stopLibvirtd ends the daemon, which otherwise outlives the cloud as its guests
// do.
func stopLibvirtd(ctx context.Context, o options) error {
	if o.hypervisor != "libvirt" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(o.libvirtd(), "run", "libvirtd.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("ending libvirtd: its pid is %q", text)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ending libvirtd: %w", err)
	}
	return poll(ctx, 30*time.Second, "libvirtd's end", func() (bool, error) {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH), nil
	})
}
