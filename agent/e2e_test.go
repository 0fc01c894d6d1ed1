//go:build linux

package agent_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/volume"
	volumefile "github.com/nephos-cloud/nephos/driver/volume/file"
)

// needReal skips where real guests are not wanted or not possible.
func needReal(t *testing.T) {
	t.Helper()
	if os.Getenv("NEPHOS_E2E") != "1" {
		t.Skip("NEPHOS_E2E is not 1: the test boots guests")
	}
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

// guestImage builds the guest, or takes it from the cache.
func guestImage(t *testing.T) []byte {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	path := filepath.Join(cache, "nephos", "guest.qcow2")
	out, err := exec.Command("../examples/guest/build", "-o", path).CombinedOutput()
	require.NoError(t, err, "building the guest: %s", out)
	image, err := os.ReadFile(path)
	require.NoError(t, err)
	return image
}

// realDir returns a folder too deep for the addresses of unix sockets, which
// is removed, namespaces and guests too, when the test ends.
func realDir(t *testing.T) string {
	t.Helper()
	top, err := os.MkdirTemp("", "nephos-agent")
	require.NoError(t, err)
	dir := filepath.Join(top, strings.Repeat("deep", 20), "data")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	t.Cleanup(func() {
		for _, pid := range guestProcesses(t, dir) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		names, _ := filepath.Glob(filepath.Join(dir, "netns", "*"))
		for _, name := range names {
			_ = unix.Unmount(name, unix.MNT_DETACH)
		}
		require.NoError(t, os.RemoveAll(top))
	})
	return dir
}

// guestProcesses returns the guests' processes: those that hold a file open in
// the folder, but for the host's own.
func guestProcesses(t *testing.T, dir string) []int {
	t.Helper()
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	require.NoError(t, err)
	var pids []int
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil || !strings.HasPrefix(to, filepath.Join(dir, "guests", "guests")+"/") {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(fd, "/")[2])
		require.NoError(t, err)
		name, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
		if strings.HasPrefix(string(name), "qemu-system") && (len(pids) == 0 || pids[len(pids)-1] != pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func metadataFiles(t *testing.T, id, host, key, userData string) map[string][]byte {
	t.Helper()
	meta, err := json.Marshal(map[string]any{
		"uuid": id, "name": host, "hostname": host + ".novalocal", "public_keys": map[string]string{"mine": key}, "launch_index": 0,
	})
	require.NoError(t, err)
	return map[string][]byte{
		"openstack/latest/meta_data.json": meta, "openstack/latest/user_data": []byte(userData),
		"ec2/latest/meta-data/instance-id": []byte("i-1"), "latest/meta-data/instance-id": []byte("i-1"),
	}
}

func port(n int, mac string, ip string) network.Port {
	return network.Port{
		Revision: 1, NetworkID: "net", MAC: mac, AdminUp: true, PortSecurity: true, SecurityGroups: []string{"group"},
		Addresses: []network.Address{{SubnetID: "sub", IP: netip.MustParseAddr(ip)}}, Hostname: "host-" + strconv.Itoa(n),
	}
}

func groupWith(revision int64, ports ...int) network.SecurityGroup {
	g := network.SecurityGroup{Revision: revision, Stateful: true, Rules: []network.Rule{
		{ID: "out", Direction: "egress"}, {ID: "ping", Direction: "ingress", Protocol: "icmp"},
	}}
	for _, p := range ports {
		g.Rules = append(g.Rules, network.Rule{ID: strconv.Itoa(p), Direction: "ingress", Protocol: "tcp", PortMin: &p, PortMax: &p})
	}
	return g
}

const floating = "172.24.5.20"

// networkObjects are a network that is routed to the external network, with
// ports 1 and 2, the first of which has a floating IP.
func networkObjects(t *testing.T) []driver.Object {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	return []driver.Object{
		object(t, driver.KindNetwork, "ext", 1, network.Network{
			Revision: 1, Name: "ext", MTU: 1500, External: true, Segment: network.Segment{Type: "flat", Physical: "public"},
			Subnets: []network.Subnet{{ID: "extsub", CIDR: prefix("172.24.5.0/24"), Gateway: addr("172.24.5.1")}},
		}),
		object(t, driver.KindNetwork, "net", 1, network.Network{
			Revision: 1, Name: "net", MTU: 1450, Segment: network.Segment{Type: "vxlan", ID: 7},
			Subnets: []network.Subnet{{
				ID: "sub", CIDR: prefix("10.7.0.0/24"), Gateway: addr("10.7.0.1"), DHCP: true, DNS: []netip.Addr{addr("192.0.2.53")},
			}},
		}),
		object(t, driver.KindSecurityGroup, "group", 1, groupWith(1, 22)),
		object(t, driver.KindPort, "port1", 1, port(1, "fa:16:3e:00:00:01", "10.7.0.5")),
		object(t, driver.KindPort, "port2", 1, port(2, "fa:16:3e:00:00:02", "10.7.0.6")),
		object(t, driver.KindRouter, "router", 1, network.Router{
			Revision: 1, Name: "router", AdminUp: true,
			Interfaces: []network.RouterInterface{{PortID: "leg", NetworkID: "net", MAC: "fa:16:3e:00:01:01", Addresses: []netip.Prefix{prefix("10.7.0.1/24")}}},
			Gateway: &network.RouterGateway{
				RouterInterface: network.RouterInterface{PortID: "gw", NetworkID: "ext", MAC: "fa:16:3e:00:01:02", Addresses: []netip.Prefix{prefix("172.24.5.10/24")}},
				NextHops:        []netip.Addr{addr("172.24.5.1")}, SNAT: true,
			},
			FloatingIPs: []network.FloatingIP{{ID: "fip", External: addr(floating), Fixed: addr("10.7.0.5")}},
		}),
	}
}

// login is an ssh connection to a guest.
type login struct {
	t      *testing.T
	client *ssh.Client
}

func logIn(t *testing.T, address string, signer ssh.Signer) *login {
	t.Helper()
	var client *ssh.Client
	require.Eventually(t, func() (ok bool) {
		var err error
		client, err = ssh.Dial("tcp", net.JoinHostPort(address, "22"), &ssh.ClientConfig{
			User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second,
		})
		return err == nil
	}, patience, 200*time.Millisecond, "ssh to %s", address)
	t.Cleanup(func() { _ = client.Close() })
	return &login{t, client}
}

func (l *login) run(command string) string {
	l.t.Helper()
	session, err := l.client.NewSession()
	require.NoError(l.t, err)
	defer session.Close()
	out, err := session.CombinedOutput(command)
	require.NoError(l.t, err, "%s: %s", command, out)
	return strings.TrimSpace(string(out))
}

func reachable(port string) error {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(floating, port), 1500*time.Millisecond)
	if err == nil {
		c.Close()
	}
	return err
}

// TestRealGuests takes two guests through their lives on a real host whose
// agent is killed on the way.
func TestRealGuests(t *testing.T) {
	needReal(t)
	image := guestImage(t)
	copied := filepath.Join(t.TempDir(), "copy.qcow2")
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, errors.Join(err, os.WriteFile(copied, body, 0o600)))
			return
		}
		_, _ = w.Write(image)
	}))
	t.Cleanup(served.Close)
	sum := sha512.Sum512(image)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	authorized := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))

	dir := realDir(t)
	h := startRealHost(t, dir)
	server := func(name, portID, mac, userData string) hypervisor.Server {
		return hypervisor.Server{
			Spec: hypervisor.Spec{Name: name, VCPUs: 1, MemoryMiB: 128, Disks: []driver.Disk{{
				ID: "root", Source: driver.Connection{Type: "local"}, Format: "qcow2", SizeBytes: 1 << 30, BootIndex: 0,
			}}},
			Image: &hypervisor.ImageSource{ID: "img", URL: served.URL, Format: "qcow2", Digest: hex.EncodeToString(sum[:]), Size: int64(len(image))},
			Power: hypervisor.PowerOn, Generation: 1, Ports: []hypervisor.PortRef{{ID: portID, MAC: mac, MTU: 1450}},
			Files: metadataFiles(t, name, name, authorized, userData),
		}
	}
	one := server("one", "port1", "fa:16:3e:00:00:01", "#!/bin/sh\necho the user data of $(hostname) ran\n")

	// It boots, and finds its address and its metadata on the network.
	start := time.Now()
	h.put(append([]driver.Object{object(t, driver.KindServer, "one", 1, one)}, networkObjects(t)...)...)
	t.Logf("running after %s", time.Since(start).Round(time.Millisecond))
	h.awaitConsole("one", "nephos-guest: ready", 1)
	t.Logf("ready after %s", time.Since(start).Round(time.Millisecond))
	log := h.consoleLog("one")
	for _, line := range []string{
		"nephos-guest: dhcp eth0 10.7.0.5/24", "nephos-guest: metadata http", "nephos-guest: hostname one.novalocal",
		"the user data of one.novalocal ran", "nephos-guest: user-data done rc=0",
	} {
		require.Contains(t, log, line)
	}
	h.awaitMoments("one", "image", "network", "defined", "running", "dhcp", "metadata")
	h.awaitState("one", hypervisor.Running)

	// It is reached through its floating IP, by what the group allows.
	guest := logIn(t, floating, signer)
	require.Equal(t, "one.novalocal", guest.run("hostname"))
	require.Equal(t, "1450", guest.run("cat /sys/class/net/eth0/mtu"))
	require.Contains(t, guest.run("ip route"), "default via 10.7.0.1")
	require.Contains(t, guest.run("cat /etc/resolv.conf"), "192.0.2.53")
	require.Equal(t, "i-1", guest.run("wget -q -O - http://169.254.169.254/latest/meta-data/instance-id"))
	guest.run("(while :; do echo here | nc -l -p 8080; done) </dev/null >/dev/null 2>&1 &")
	var timeout net.Error
	require.ErrorAs(t, reachable("8080"), &timeout)
	require.True(t, timeout.Timeout(), "a closed port answers nothing")
	h.put(object(t, driver.KindSecurityGroup, "group", 2, groupWith(2, 22, 8080)))
	require.NoError(t, reachable("8080"))

	// The serial console can be typed at.
	h.awaitConsole("one", "login:", 1)
	h.typeAt("one", "root\n", "Password:")
	h.typeAt("one", "nephos\n", "# ")
	require.Contains(t, h.typeAt("one", "echo sum=$((6 * 7))=\n", "sum=42="), "sum=42=")

	// A killed agent is missed by nobody: connections go on, and the next one
	// has hold of all.
	pids := guestProcesses(t, dir)
	require.Len(t, pids, 1)
	h.restart()
	h.awaitState("one", hypervisor.Running)
	require.Equal(t, pids, guestProcesses(t, dir))
	require.Equal(t, "one.novalocal", guest.run("hostname"), "over the connection of before")
	h.awaitConsole("one", "nephos-guest: ready", 1)
	require.Equal(t, "i-1", guest.run("wget -q -O - http://169.254.169.254/latest/meta-data/instance-id"))
	require.Contains(t, h.typeAt("one", "echo sum=$((6 * 9))=\n", "sum=54="), "sum=54=")

	// A volume is plugged into it.
	volumes, err := volumefile.Open(volumefile.Config{CloudID: realCloud, Dir: filepath.Join(dir, "volumes")})
	require.NoError(t, err)
	defer volumes.Close()
	const volumeID = "0e1a2b3c-4d5e-6f70-8192-a3b4c5d6e7f8"
	require.NoError(t, volumes.Create(t.Context(), volumeID, volume.Spec{SizeGiB: 1}))
	connect := func(attachment string) driver.Disk {
		c, err := volumes.Connect(t.Context(), volumeID, volume.Connector{AttachmentID: attachment, Host: "host"})
		require.NoError(t, err)
		return driver.Disk{ID: volumeID, Source: c, Format: "raw", Serial: volumeID[:20], BootIndex: -1}
	}
	plain := one.Spec.Disks
	one.Spec.Disks = append(plain[:1:1], connect("first"))
	h.put(object(t, driver.KindServer, "one", 2, one))
	const byID = "/dev/disk/by-id/virtio-" + "0e1a2b3c-4d5e-6f70-8"
	guest.run("n=0; until [ -b " + byID + " ]; do n=$((n+1)); [ $n -lt 300 ] || exit 1; sleep 0.1; done; " +
		"mkfs.ext4 -q " + byID + " && mount " + byID + " /mnt && echo precious >/mnt/note && umount /mnt && echo kept >/root/note && sync")
	one.Spec.Disks = plain
	h.put(object(t, driver.KindServer, "one", 3, one))
	require.NotContains(t, guest.run("cat /proc/partitions"), "vdb")
	require.NoError(t, volumes.Disconnect(t.Context(), volumeID, volume.Connector{AttachmentID: "first", Host: "host"}))

	// A copy of its disk is taken while it runs.
	var taken driver.SnapshotAnswer
	for !taken.Done {
		q := driver.SnapshotQuestion{ID: "one", Disk: "root", URL: served.URL + "/copy"}
		require.NoError(t, json.Unmarshal(h.order(order{Question: driver.AskSnapshot, In: q}), &taken))
	}
	info, err := exec.Command("qemu-img", "info", "-f", "qcow2", copied).CombinedOutput()
	require.NoError(t, err, "%s", info)
	require.Contains(t, string(info), "virtual size: 1 GiB")
	require.NotContains(t, string(info), "backing file")

	// It powers itself off: that is reported, and respected.
	guest.run("(sleep 1; poweroff) >/dev/null 2>&1 &")
	h.awaitState("one", hypervisor.Stopped)
	require.Empty(t, guestProcesses(t, dir))
	h.restart()
	h.awaitState("one", hypervisor.Stopped)
	require.Empty(t, guestProcesses(t, dir))
	one.Generation = 2
	h.put(object(t, driver.KindServer, "one", 4, one))
	h.awaitConsole("one", "nephos-guest: ready", 2)
	guest = logIn(t, floating, signer)
	require.Equal(t, "kept", guest.run("cat /root/note"))
	require.Equal(t, 1, strings.Count(h.consoleLog("one"), "the user data of one.novalocal ran"), "user data is for the first boot")

	// Another guest reads the volume, and its metadata from a config drive.
	two := server("two", "port2", "fa:16:3e:00:00:02", "#!/bin/sh\nmount "+byID+" /mnt && echo the volume holds $(cat /mnt/note)\n")
	two.ConfigDrive = true
	two.Spec.Disks = append(two.Spec.Disks, connect("second"))
	h.put(object(t, driver.KindServer, "two", 1, two))
	h.awaitConsole("two", "nephos-guest: ready", 1)
	log = h.consoleLog("two")
	for _, line := range []string{
		"nephos-guest: dhcp eth0 10.7.0.6/24", "nephos-guest: metadata config-drive", "nephos-guest: hostname two.novalocal", "the volume holds precious",
	} {
		require.Contains(t, log, line)
	}
	h.awaitConsole("two", "login:", 1)
	h.typeAt("two", "root\n", "Password:")
	h.typeAt("two", "nephos\n", "# ")
	out := h.typeAt("two", "mount -r -t iso9660 /dev/sr0 /mnt; find /mnt/* -type f; echo done=$((1+1))=\n", "done=2=")
	require.Contains(t, out, "/openstack/latest/meta_data.json")
	require.Contains(t, out, "/ec2/latest/meta-data/instance-id")
	label, err := exec.Command("blkid", "-o", "value", "-s", "LABEL", filepath.Join(dir, "agent", "servers", "two", "config.iso")).Output()
	require.NoError(t, err)
	require.Equal(t, "config-2\n", string(label))

	// Paused, it stands still.
	two.Power, two.Generation = hypervisor.PowerPaused, 2
	h.put(object(t, driver.KindServer, "two", 2, two))
	h.awaitState("two", hypervisor.Paused)
	two.Power, two.Generation = hypervisor.PowerOn, 3
	h.put(object(t, driver.KindServer, "two", 3, two))
	h.awaitState("two", hypervisor.Running)

	// Tombstones leave nothing.
	gone := func(kind driver.Kind, id string) driver.Object {
		return driver.Object{Kind: kind, ID: id, Revision: 10, Deleted: true}
	}
	h.put(gone(driver.KindServer, "one"), gone(driver.KindServer, "two"))
	require.Empty(t, guestProcesses(t, dir))
	h.put(
		gone(driver.KindRouter, "router"), gone(driver.KindPort, "port1"), gone(driver.KindPort, "port2"),
		gone(driver.KindSecurityGroup, "group"), gone(driver.KindNetwork, "net"), gone(driver.KindNetwork, "ext"),
	)
	for _, kept := range []string{"guests/guests", "agent/servers", "netns"} {
		left, err := os.ReadDir(filepath.Join(dir, kept))
		require.NoError(t, err)
		require.Empty(t, left, kept)
	}
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addresses {
		require.NotEqual(t, hostExternal, a.String(), "the host's foot in the external network")
	}
}
