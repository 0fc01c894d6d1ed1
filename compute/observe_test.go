package compute_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	fakehv "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

func TestNoValidHostSaysWhy(t *testing.T) {
	c := newCloud(t, 2, nil)
	s := c.boot(compute.BootRequest{FlavorID: c.flavor(1, 50000, 1)})
	c.settle()
	s = c.server(s.ID)
	require.Equal(t, compute.Errored, s.VMState)
	require.Equal(t, 500, s.Fault.Code)
	require.True(t, strings.HasPrefix(s.Fault.Message, "No valid host was found. "), s.Fault.Message)
	require.Contains(t, s.Fault.Message, "lack memory")
	actions, _, err := c.service.ListActions(c.user(), s.ID, compute.ActionFilter{}, page())
	require.NoError(t, err)
	require.Equal(t, "Error", *actions[0].Message)
	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	c.settle()
	c.empty()
}

func TestAHostThatCannotIsLeftForAnother(t *testing.T) {
	c := newCloud(t, 2, nil)
	for _, h := range c.hosts {
		h.faults.Add(fakehv.Fault{Method: "Start", Err: nephos.ErrInvalid, Count: 1})
	}
	c.host("host-1").faults.Clear()
	c.host("host-2").faults.Clear()
	// Whichever host is first, it fails for good.
	first := ""
	c.crash = func(name string) {
		if first == "" && strings.HasSuffix(name, "agent before server") {
			first = strings.Fields(name)[0]
			c.host(first).faults.Add(fakehv.Fault{Method: "Start", Err: nephos.ErrInvalid, Count: -1})
		}
	}
	s := c.running()
	require.NotEqual(t, first, s.Host)
	require.Len(t, c.guests(s.ID), 1)
	claims, err := c.claims.Claims(t.Context(), first)
	require.NoError(t, err)
	require.Empty(t, claims)
	require.Len(t, s.NICs, 1)
	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	c.settle()
	c.empty()
}

func TestABuildThatFailsEverywhereEndsInErrorAndHoldsNothing(t *testing.T) {
	c := newCloud(t, 3, nil)
	for _, h := range c.hosts {
		h.faults.Add(fakehv.Fault{Method: "Start", Err: errors.New("no power"), Count: -1})
	}
	s := c.boot(compute.BootRequest{})
	c.settle()
	for range 20 {
		c.pass(10 * time.Second)
	}
	s = c.server(s.ID)
	require.Equal(t, compute.Errored, s.VMState)
	require.Contains(t, s.Fault.Message, "Exceeded maximum number of retries")
	require.Empty(t, s.Zone, "it is nowhere, and nobody asked for a zone")
	require.Contains(t, s.Fault.Details, "no power")
	require.Empty(t, s.Host)
	for _, h := range c.hosts {
		claims, err := c.claims.Claims(t.Context(), h.name)
		require.NoError(t, err)
		require.Empty(t, claims)
	}
	require.Empty(t, c.guests(s.ID))
	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	c.settle()
	c.empty()
}

func TestABuildHasADeadline(t *testing.T) {
	c := newCloud(t, 1, nil)
	c.hosts[0].kill()
	s := c.boot(compute.BootRequest{})
	c.settle()
	require.Equal(t, compute.TaskSpawning, c.server(s.ID).TaskState)
	c.pass(15 * time.Minute)
	s = c.server(s.ID)
	require.Equal(t, compute.Errored, s.VMState)
	require.Contains(t, s.Fault.Message, "aborted")
	c.hosts[0].start()
	c.settle()
	c.pass(time.Minute)
	require.Empty(t, c.guests(s.ID), "the host hears of the tombstone when it is back")
	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	c.settle()
	c.empty()
}

func TestAGuestThatStopsByItselfStaysOff(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	h := c.hosts[0]
	h.kill()
	require.NoError(t, h.hvst.PowerOff(s.ID))
	h.start()
	c.settle()
	s = c.server(s.ID)
	require.Equal(t, compute.Stopped, s.VMState)
	require.Equal(t, compute.PowerShutdown, s.PowerState)
	h.hvst.RebootHost()
	h.kill()
	h.start()
	c.settle()
	require.Equal(t, compute.Stopped, c.server(s.ID).VMState, "also after its host's reboot")
	require.NoError(t, c.service.StartServer(c.user(), s.ID))
	c.settle()
	require.Equal(t, compute.Active, c.server(s.ID).VMState)
	h.hvst.RebootHost()
	h.kill()
	h.start()
	c.settle()
	require.Equal(t, compute.Active, c.server(s.ID).VMState, "what should run is started again")
}

func TestAnEmptiedBusDestroysNothing(t *testing.T) {
	c := newCloud(t, 2, nil)
	s := c.running()
	c.bus.Empty()
	c.settle()
	require.Equal(t, compute.Active, c.server(s.ID).VMState)
	require.Len(t, c.guests(s.ID), 1)
	require.NoError(t, c.service.StopServer(c.user(), s.ID))
	c.bus.Empty()
	c.settle()
	c.bus.Empty()
	c.pass(time.Minute)
	require.Equal(t, compute.Stopped, c.server(s.ID).VMState)
}

