//go:build linux

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/hypervisors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/instanceactions"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/remoteconsoles"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/volumeattach"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const hostAddress = "172.24.6.1/24"

func needGuests(t *testing.T) {
	t.Helper()
	needE2E(t)
	if os.Geteuid() != 0 {
		t.Skip("not root: network namespaces are out of reach")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("no /dev/net/tun: taps are out of reach")
	}
	for _, tool := range []string{"apt-get", "qemu-system-x86_64", "qemu-img"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

// realCloud starts a cloud with the real drivers. When the test ends, also
// half-way, nothing of it is left.
func realCloud(t *testing.T) *cloud {
	t.Helper()
	top, err := os.MkdirTemp("", "nephos-e2e")
	require.NoError(t, err)
	dir := filepath.Join(top, "data")
	c := &cloud{t: t, dir: dir}
	t.Cleanup(func() {
		for _, pid := range c.guests() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		for _, name := range c.namespaces() {
			_ = unix.Unmount(name, unix.MNT_DETACH)
			_ = os.Remove(name)
		}
		require.NoError(t, os.RemoveAll(top))
	})
	return newCloud(t, dir, "-drivers", "real", "-external", hostAddress, "-log", "debug")
}

// namespaces returns the network namespaces that the cloud has.
func (c *cloud) namespaces() []string {
	id, err := os.ReadFile(filepath.Join(c.dir, "cloud-id"))
	if err != nil {
		return nil
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(string(id))))
	found, _ := filepath.Glob("/run/netns/np-" + hex.EncodeToString(sum[:4]) + "*")
	return found
}

// TestLives takes servers through their lives. Its parts build on one another.
func TestLives(t *testing.T) {
	needGuests(t)
	path := guestImage(t)
	c := realCloud(t)
	top := t
	part := func(name string, f func()) {
		top.Helper()
		ok := top.Run(name, func(t *testing.T) {
			c.t = t
			f()
		})
		c.t = top
		if !ok {
			top.FailNow()
		}
	}

	signer, key := newKey(t)
	_, err := keypairs.Create(t.Context(), c.compute, keypairs.CreateOpts{Name: "test", PublicKey: key}).Extract()
	require.NoError(t, err)
	var (
		image, flavor, one, two, three string
		fip, address, volume, copied   string
		net1                           lan
		note                           = "kept" // in root's home on the disk that is copied
		guest                          *login
	)
	in := func() []servers.Network { return []servers.Network{{UUID: net1.network}} }
	script := func(text string) []byte { return []byte("#!/bin/sh\n" + text + "\n") }
	enter := func() {
		guest = logIn(c.t, address, signer)
		top.Cleanup(func() { _ = guest.client.Close() })
	}

	part("boot", func() {
		image, flavor, net1 = c.upload("guest", path), c.flavor("test", 128), c.lan("lan", "10.20.0.0/24")
		one = c.boot(servers.CreateOpts{
			Name: "one", ImageRef: image, FlavorRef: flavor, Networks: in(), SecurityGroups: []string{"lan"},
			UserData: script("echo the user data of $(hostname) ran"), Metadata: map[string]string{"colour": "blue"},
		})
		c.awaitStatus(one, "ACTIVE")
		s := c.server(one)
		require.Equal(c.t, servers.PowerState(1), s.PowerState)
		require.Equal(c.t, "active", s.VmState)
		require.NotEmpty(c.t, s.HostID)
		log := c.awaitConsole(one, "nephos-guest: ready", 1)
		require.Contains(c.t, log, "nephos-guest: dhcp eth0 10.20.0.")
		require.Contains(c.t, log, "nephos-guest: metadata http")
		require.Contains(c.t, log, "nephos-guest: hostname one")
		require.Contains(c.t, log, "the user data of one")
		require.Contains(c.t, log, "nephos-guest: user-data done rc=0")
		c.awaitConsole(one, "login:", 1)
	})

	part("reach it through a floating IP", func() {
		fip, address = c.float(one, net1.public)
		enter()
		require.Contains(c.t, guest.run("ip route"), "default via 10.20.0.1")
		require.Contains(c.t, guest.run("cat /etc/resolv.conf"), "192.0.2.53")
		require.Contains(c.t, guest.run("wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json"), one)
		require.Contains(c.t, guest.run("wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json"), `"colour"`)
		require.Regexp(c.t, `^i-[0-9a-f]{8}$`, guest.run("wget -q -O - http://169.254.169.254/latest/meta-data/instance-id"))
		require.Equal(c.t, strings.Split(address, "/")[0], guest.run("wget -q -O - http://169.254.169.254/latest/meta-data/public-ipv4"))
		s := c.server(one)
		require.Contains(c.t, fmt.Sprint(s.Addresses), address)
		page, err := instanceactions.List(c.compute, one, nil).AllPages(c.t.Context())
		require.NoError(c.t, err)
		actions, err := instanceactions.ExtractInstanceActions(page)
		require.NoError(c.t, err)
		require.Len(c.t, actions, 1)
		require.Equal(c.t, "create", actions[0].Action)
	})

	part("drop what no rule allows", func() {
		guest.run("(while :; do echo here | nc -l -p 8080; done) </dev/null >/dev/null 2>&1 &")
		require.Equal(c.t, "silent", dial(address, "8080"))
		c.allow(net1.group, rules.CreateOpts{Protocol: rules.ProtocolTCP, PortRangeMin: 8080, PortRangeMax: 8080})
		c.await("the port's opening", func() (bool, error) { return dial(address, "8080") == "open", nil })
	})

	part("open its consoles", func() {
		serial := c.openConsole(one, remoteconsoles.ConsoleProtocolSerial, remoteconsoles.ConsoleTypeSerial)
		defer serial.Close()
		_, err := io.WriteString(serial, "root\n")
		require.NoError(c.t, err)
		c.readUntil(serial, "Password:")
		_, err = io.WriteString(serial, "nephos\n")
		require.NoError(c.t, err)
		c.readUntil(serial, "# ")
		_, err = io.WriteString(serial, "echo sum=$((6 * 7))=\n")
		require.NoError(c.t, err)
		c.readUntil(serial, "sum=42=")
		vnc := c.openConsole(one, remoteconsoles.ConsoleProtocolVNC, remoteconsoles.ConsoleTypeNoVNC)
		defer vnc.Close()
		c.readUntil(vnc, "RFB 003.008\n")
		_, err = io.WriteString(vnc, "RFB 003.008\n")
		require.NoError(c.t, err)
		c.readUntil(vnc, "\x01\x01") // one way to authenticate: none
	})

	part("keep data on a volume", func() {
		volume = c.makeVolume(volumes.CreateOpts{Name: "data"})
		a, err := volumeattach.Create(c.t.Context(), c.compute, one, volumeattach.CreateOpts{VolumeID: volume}).Extract()
		require.NoError(c.t, err)
		require.Equal(c.t, "/dev/vdb", a.Device)
		c.awaitVolume(volume, "in-use")
		disk := "/dev/disk/by-id/virtio-" + volume[:20]
		guest.run("n=0; until [ -b " + disk + " ]; do n=$((n+1)); [ $n -lt 300 ] || exit 1; sleep 0.1; done; " +
			"mkfs.ext4 -q " + disk + " && mount " + disk + " /mnt && echo precious >/mnt/note && umount /mnt")
		require.NoError(c.t, volumeattach.Delete(c.t.Context(), c.compute, one, volume).ExtractErr())
		c.awaitVolume(volume, "available")
		require.NotContains(c.t, guest.run("cat /proc/partitions"), "vdb")
	})

	part("pause it", func() {
		before := guest.run("cat /proc/uptime")
		require.NoError(c.t, servers.Pause(c.t.Context(), c.compute, one).ExtractErr())
		c.awaitStatus(one, "PAUSED")
		require.Equal(c.t, servers.PowerState(3), c.server(one).PowerState)
		require.Equal(c.t, "silent", dial(address, "22"))
		require.NoError(c.t, servers.Unpause(c.t.Context(), c.compute, one).ExtractErr())
		c.awaitStatus(one, "ACTIVE")
		require.NotEqual(c.t, before, guest.run("cat /proc/uptime"))
	})

	part("stop and start it", func() {
		guest.run("echo kept >/root/note")
		require.NoError(c.t, servers.Stop(c.t.Context(), c.compute, one).ExtractErr())
		c.awaitStatus(one, "SHUTOFF")
		require.Equal(c.t, servers.PowerState(4), c.server(one).PowerState)
		require.Empty(c.t, c.guests())
		require.NoError(c.t, servers.Start(c.t.Context(), c.compute, one).ExtractErr())
		c.awaitStatus(one, "ACTIVE")
		enter()
		require.Equal(c.t, "kept", guest.run("cat /root/note"))
	})

	part("reboot it softly and hard", func() {
		for i, how := range []servers.RebootMethod{servers.SoftReboot, servers.HardReboot} {
			before := guest.run("cat /proc/sys/kernel/random/boot_id; sync")
			require.NoError(c.t, servers.Reboot(c.t.Context(), c.compute, one, servers.RebootOpts{Type: how}).ExtractErr())
			c.awaitConsole(one, "nephos-guest: ready", 3+i)
			c.awaitStatus(one, "ACTIVE")
			enter()
			require.NotEqual(c.t, before, guest.run("cat /proc/sys/kernel/random/boot_id"))
			require.Equal(c.t, "kept", guest.run("cat /root/note"))
		}
		require.Equal(c.t, 1, strings.Count(c.consoleLog(one), "the user data of one"), "user data is for the first boot")
	})

	part("kill the cloud under it", func() {
		pids := c.guests()
		require.Len(c.t, pids, 1)
		boot := guest.run("cat /proc/sys/kernel/random/boot_id")
		c.kill()
		require.Equal(c.t, boot, guest.run("cat /proc/sys/kernel/random/boot_id"), "over the connection of before")
		c.start()
		require.Equal(c.t, pids, c.guests())
		c.awaitStatus(one, "ACTIVE")
		c.awaitConsole(one, "nephos-guest: ready", 4)
		require.Equal(c.t, boot, guest.run("cat /proc/sys/kernel/random/boot_id"))
		c.await("metadata", func() (bool, error) {
			return strings.Contains(guest.run("wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json || true"), one), nil
		})
	})

	part("copy it while it runs", func() {
		var err error
		copied, err = servers.CreateImage(c.t.Context(), c.compute, one, servers.CreateImageOpts{Name: "copy"}).ExtractImageID()
		if gophercloud.ResponseCodeIs(err, http.StatusNotImplemented) {
			copied, note = image, ""
			c.t.Skip("createImage is not built")
		}
		require.NoError(c.t, err)
		c.await("the image", func() (bool, error) {
			img, err := images.Get(c.t.Context(), c.image, copied).Extract()
			return err == nil && img.Status == images.ImageStatusActive, err
		})
		c.awaitStatus(one, "ACTIVE")
	})

	part("let it power itself off", func() {
		guest.run("(sleep 1; poweroff) >/dev/null 2>&1 &")
		c.awaitStatus(one, "SHUTOFF")
		require.Empty(c.t, c.guests())
	})

	part("boot from a config drive and from a volume", func() {
		yes := true
		two = c.boot(servers.CreateOpts{
			Name: "two", ImageRef: copied, FlavorRef: flavor, Networks: in(), ConfigDrive: &yes,
			UserData: script("mount /dev/disk/by-id/virtio-" + volume[:20] + " /mnt && echo the volume holds $(cat /mnt/note), the root $(cat /root/note)."),
			BlockDevice: []servers.BlockDevice{
				{SourceType: servers.SourceImage, DestinationType: servers.DestinationLocal, UUID: copied, BootIndex: 0, DeleteOnTermination: true},
				{SourceType: servers.SourceVolume, DestinationType: servers.DestinationVolume, UUID: volume, BootIndex: -1},
			},
		})
		three = c.boot(servers.CreateOpts{
			Name: "three", FlavorRef: flavor, Networks: in(), UserData: script("awk '$2 == \"/\" {print \"the root is on \" $1}' /proc/mounts"),
			BlockDevice: []servers.BlockDevice{{
				SourceType: servers.SourceImage, DestinationType: servers.DestinationVolume, UUID: image, BootIndex: 0, VolumeSize: 1, DeleteOnTermination: true,
			}},
		})
		c.awaitStatus(two, "ACTIVE")
		c.awaitStatus(three, "ACTIVE")
		require.Empty(c.t, c.server(three).Image)
		require.Len(c.t, c.server(three).AttachedVolumes, 1)
		log := c.awaitConsole(two, "nephos-guest: ready", 1)
		require.Contains(c.t, log, "nephos-guest: metadata config-drive")
		require.Contains(c.t, log, "the volume holds precious, the root "+note+".")
		log = c.awaitConsole(three, "nephos-guest: ready", 1)
		require.Contains(c.t, log, "nephos-guest: metadata http")
		require.Contains(c.t, log, "the root is on /dev/vda")
	})

	part("stop the cloud and start it again", func() {
		pids := c.guests()
		require.Len(c.t, pids, 2)
		c.stop()
		require.Equal(c.t, pids, c.guests())
		c.start()
		c.awaitStatus(one, "SHUTOFF")
		c.awaitStatus(two, "ACTIVE")
		c.awaitStatus(three, "ACTIVE")
		require.Equal(c.t, pids, c.guests())
	})

	part("delete everything", func() {
		ctx := c.t.Context()
		root := c.server(three).AttachedVolumes[0].ID
		c.deleteServers(one, two, three)
		require.Empty(c.t, c.guests())
		c.await("the end of the root volume", func() (bool, error) { return gone(volumes.Get(ctx, c.volume, root).Err) })
		c.awaitVolume(volume, "available")
		page, err := ports.List(c.network, ports.ListOpts{NetworkID: net1.network, DeviceOwner: "compute:nova"}).AllPages(ctx)
		require.NoError(c.t, err)
		left, err := ports.ExtractPorts(page)
		require.NoError(c.t, err)
		require.Empty(c.t, left)
		stats, err := hypervisors.GetStatistics(ctx, c.compute).Extract()
		require.NoError(c.t, err)
		require.Zero(c.t, stats.VCPUsUsed)

		require.NoError(c.t, floatingips.Delete(ctx, c.network, fip).ExtractErr())
		c.deleteLAN(net1)
		require.NoError(c.t, volumes.Delete(ctx, c.volume, volume, nil).ExtractErr())
		c.await("the end of the volume", func() (bool, error) { return gone(volumes.Get(ctx, c.volume, volume).Err) })
		require.NoError(c.t, images.Delete(ctx, c.image, image).ExtractErr())
		if copied != image {
			require.NoError(c.t, images.Delete(ctx, c.image, copied).ExtractErr())
		}
		c.await("the end of the namespaces", func() (bool, error) { return len(c.namespaces()) == 0, nil })
		addresses, err := net.InterfaceAddrs()
		require.NoError(c.t, err)
		for _, a := range addresses {
			require.NotEqual(c.t, hostAddress, a.String(), "the host's foot in the external network")
		}
		c.await("the end of the files", func() (bool, error) {
			for _, pattern := range []string{"guests/guests/*", "hosts/*/servers/*", "volumes/volumes/*", "volumes/attachments/*", "images/*/*"} {
				if found, _ := filepath.Glob(filepath.Join(c.dir, pattern)); len(found) > 0 {
					return false, nil
				}
			}
			return true, nil
		})
		c.stop()
	})
}
