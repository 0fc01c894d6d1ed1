package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/network/networktest"
	"github.com/nephos-cloud/nephos/driver/plugin"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/volumetest"
	"github.com/nephos-cloud/nephos/scheduler/extension"
	"github.com/nephos-cloud/nephos/scheduler/extension/extensiontest"
)

// open starts the plugin with the state that it has in the directory. Whoever
// closes what it returns kills the plugin.
func open[D any](c *config, t drivertest.T, dir string) D {
	t.Helper()
	for d := dir; strings.HasPrefix(d, c.dir+"/"); d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil {
			require.NoError(t, c.reachable(d))
		}
	}
	d, err := plugin.Launch[D](t.Context(), c.path, c.launch(dir))
	require.NoError(t, err)
	return d
}

// closing closes the driver at the test's end.
func closing[D io.Closer](t drivertest.T, d D) D {
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// handle is the plugin behind what open returned.
func handle(t drivertest.T, d any) *plugin.Plugin {
	t.Helper()
	p, ok := plugin.Of(d)
	require.True(t, ok)
	return p
}

// pluginTests are about the program, whatever its kind.
func (c *config) pluginTests(about plugin.Description) []drivertest.Test {
	return []drivertest.Test{
		{Name: "Abilities", Run: func(t drivertest.T) {
			require.Empty(t, about.Unknown, "abilities that the contract does not have")
		}},
		{Name: "Restart", Run: func(t drivertest.T) {
			switch about.Kind {
			case plugin.Hypervisor:
				restart(c, t, open[hypervisor.Driver])
			case plugin.Network:
				restart(c, t, open[network.Driver])
			case plugin.NetworkController:
				restart(c, t, open[network.Controller])
			case plugin.Volume:
				restart(c, t, open[volume.Driver])
			case plugin.Blob:
				restart(c, t, open[blob.Driver])
			case plugin.Scheduler:
				restart(c, t, open[extension.Extension])
			}
		}},
	}
}

// restart kills a plugin, which comes back with the same abilities.
func restart[D any](c *config, t drivertest.T, open func(*config, drivertest.T, string) D) {
	p := closing(t, handle(t, open(c, t, filepath.Join(t.TempDir(), "state"))))
	before, err := p.Describe()
	require.NoError(t, err)
	p.Kill()
	require.NoError(t, p.Await(t.Context()))
	after, err := p.Describe()
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Equal(t, 2, p.Starts())
}

// suite are the tests of the kind.
func (c *config) suite(kind string) []drivertest.Test {
	switch kind {
	case plugin.Hypervisor:
		return c.hypervisor()
	case plugin.Network:
		dirs := map[drivertest.T]string{}
		return networktest.Tests(func(t drivertest.T) network.Driver { return open[network.Driver](c, t, perTest(dirs, t)) }, c.networkOptions())
	case plugin.NetworkController:
		dirs := map[drivertest.T]string{}
		return networktest.ControllerTests(func(t drivertest.T) network.Controller {
			return open[network.Controller](c, t, perTest(dirs, t))
		}, c.networkOptions())
	case plugin.Volume:
		return c.volume()
	case plugin.Blob:
		return blobtest.Tests(func(t drivertest.T, dir string) blob.Driver {
			return closing(t, open[blob.Driver](c, t, dir))
		}, blobtest.Options{Kill: func(t drivertest.T, d blob.Driver) { require.NoError(t, d.Close()) }})
	case plugin.Scheduler:
		return extensiontest.Tests(func(t drivertest.T) extension.Extension {
			e := open[extension.Extension](c, t, filepath.Join(t.TempDir(), "state"))
			closing(t, handle(t, e))
			return e
		}, extensiontest.Options{Kill: func(t drivertest.T, e extension.Extension) { require.NoError(t, handle(t, e).Close()) }})
	default:
		return []drivertest.Test{{Name: "Suite", Run: func(t drivertest.T) { t.Skipf("there is no suite for the kind %s", kind) }}}
	}
}

// perTest is a directory that stays the same within a test.
func perTest(dirs map[drivertest.T]string, t drivertest.T) string {
	if dirs[t] == "" {
		dirs[t] = filepath.Join(t.TempDir(), "state")
	}
	return dirs[t]
}

func (c *config) networkOptions() networktest.Options {
	return networktest.Options{Segment: c.segment, External: c.external, Ports: c.ports}
}

// hypervisor tests one host: all tests share its state.
func (c *config) hypervisor() []drivertest.Test {
	o := hypervisortest.Options{
		CloudID: c.cloud, BootText: c.bootText, Alive: c.alive, GuestAgent: c.guestAgent,
		Guests: c.guests, Wait: c.wait, Grace: c.grace,
	}
	if c.base != nil {
		o.Spec = func(_ drivertest.T, spec *hypervisor.Spec) {
			for i := range spec.Disks {
				if spec.Disks[i].ID == "root" {
					spec.Disks[i].Base = c.base
				}
			}
		}
	}
	if c.peer {
		o.Peer = func(t drivertest.T) hypervisor.Driver {
			return open[hypervisor.Driver](c, t, filepath.Join(c.dir, "peer"))
		}
	}
	return hypervisortest.Tests(func(t drivertest.T) hypervisor.Driver {
		return open[hypervisor.Driver](c, t, filepath.Join(c.dir, "host"))
	}, o)
}

func (c *config) volume() []drivertest.Test {
	openPool := func(t drivertest.T, dir string) volume.Driver {
		return closing(t, open[volume.Driver](c, t, dir))
	}
	o := volumetest.Options{Kill: func(t drivertest.T, d volume.Driver) { require.NoError(t, d.Close()) }}
	if c.peer {
		o.Peer = openPool
	}
	if c.rawFiles {
		o.Write = func(t drivertest.T, _ volume.Driver, conn driver.Connection, offset int64, content []byte) {
			f, err := os.OpenFile(conn.Path, os.O_WRONLY, 0)
			require.NoError(t, err)
			defer f.Close()
			_, err = f.WriteAt(content, offset)
			require.NoError(t, err)
		}
	}
	return volumetest.Tests(openPool, o)
}
