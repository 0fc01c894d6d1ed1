package plugin_test

import (
	"context"
	"errors"
	"path"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	blobfile "github.com/nephos-cloud/nephos/driver/blob/file"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
	"github.com/nephos-cloud/nephos/driver/network"
	fakenetwork "github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/network/networktest"
	"github.com/nephos-cloud/nephos/driver/plugin"
	"github.com/nephos-cloud/nephos/driver/volume"
	fakevolume "github.com/nephos-cloud/nephos/driver/volume/fake"
	volumefile "github.com/nephos-cloud/nephos/driver/volume/file"
	"github.com/nephos-cloud/nephos/driver/volume/volumetest"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/extension"
	"github.com/nephos-cloud/nephos/scheduler/extension/extensiontest"
)

// The suites of all drivers that need nothing of their host, over a real gRPC
// connection and real sockets.

// loop returns the driver behind a connection; whoever opened it closes it.
func loop[D any](t drivertest.T, d D) D {
	t.Helper()
	remote, err := plugin.Loop(t.Context(), d, plugin.LoopOptions{})
	require.NoError(t, err)
	return remote
}

// closing has the driver closed at the test's end.
func closing[D interface{ Close() error }](t drivertest.T, d D) D {
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func TestFakeHypervisorPassesItsSuiteOverTheWire(t *testing.T) {
	defer goleak.VerifyNone(t)
	state, wires, peer := fakehypervisor.NewState(), fakehypervisor.NewWires(), fakehypervisor.NewState()
	open := func(t drivertest.T, name string, state *fakehypervisor.State) hypervisor.Driver {
		d, err := fakehypervisor.Open(fakehypervisor.Config{CloudID: "cloud", Name: name, State: state, Wires: wires, Host: hypervisor.Host{
			NUMA: []driver.NUMACell{{ID: 0, CPUs: []int{0, 1}, Dedicated: []int{2, 3}, MemoryMiB: 4096, Cores: map[int]int{2: 2, 3: 2}}, {ID: 1, CPUs: []int{4, 5}}},
			PCI:  []driver.PCIDevice{{Address: "0000:81:00.0", VendorID: "10de", ProductID: "1eb8"}},
		}})
		require.NoError(t, err)
		return loop[hypervisor.Driver](t, d)
	}
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver { return open(t, "host1", state) }, hypervisortest.Options{
		CloudID: "cloud", BootText: "nephos-guest: ready", Alive: true, Guests: 20, GuestAgent: true,
		Peer: func(t drivertest.T) hypervisor.Driver { return open(t, "host2", peer) },
		NIC: func(_ drivertest.T, _ int) driver.NIC {
			return driver.NIC{ID: "port", MAC: "02:00:00:00:00:01", Device: "tap0"}
		},
		PowerOff: func(t drivertest.T, id string) { require.NoError(t, state.PowerOff(id)) },
		Crash:    func(t drivertest.T, id string) { require.NoError(t, state.Crash(id)) },
	})
}

func TestAnExtensionPassesItsSuiteOverTheWire(t *testing.T) {
	defer goleak.VerifyNone(t)
	extensiontest.Run(t, func(drivertest.T) extension.Extension { return half{} }, extensiontest.Options{})
	extensiontest.Run(t, func(t drivertest.T) extension.Extension {
		e := loop[extension.Extension](t, half{})
		p, _ := plugin.Of(e)
		closing(t, p)
		return e
	}, extensiontest.Options{})
}

// half is an extension that keeps hosts empty.
type half struct{}

func (half) Ready(context.Context) error { return nil }

func (half) Judge(_ context.Context, req extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	out := make([]scheduler.Verdict, len(hosts))
	for i, h := range hosts {
		if free := h.Free["VCPU"] / 2; free < req.Resources["VCPU"] {
			out[i] = scheduler.Verdict{Reason: "would be more than half full", Class: "VCPU", Wanted: req.Resources["VCPU"], Free: max(free, 0)}
		}
	}
	return out, nil
}

func TestFakeNetworkPassesItsSuiteOverTheWire(t *testing.T) {
	defer goleak.VerifyNone(t)
	states := map[drivertest.T]*fakenetwork.State{}
	networktest.Run(t, func(t drivertest.T) network.Driver {
		if states[t] == nil {
			states[t] = fakenetwork.NewState(nil)
		}
		return loop[network.Driver](t, fakenetwork.Open(states[t], fakenetwork.Options{}))
	}, networktest.Options{Ports: 50})
}

func TestFakeControllerPassesItsSuiteOverTheWire(t *testing.T) {
	defer goleak.VerifyNone(t)
	states := map[drivertest.T]*fakenetwork.State{}
	networktest.RunController(t, func(t drivertest.T) network.Controller {
		if states[t] == nil {
			states[t] = fakenetwork.NewState(nil)
		}
		return loop[network.Controller](t, fakenetwork.OpenController(states[t], fakenetwork.ControllerOptions{Hosts: []string{"host1", "host2"}}))
	}, networktest.Options{Ports: 50})
}