func TestDeleteWithItsHostDown(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	c.hosts[0].kill()
	c.pass(2 * time.Minute)
	require.Equal(t, "UNKNOWN", c.server(s.ID).HostStatus)
	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	c.settle()
	_, err := c.service.Server(c.user(), s.ID)
	require.ErrorIs(t, err, nephos.ErrNotFound)
	require.Len(t, c.guests(s.ID), 1, "it is still there")
	c.hosts[0].start()
	c.settle()
	c.pass(time.Minute)
	c.empty()
}

func TestADownHostTakesNoServers(t *testing.T) {
	c := newCloud(t, 2, nil)
	c.host("host-1").kill()
	c.pass(2 * time.Minute)
	for range 3 {
		require.Equal(t, "host-2", c.running().Host)
	}
}

func TestAnActionOfASilentHostEndsAndIsDoneLater(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	c.hosts[0].kill()
	require.NoError(t, c.service.StopServer(c.user(), s.ID))
	c.pass(5 * time.Minute)
	require.Empty(t, c.server(s.ID).TaskState)
	actions, _, err := c.service.ListActions(c.user(), s.ID, compute.ActionFilter{}, page())
	require.NoError(t, err)
	require.Equal(t, "stop", actions[0].Action)
	require.Equal(t, "Error", *actions[0].Message)
	c.hosts[0].start()
	c.settle()
	require.Equal(t, compute.Stopped, c.server(s.ID).VMState)
}

func TestAnActionThatFailsIsTakenBack(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	c.hosts[0].faults.Add(fakehv.Fault{Method: "Pause", Err: nephos.ErrInvalid, Count: -1})
	require.NoError(t, c.service.PauseServer(c.user(), s.ID))
	c.settle()
	s = c.server(s.ID)
	require.Equal(t, compute.Active, s.VMState)
	require.Empty(t, s.TaskState)
	require.NoError(t, c.service.StopServer(c.user(), s.ID))
	c.settle()
	require.Equal(t, compute.Stopped, c.server(s.ID).VMState)
}

func TestALockedServer(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	require.NoError(t, c.service.LockServer(c.user(), s.ID, "mine"))
	require.Equal(t, "mine", c.server(s.ID).LockedReason)
	err := c.service.StopServer(c.user(), s.ID)
	require.ErrorIs(t, err, nephos.ErrConflict)
	require.EqualError(t, err, "Instance "+s.ID+" is locked")
	require.ErrorIs(t, c.service.DeleteServer(c.user(), s.ID, false), nephos.ErrConflict)
	require.NoError(t, c.service.StopServer(c.admin(), s.ID))
	c.settle()
	require.NoError(t, c.service.UnlockServer(c.user(), s.ID))
	require.NoError(t, c.service.LockServer(c.admin(), s.ID, ""))
	require.ErrorIs(t, c.service.UnlockServer(c.user(), s.ID), nephos.ErrForbidden)
	require.NoError(t, c.service.UnlockServer(c.admin(), s.ID))
}

