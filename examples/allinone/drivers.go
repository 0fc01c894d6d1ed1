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

	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/driver/blob"
	blobfile "github.com/nephos-cloud/nephos/driver/blob/file"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/hypervisor/qemu"
	"github.com/nephos-cloud/nephos/driver/network"
	fakenetwork "github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/network/linux"
	"github.com/nephos-cloud/nephos/driver/volume"
	volumefile "github.com/nephos-cloud/nephos/driver/volume/file"
)

// cannotBeReal says why this machine cannot run the real drivers; nil if it can.
func cannotBeReal() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("network namespaces need root"))
	}
	for _, program := range []string{"qemu-system-x86_64", "qemu-img"} {
		if _, err := exec.LookPath(program); err != nil {
			errs = append(errs, fmt.Errorf("%s is not installed (apt-get install qemu-system-x86 qemu-utils)", program))
		}
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		errs = append(errs, errors.New("there is no /dev/net/tun"))
	}
	return errors.Join(errs...)
}

// chooseDrivers decides between real and fake, and says which and why.
func chooseDrivers(want string, log *slog.Logger) (real bool, err error) {
	why := cannotBeReal()
	switch {
	case want == "fake":
		log.Info("using fake drivers", "why", "asked for")
		return false, nil
	case why == nil:
		log.Info("using real drivers: QEMU, Linux networking, files")
		return true, nil
	case want == "real":
		return false, fmt.Errorf("the real drivers cannot run here: %w", why)
	default:
		log.Warn("using fake drivers: servers are simulated", "why", why)
		return false, nil
	}
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

// openStores opens the stores of image bytes and volumes, which are files with
// either kind of driver.
func openStores(ctx context.Context, c *config, cloudID string, log *slog.Logger) (*blob.Store, *volume.Pool, opened, error) {
	var done opened
	fail := func(err error) (*blob.Store, *volume.Pool, opened, error) {
		return nil, nil, nil, errors.Join(err, done.close())
	}
	bd, err := blobfile.Open(blobfile.Config{Dir: filepath.Join(c.data, "images"), Log: log})
	if err != nil {
		return fail(err)
	}
	done = append(done, bd.Close)
	blobs, err := blob.NewStore(ctx, bd, blob.StoreOptions{Name: "file", Log: log})
	if err != nil {
		return fail(err)
	}
	vd, err := volumefile.Open(volumefile.Config{CloudID: cloudID, Dir: filepath.Join(c.data, "volumes"), Log: log})
	if err != nil {
		return fail(err)
	}
	done = append(done, vd.Close)
	volumes, err := volume.NewPool(ctx, vd, volume.PoolOptions{Name: "file", Log: log})
	if err != nil {
		return fail(err)
	}
	return blobs, volumes, done, nil
}

const physical = "public"

// openReal opens this machine as the one host.
func openReal(ctx context.Context, c *config, cloudID string, log *slog.Logger) ([]cloud.Host, opened, error) {
	address, err := netip.ParsePrefix(c.external)
	if err != nil {
		return nil, nil, fmt.Errorf("-external: %w", err)
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, nil, err
	}
	var done opened
	fail := func(err error) ([]cloud.Host, opened, error) { return nil, nil, errors.Join(err, done.close()) }
	nd, err := linux.Open(ctx, linux.Config{
		CloudID: cloudID, Physical: map[string]linux.External{physical: {HostAddress: address}},
		TapUID: c.qemuUser, TapGID: c.qemuUser, Log: log,
	})
	if err != nil {
		return fail(err)
	}
	done = append(done, nd.Close)
	networks, err := network.NewNode(ctx, nd, network.NodeOptions{})
	if err != nil {
		return fail(err)
	}
	hd, err := qemu.Open(ctx, qemu.Config{
		CloudID: cloudID, Dir: filepath.Join(c.data, "guests"), UID: uint32(c.qemuUser), GID: uint32(c.qemuUser), Log: log,
	})
	if err != nil {
		return fail(err)
	}
	done = append(done, hd.Close)
	guests, err := hypervisor.NewNode(ctx, hd, hypervisor.NodeOptions{Log: log})
	if err != nil {
		return fail(err)
	}
	return []cloud.Host{{Name: name, Dir: filepath.Join(c.data, "hosts", name), Hypervisor: guests, Network: networks}}, done, nil
}

// openFake opens simulated hosts. What they run is remembered only as long as
// the process; the next one makes it again from the database.
func openFake(ctx context.Context, c *config, cloudID string) ([]cloud.Host, opened, error) {
	var hosts []cloud.Host
	var done opened
	wires := fakenetwork.NewState(nil)
	for i := range c.hosts {
		name := fmt.Sprintf("host-%d", i+1)
		hd, err := fakehypervisor.Open(fakehypervisor.Config{
			CloudID: cloudID, Name: name,
			Host: hypervisor.Host{Type: "QEMU", Arch: "x86_64", VCPUs: 64, MemoryMiB: 256 << 10, DiskGiB: 10000},
		})
		if err != nil {
			return nil, nil, errors.Join(err, done.close())
		}
		done = append(done, hd.Close)
		guests, err := hypervisor.NewNode(ctx, hd, hypervisor.NodeOptions{})
		if err != nil {
			return nil, nil, errors.Join(err, done.close())
		}
		nd := fakenetwork.Open(wires, fakenetwork.Options{Host: name})
		done = append(done, nd.Close)
		networks, err := network.NewNode(ctx, nd, network.NodeOptions{})
		if err != nil {
			return nil, nil, errors.Join(err, done.close())
		}
		hosts = append(hosts, cloud.Host{Name: name, Dir: filepath.Join(c.data, "hosts", name), Hypervisor: guests, Network: networks})
	}
	return hosts, done, nil
}