func TestFakeVolumesPassTheirSuiteOverTheWire(t *testing.T) {
	defer goleak.VerifyNone(t)
	var states, images, behind sync.Map
	cluster := fakevolume.NewCluster()
	suite := func(abilities []string) []drivertest.Test {
		open := func(t drivertest.T, dir string) volume.Driver {
			state, _ := states.LoadOrStore(dir, &fakevolume.State{})
			d := closing(t, loop[volume.Driver](t, fakevolume.New(fakevolume.Config{
				State: state.(*fakevolume.State), FullReads: true, Cluster: cluster, Backend: dir, Abilities: abilities,
				Image: func(_ context.Context, location string) ([]byte, error) {
					if content, ok := images.Load(location); ok {
						return content.([]byte), nil
					}
					return nil, errors.ErrUnsupported
				},
			})))
			behind.Store(d, state)
			return d
		}
		return volumetest.Tests(open, volumetest.Options{
			Peer: open,
			Image: func(_ drivertest.T, _ volume.Driver, content []byte) volume.ImageLocation {
				images.Store("mem:///1", content)
				return volume.ImageLocation{Location: "mem:///1", Format: volume.FormatRaw, VirtualSize: int64(len(content))}
			},
			Write: func(t drivertest.T, d volume.Driver, c driver.Connection, offset int64, content []byte) {
				state, _ := behind.Load(d)
				require.NoError(t, state.(*fakevolume.State).Write(path.Base(c.Path), offset, content))
			},
		})
	}
	// Most tests read whole volumes if they can, gigabytes of them; the last ones
	// do.
	d := fakevolume.New(fakevolume.Config{})
	all, err := volume.AbilitiesOf(t.Context(), d)
	require.NoError(t, err)
	drivertest.Run(t, suite(slices.DeleteFunc(slices.Clone(all), func(a string) bool { return a == volume.AbilityImageReader })))
	drivertest.Run(t, named(suite(all), "ImageReader", "ImageWriterFails", "DiffExporter"))
}

// named are those of the tests.
func named(tests []drivertest.Test, names ...string) []drivertest.Test {
	return slices.DeleteFunc(tests, func(t drivertest.Test) bool { return !slices.Contains(names, t.Name) })
}

func TestVolumesWithoutAbilitiesPassTheirSuiteOverTheWire(t *testing.T) {
	var states sync.Map
	volumetest.Run(t, func(t drivertest.T, dir string) volume.Driver {
		state, _ := states.LoadOrStore(dir, &fakevolume.State{})
		return closing(t, loop[volume.Driver](t, fakevolume.New(fakevolume.Config{State: state.(*fakevolume.State), Abilities: []string{}})))
	}, volumetest.Options{})
}

// unread hides that volumes can be read: most tests read whole ones if they can.
type unread struct{ *volumefile.Driver }

func (u unread) Abilities(ctx context.Context) ([]string, error) {
	all, err := volume.AbilitiesOf(ctx, u.Driver)
	return slices.DeleteFunc(all, func(a string) bool { return a == volume.AbilityImageReader }), err
}

func TestFileVolumesPassTheirSuiteOverTheWire(t *testing.T) {
	suite := func(wrap func(*volumefile.Driver) volume.Driver) []drivertest.Test {
		return volumetest.Tests(func(t drivertest.T, dir string) volume.Driver {
			d, err := volumefile.Open(volumefile.Config{Dir: dir})
			require.NoError(t, err)
			return closing(t, loop(t, wrap(d)))
		}, volumetest.Options{})
	}
	drivertest.Run(t, suite(func(d *volumefile.Driver) volume.Driver { return unread{d} }))
	drivertest.Run(t, named(suite(func(d *volumefile.Driver) volume.Driver { return d }), "ImageReader"))
}

func TestFileBlobsPassTheirSuiteOverTheWire(t *testing.T) {
	blobtest.Run(t, func(t drivertest.T, dir string) blob.Driver {
		d, err := blobfile.Open(blobfile.Config{Dir: dir})
		require.NoError(t, err)
		return closing(t, loop[blob.Driver](t, d))
	}, blobtest.Options{})
}

func TestBlobsInMemoryPassTheirSuiteOverTheWire(t *testing.T) {
	defer goleak.VerifyNone(t)
	var states sync.Map
	blobtest.Run(t, func(t drivertest.T, dir string) blob.Driver {
		state, _ := states.LoadOrStore(dir, &mem.State{})
		return closing(t, loop[blob.Driver](t, mem.New(mem.Config{State: state.(*mem.State)})))
	}, blobtest.Options{})
}
