package compute_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/reconcile"
)

// survive runs f and, when it ends in a crash, starts again what crashed.
func (c *testCloud) survive(f func()) (crashed bool) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		crash, ok := r.(reconcile.Crash)
		if !ok {
			if text, isText := r.(string); !isText || !strings.Contains(text, "crash at ") {
				panic(r)
			}
			crash.At = fmt.Sprint(r)
		}
		crashed = true
		for _, h := range c.hosts {
			if strings.HasPrefix(crash.At, h.name) {
				h.kill()
				h.start()
				return
			}
		}
		c.startController()
	}()
	f()
	return false
}

// walk runs the scenario once for each crash point that it passes, crashing
// there, and then checks how it ended.
func walk(t *testing.T, hosts int, setup func(*testCloud), scenario func(*testCloud), check func(*testCloud)) {
	run := func(t *testing.T, at int) (passed int, where string) {
		c := newCloud(t, hosts, nil)
		setup(c)
		c.crash = func(name string) {
			if passed++; passed == at {
				where = name
				panic(reconcile.Crash{At: name})
			}
		}
		c.survive(func() { scenario(c) })
		c.crash = nil
		c.settle()
		c.pass(70 * time.Second) // leases end
		check(c)
		return passed, where
	}
	total, _ := run(t, 0)
	require.Positive(t, total)
	for at := 1; at <= total; at++ {
		ok := t.Run(fmt.Sprint(at), func(t *testing.T) {
			_, where := run(t, at)
			t.Log("crashed at", where)
		})
		if !ok {
			return
		}
	}
}

func TestCrashWalkBoot(t *testing.T) {
	var id string
	walk(t, 2, func(c *testCloud) {}, func(c *testCloud) {
		id = c.boot(compute.BootRequest{}).ID
		c.settle()
	}, func(c *testCloud) {
		s := c.server(id)
		require.Equal(t, compute.Active, s.VMState, "%+v", s.Fault)
		guests := c.guests(id)
		require.Len(t, guests, 1, "no twin")
		require.Len(t, s.NICs, 1)
		require.NoError(t, c.service.DeleteServer(c.user(), id, false))
		c.settle()
		c.empty()
	})
}

func TestCrashWalkDelete(t *testing.T) {
	var id string
	walk(t, 2, func(c *testCloud) { id = c.running().ID }, func(c *testCloud) {
		require.NoError(t, c.service.DeleteServer(c.user(), id, false))
		c.settle()
	}, func(c *testCloud) {
		_, err := c.service.Server(c.user(), id)
		require.ErrorContains(t, err, "could not be found")
		c.empty()
	})
}

func TestCrashWalkInterface(t *testing.T) {
	var id string
	walk(t, 1, func(c *testCloud) { id = c.running().ID }, func(c *testCloud) {
		_, err := c.service.AttachInterface(c.user(), id, network.PortRequest{NetworkID: c.net.ID})
		require.NoError(t, err)
		c.settle()
		require.NoError(t, c.service.DetachInterface(c.user(), id, c.server(id).NICs[1].PortID))
		c.settle()
	}, func(c *testCloud) {
		s := c.server(id)
		require.Equal(t, compute.Active, s.VMState)
		for _, n := range s.NICs {
			require.Empty(t, n.State)
			require.NotEmpty(t, n.PortID)
		}
		require.Len(t, c.guests(id)[0].NICs, len(s.NICs))
		require.NoError(t, c.service.DeleteServer(c.user(), id, false))
		c.settle()
		c.empty()
	})
}

func TestCrashWalkVolume(t *testing.T) {
	var id, vol string
	walk(t, 1, func(c *testCloud) { id, vol = c.running().ID, c.volume(false).ID }, func(c *testCloud) {
		_, err := c.service.AttachVolume(c.user(), id, compute.AttachRequest{VolumeID: vol})
		require.NoError(t, err)
		c.settle()
		require.NoError(t, c.service.DetachVolume(c.user(), id, vol))
		c.settle()
	}, func(c *testCloud) {
		s := c.server(id)
		require.Equal(t, compute.Active, s.VMState)
		require.Len(t, c.guests(id)[0].Disks, 1+len(s.Disks))
		status := c.volumeNow(vol).Status
		if len(s.Disks) == 1 {
			require.Equal(t, blockstorage.InUse, status)
		} else {
			require.Equal(t, blockstorage.Available, status)
		}
		require.NoError(t, c.service.DeleteServer(c.user(), id, false))
		c.settle()
		require.Equal(t, blockstorage.Available, c.volumeNow(vol).Status)
		require.Empty(t, c.volst.Attachments(vol))
		c.empty()
	})
}

func TestCrashWalkBootFromVolume(t *testing.T) {
	var id string
	wait := func(c *testCloud) {
		for range 3 {
			c.settle()
			c.clock.advance(timeStep)
		}
		c.settle()
	}
	walk(t, 2, func(c *testCloud) {}, func(c *testCloud) {
		zero := 0
		id = c.boot(compute.BootRequest{Disks: []compute.DiskRequest{{
			Source: "image", SourceID: c.images.id, Destination: "volume", BootIndex: &zero, SizeGiB: 1, DeleteOnTermination: true,
		}}}).ID
		wait(c)
	}, func(c *testCloud) {
		wait(c)
		s := c.server(id)
		require.Equal(t, compute.Active, s.VMState, "%+v", s.Fault)
		require.Len(t, c.guests(id), 1)
		require.NoError(t, c.service.DeleteServer(c.user(), id, false))
		wait(c)
		c.empty()
		n, err := c.db.Reader().NewSelect().Table("blockstorage_volumes").Where("status <> 'deleted'").Count(t.Context())
		require.NoError(t, err)
		require.Zero(t, n)
	})
}
