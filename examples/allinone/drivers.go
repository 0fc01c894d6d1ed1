package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/hypervisor/qemu"
	"github.com/nephos-cloud/nephos/driver/network"
	fakenetwork "github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/network/linux"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

// cannotQEMU and cannotLinux say why this machine cannot run a real driver; nil
// if it can.
func cannotQEMU() error {
	var errs []error
	for _, program := range []string{"qemu-system-x86_64", "qemu-img"} {
		if _, err := exec.LookPath(program); err != nil {
			errs = append(errs, fmt.Errorf("%s is not installed (apt-get install qemu-system-x86 qemu-utils)", program))
		}
	}
	return errors.Join(errs...)
}

func cannotLinux() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("network namespaces need root"))
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		errs = append(errs, errors.New("there is no /dev/net/tun"))
	}
	return errors.Join(errs...)
}

// chooseDrivers decides which drivers run guests and networks, and says which
// and why: what -hypervisor and -network name, and else what -drivers allows and
// the machine can run.
func chooseDrivers(c *config, log *slog.Logger) (hv, net choice, err error) {
	hypervisorName, networkName := "qemu", "linux"
	var why []error
	if len(c.hypervisor) == 0 {
		why = append(why, cannotQEMU())
	}
	if len(c.network) == 0 {
		why = append(why, cannotLinux())
	}
	switch why := errors.Join(why...); {
	case c.drivers == "fake":
		hypervisorName, networkName = "fake", "fake"
	case why != nil && c.drivers == "real":
		return hv, net, fmt.Errorf("the real drivers cannot run here: %w", why)
	case why != nil:
		log.Warn("using fake drivers: servers are simulated", "why", why)
		hypervisorName, networkName = "fake", "fake"
	}
	if hv, err = c.hypervisor.single("hypervisor", hypervisorName); err != nil {
		return hv, net, err
	}
	if net, err = c.network.single("network", networkName); err != nil {
		return hv, net, err
	}
	log.Info("using drivers", "hypervisor", hv.text, "network", net.text)
	return hv, net, nil
}

// opened are drivers to be closed, in reverse order.
type opened []func() error

func (o opened) close() error {
	var errs []error
	for i := len(o) - 1; i >= 0; i-- {
		errs = append(errs, o[i]())
	}
	return errors.Join(errs...)
}

const physical = "public"

// openHosts opens this machine as the one host, or simulated ones.
func openHosts(ctx context.Context, c *config, cloudID string, log *slog.Logger) ([]cloud.Host, opened, error) {
	hv, net, err := chooseDrivers(c, log)
	if err != nil {
		return nil, nil, err
	}
	names := []string{}
	if hv.driver == "fake" {
		for i := range c.hosts {
			names = append(names, fmt.Sprintf("host-%d", i+1))
		}
	} else {
		name, err := os.Hostname()
		if err != nil {
			return nil, nil, err
		}
		names = append(names, name)
	}
	o := hostOpener{config: c, cloudID: cloudID, hv: hv, net: net, wires: fakenetwork.NewState(nil), log: log}
	var hosts []cloud.Host
	for _, name := range names {
		h, err := o.open(ctx, name)
		if err != nil {
			return nil, nil, errors.Join(err, o.done.close())
		}
		hosts = append(hosts, h)
	}
	return hosts, o.done, nil
}

// hostOpener opens hosts, and remembers what is to be closed.
type hostOpener struct {
	config  *config
	cloudID string
	hv, net choice
	wires   *fakenetwork.State
	netns   string // path of the namespace that holds the taps, if they are real
	log     *slog.Logger
	done    opened
}