func TestTheSameKeyBootsOnce(t *testing.T) {
	c := newCloud(t, 1, nil)
	flavor := c.flavor(1, 64, 1)
	req := compute.BootRequest{Name: "one", ImageID: c.images.id, FlavorID: flavor}
	ctx := nephos.WithIdempotency(c.user(), nephos.Idempotency{Key: "k", Digest: "d"})
	first, err := c.service.Boot(ctx, req)
	require.NoError(t, err)
	again, err := c.service.Boot(ctx, req)
	require.NoError(t, err)
	require.Equal(t, first[0].ID, again[0].ID)
	require.Equal(t, first[0].AdminPass, again[0].AdminPass)
	_, err = c.service.Boot(nephos.WithIdempotency(c.user(), nephos.Idempotency{Key: "k", Digest: "e"}), req)
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

// What a first request took is no reason to refuse the second of the same key.
func TestTheSameKeyAttachesOnce(t *testing.T) {
	c := newCloud(t, 1, nil)
	keyed := func(key string) context.Context {
		return nephos.WithIdempotency(c.user(), nephos.Idempotency{Key: key, Digest: key})
	}
	root := c.volume(true)
	zero := 0
	req := compute.BootRequest{Name: "one", FlavorID: c.flavor(1, 64, 1), Disks: []compute.DiskRequest{
		{Source: "volume", SourceID: root.ID, Destination: "volume", BootIndex: &zero},
	}}
	first, err := c.service.Boot(keyed("boot"), req)
	require.NoError(t, err)
	c.settle()
	again, err := c.service.Boot(keyed("boot"), req)
	require.NoError(t, err)
	require.Equal(t, first[0].ID, again[0].ID)

	s, v := c.running(), c.volume(false)
	disk, err := c.service.AttachVolume(keyed("volume"), s.ID, compute.AttachRequest{VolumeID: v.ID})
	require.NoError(t, err)
	c.settle()
	same, err := c.service.AttachVolume(keyed("volume"), s.ID, compute.AttachRequest{VolumeID: v.ID})
	require.NoError(t, err)
	require.Equal(t, disk.ID, same.ID)
	require.Equal(t, disk.AttachmentID, same.AttachmentID)
	require.NoError(t, c.service.DetachVolume(c.user(), s.ID, v.ID))
	c.settle()
	_, err = c.service.AttachVolume(keyed("volume"), s.ID, compute.AttachRequest{VolumeID: v.ID})
	require.ErrorIs(t, err, nephos.ErrNotFound)

	before, err := c.service.ListInterfaces(c.user(), s.ID)
	require.NoError(t, err)
	card, err := c.service.AttachInterface(keyed("card"), s.ID, network.PortRequest{NetworkID: c.net.ID})
	require.NoError(t, err)
	c.settle()
	twin, err := c.service.AttachInterface(keyed("card"), s.ID, network.PortRequest{NetworkID: c.net.ID})
	require.NoError(t, err)
	require.Equal(t, card.PortID, twin.PortID)
	nics, err := c.service.ListInterfaces(c.user(), s.ID)
	require.NoError(t, err)
	require.Len(t, nics, len(before)+1)
	other, err := c.service.AttachInterface(keyed("another card"), s.ID, network.PortRequest{NetworkID: c.net.ID})
	require.NoError(t, err)
	require.NotEqual(t, card.PortID, other.PortID)

	image, err := c.service.CreateServerImage(keyed("image"), s.ID, "copy", nil)
	require.NoError(t, err)
	for range 2 { // while it is made, and after
		same, err := c.service.CreateServerImage(keyed("image"), s.ID, "copy", nil)
		require.NoError(t, err)
		require.Equal(t, image, same)
		c.settle()
	}
}

func TestBothDatabases(t *testing.T) {
	clock := newClock()
	storetest.Each(t, clock, migrations(), func(t *testing.T, db *store.DB) {
		c := newCloudOn(t, db, clock, 2, nil)
		flavor := c.flavor(1, 64, 1)
		list, err := c.service.Boot(c.user(), compute.BootRequest{Name: "n", ImageID: c.images.id, FlavorID: flavor, MinCount: 1, MaxCount: 3, Tags: []string{"t"}})
		require.NoError(t, err)
		require.Len(t, list, 3)
		c.settle()
		deleted := false
		for _, f := range []compute.ServerFilter{
			{Name: "n-"},
			{Name: "^n-[0-9]$"},
			{IP: "10\\."},
			{VMStates: []string{compute.Active}},
			{Tags: []string{"t"}},
			{TagsAny: []string{"x", "t"}},
			{NotTags: []string{"x"}},
			{NotTagsAny: []string{"x"}},
			{Deleted: &deleted},
			{Exact: map[string]string{"image": c.images.id, "power_state": "1"}},
		} {
			servers, more, err := c.service.ListServers(c.user(), f, page())
			require.NoError(t, err)
			require.Len(t, servers, 3, "%+v", f)
			require.False(t, more)
		}
		none, _, err := c.service.ListServers(c.user(), compute.ServerFilter{Tags: []string{"x"}}, page())
		require.NoError(t, err)
		require.Empty(t, none)
		var names []string
		p := nephos.Page{Limit: 1, Sort: []nephos.SortKey{{Key: "display_name"}}}
		for {
			one, more, err := c.service.ListServers(c.user(), compute.ServerFilter{}, p)
			require.NoError(t, err)
			names = append(names, one[0].Name)
			if !more {
				break
			}
			p.Marker = one[0].ID
		}
		require.Equal(t, []string{"n-1", "n-2", "n-3"}, names)
		for key := range map[string]bool{"launched_at": true, "terminated_at": true, "display_description": true, "locked": true} {
			p := nephos.Page{Limit: 2, Sort: []nephos.SortKey{{Key: key, Desc: true}}}
			one, _, err := c.service.ListServers(c.user(), compute.ServerFilter{}, p)
			require.NoError(t, err)
			p.Marker = one[1].ID
			two, _, err := c.service.ListServers(c.user(), compute.ServerFilter{}, p)
			require.NoError(t, err)
			require.Len(t, two, 1, key)
		}
		for _, s := range list {
			require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
		}
		c.settle()
		c.empty()
	})
}

func TestListsTakeAConstantNumberOfQueries(t *testing.T) {
	c := newCloud(t, 2, nil)
	count := func() int64 {
		ctx, n := store.CountQueries(c.user())
		_, _, err := c.service.ListServers(ctx, compute.ServerFilter{Disks: true, HostStatus: true}, page())
		require.NoError(t, err)
		return n.Load()
	}
	c.running()
	few := count()
	for range 5 {
		c.running()
	}
	require.Equal(t, few, count())
	require.LessOrEqual(t, few, int64(5))
}