func (o *hostOpener) open(ctx context.Context, name string) (cloud.Host, error) {
	nd, err := o.openNetwork(ctx, name)
	if err != nil {
		return cloud.Host{}, fmt.Errorf("-network: %w", err)
	}
	o.done = append(o.done, nd.Close)
	networks, err := network.NewNode(ctx, nd, network.NodeOptions{})
	if err != nil {
		return cloud.Host{}, fmt.Errorf("-network: %w", err)
	}
	hd, err := o.openHypervisor(ctx, name)
	if err != nil {
		return cloud.Host{}, fmt.Errorf("-hypervisor: %w", err)
	}
	o.done = append(o.done, hd.Close)
	guests, err := hypervisor.NewNode(ctx, hd, hypervisor.NodeOptions{Log: o.log})
	if err != nil {
		return cloud.Host{}, fmt.Errorf("-hypervisor: %w", err)
	}
	return cloud.Host{Name: name, Dir: filepath.Join(o.config.data, "hosts", name), Hypervisor: guests, Network: networks}, nil
}

func (o *hostOpener) openNetwork(ctx context.Context, name string) (network.Driver, error) {
	switch {
	case o.net.isPlugin():
		launch, err := o.net.launch(o.config.data, o.cloudID, o.log)
		if err != nil {
			return nil, err
		}
		return plugin.Launch[network.Driver](ctx, o.net.driver, launch)
	case o.net.driver == "fake":
		return fakenetwork.Open(o.wires, fakenetwork.Options{Host: name}), o.net.only()
	case o.net.driver == "linux":
		if err := errors.Join(cannotLinux(), o.net.only("tap-uid")); err != nil {
			return nil, err
		}
		address, err := netip.ParsePrefix(o.config.external)
		if err != nil {
			return nil, fmt.Errorf("-external: %w", err)
		}
		uid, err := o.net.number("tap-uid", uint64(o.config.qemuUser))
		if err != nil {
			return nil, err
		}
		d, err := linux.Open(ctx, linux.Config{
			CloudID: o.cloudID, Physical: map[string]linux.External{physical: {HostAddress: address}},
			TapUID: int(uid), TapGID: int(uid), Log: o.log,
		})
		if err != nil {
			return nil, err
		}
		if o.hv.isPlugin() { // it opens the taps by name
			if o.netns, err = d.Namespace(ctx); err != nil {
				return nil, errors.Join(err, d.Close())
			}
		}
		return d, nil
	}
	return nil, unknown(o.net, "linux, fake")
}

// openHypervisor opens what runs guests. What fakes run is remembered only as
// long as the process; the next one makes it again from the database.
func (o *hostOpener) openHypervisor(ctx context.Context, name string) (hypervisor.Driver, error) {
	switch {
	case o.hv.isPlugin():
		launch, err := o.hv.launch(o.config.data, o.cloudID, o.log)
		if err != nil {
			return nil, err
		}
		if o.netns != "" { // where the cards' taps are
			launch.Env = append(launch.Env, "NEPHOS_NETNS="+o.netns)
		}
		return plugin.Launch[hypervisor.Driver](ctx, o.hv.driver, launch)
	case o.hv.driver == "fake":
		if err := o.hv.only(); err != nil {
			return nil, err
		}
		return fakehypervisor.Open(fakehypervisor.Config{
			CloudID: o.cloudID, Name: name,
			Host: hypervisor.Host{Type: "QEMU", Arch: "x86_64", VCPUs: 64, MemoryMiB: 256 << 10, DiskGiB: 10000},
		})
	case o.hv.driver == "qemu":
		if err := errors.Join(cannotQEMU(), o.hv.only("dedicated-cpus")); err != nil {
			return nil, err
		}
		dedicated, err := hypervisor.ParseCPUs(strings.Join(o.hv.options["dedicated-cpus"], ","))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", o.hv.text, err)
		}
		return qemu.Open(ctx, qemu.Config{
			CloudID: o.cloudID, Dir: filepath.Join(o.config.data, "guests"), Dedicated: dedicated,
			UID: uint32(o.config.qemuUser), GID: uint32(o.config.qemuUser), Log: o.log,
		})
	}
	return nil, unknown(o.hv, "qemu, fake")
}
