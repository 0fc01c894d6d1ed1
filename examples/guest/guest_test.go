package guest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// forwardEnv, when set, makes this program a pipe between its standard streams
// and that address: QEMU starts it for each connection of the guest to the
// metadata service's address.
const forwardEnv = "NEPHOS_GUEST_FORWARD"

func TestMain(m *testing.M) {
	address := os.Getenv(forwardEnv)
	if address == "" {
		os.Exit(m.Run())
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() { _, _ = io.Copy(conn, os.Stdin) }()
	_, _ = io.Copy(os.Stdout, conn)
}

// buildImage returns the guest's image, built or from the cache.
func buildImage(t *testing.T) string {
	t.Helper()
	if os.Getenv("NEPHOS_E2E") != "1" {
		t.Skip("boots a guest: set NEPHOS_E2E=1 to run it")
	}
	if os.Geteuid() != 0 {
		t.Skip("the image's build must run as root")
	}
	for _, tool := range []string{"apt-get", "qemu-system-x86_64", "qemu-img"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing", tool)
		}
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	image := filepath.Join(t.TempDir(), "guest.qcow2")
	cmd := exec.Command("./build", "-c", filepath.Join(cache, "nephos", "guest"), "-o", image)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	require.NoError(t, cmd.Run(), "building the image")
	return image
}

// instance is what the guest is told about itself.
type instance struct {
	id, hostname, key, userData string
}

func (i instance) metadata(t *testing.T) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"uuid":        i.id,
		"name":        "a \"name\"\n",
		"hostname":    i.hostname,
		"meta":        map[string]string{"hostname": "wrong", "/hostname": "wrong"},
		"public_keys": map[string]string{"mine & yours": i.key},
		"devices":     []any{},
	})
	require.NoError(t, err)
	return b
}

// folder writes the files of a config drive.
func (i instance) folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	latest := filepath.Join(dir, "openstack", "latest")
	require.NoError(t, os.MkdirAll(latest, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(latest, "meta_data.json"), i.metadata(t), 0o644))
	if i.userData != "" {
		require.NoError(t, os.WriteFile(filepath.Join(latest, "user_data"), []byte(i.userData), 0o644))
	}
	return dir
}

// iso makes a config drive as Nova does by default.
func (i instance) iso(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.iso")
	args := []string{"-quiet", "-J", "-R", "-V", "config-2", "-o", file, i.folder(t)}
	if _, err := exec.LookPath("genisoimage"); err == nil {
		run(t, "genisoimage", args...)
	} else if _, err := exec.LookPath("xorriso"); err == nil {
		run(t, "xorriso", append([]string{"-as", "mkisofs"}, args...)...)
	} else {
		t.Skip("genisoimage and xorriso are missing")
	}
	return file
}

// vfat makes a config drive as Nova does with config_drive_format=vfat.
func (i instance) vfat(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("mformat"); err != nil {
		t.Skip("mformat (package mtools) is missing")
	}
	file := filepath.Join(t.TempDir(), "config.vfat")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.NoError(t, os.Truncate(file, 4<<20))
	run(t, "mformat", "-i", file, "-v", "config-2", "::")
	run(t, "mcopy", "-s", "-i", file, filepath.Join(i.folder(t), "openstack"), "::")
	return file
}

func TestConfigDrive(t *testing.T) {
	image := buildImage(t)
	drive := instance{
		id: "6a7b", hostname: "one.novalocal",
		userData: "#!/bin/bash\necho kilobytes=$(df -k / | awk 'END {print $2}')=\nprintf unended\nexit 3\n",
	}.iso(t)
	m := boot(t, image, nil,
		"-drive", "if=ide,media=cdrom,format=raw,readonly=on,file="+drive)
	m.expectLine("metadata config-drive")
	m.expectLine("hostname one.novalocal")
	kilobytes, err := strconv.Atoi(m.expect(`kilobytes=(\d+)=`)[1])
	require.NoError(t, err)
	require.Greater(t, kilobytes, 900<<10, "the root file system did not grow to the disk of 1 GiB")
	m.expectLine("user-data done rc=3")
	m.expectLine("ready")

	m.expect(`one\.novalocal login: `)
	m.enter("root")
	m.expect(`Password: `)
	m.enter("nephos")
	m.expect(`root@one.*# `)
	m.enter("echo sum=$((6 * 7))=")
	m.expect(`sum=42=`)

	m.execute("system_powerdown", nil)
	m.expectOff()
}

func TestConfigDriveVFAT(t *testing.T) {
	image := buildImage(t)
	drive := instance{id: "8c9d", hostname: "two", userData: "#cloud-config\n"}.vfat(t)
	m := boot(t, image, nil,
		"-blockdev", "driver=raw,node-name=config,read-only=on,file.driver=file,file.filename="+drive,
		"-device", "virtio-blk-pci,drive=config")
	m.expectLine("metadata config-drive")
	m.expectLine("hostname two")
	m.expectLine("user-data ignored: cloud-config")
	m.expectLine("ready")
	m.execute("system_powerdown", nil)
	m.expectOff()
}

// TestNoMetadata boots a guest that nobody tells anything.
func TestNoMetadata(t *testing.T) {
	m := boot(t, buildImage(t), nil)
	m.expectLine("metadata none")
	m.expectLine("hostname nephos-guest")
	require.NotContains(t, m.expect(`(?s)^.*?nephos-guest: ready\r?\n`)[0], "user-data")
	m.expect(`nephos-guest login: `)
}

// TestNetwork boots a guest whose only source of metadata is the network:
// QEMU's own, which reaches nothing but this test.
func TestNetwork(t *testing.T) {
	image := buildImage(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	told := instance{
		id: "e0f1", hostname: "three",
		key: string(ssh.MarshalAuthorizedKey(key)), userData: "#!/bin/sh\necho hello\n",
	}
	files := http.NewServeMux()
	files.HandleFunc("GET /openstack/latest/meta_data.json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(told.metadata(t))
	})
	files.HandleFunc("GET /openstack/latest/user_data", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, told.userData)
	})
	service := httptest.NewServer(files)
	t.Cleanup(service.Close)

	sshAddress := freeAddress(t)
	self, err := os.Executable()
	require.NoError(t, err)
	m := boot(t, image, []string{forwardEnv + "=" + service.Listener.Addr().String()},
		"-netdev", "user,id=net0,restrict=on,net=169.254.0.0/16,dhcpstart=169.254.0.15"+
			",guestfwd=tcp:169.254.169.254:80-cmd:"+self+
			",hostfwd=tcp:"+sshAddress+"-:22",
		"-device", "virtio-net-pci,netdev=net0")
	m.expectLine("dhcp eth0 169.254.0.15/16")
	m.expectLine("metadata http")
	m.expectLine("hostname three")
	m.expectLine("user-data done rc=0")
	m.expectLine("ready")

	_, err = ssh.Dial("tcp", sshAddress, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.Password("nephos")},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: timeout,
	})
	require.ErrorContains(t, err, "unable to authenticate", "a password opened the guest")

	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	shell := func(script string) string {
		t.Helper()
		client, err := ssh.Dial("tcp", sshAddress, &ssh.ClientConfig{
			User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
			HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: timeout,
		})
		require.NoError(t, err)
		defer client.Close()
		session, err := client.NewSession()
		require.NoError(t, err)
		out, err := session.CombinedOutput(script)
		require.NoError(t, err, "%s", out)
		return strings.TrimSpace(string(out))
	}
	require.Equal(t, "three", shell("hostname"))

	// A disk and a NIC that come while the guest runs.
	disk := filepath.Join(t.TempDir(), "disk.raw")
	require.NoError(t, os.WriteFile(disk, nil, 0o644))
	require.NoError(t, os.Truncate(disk, 64<<20))
	m.execute("blockdev-add", map[string]any{
		"driver": "raw", "node-name": "data",
		"file": map[string]any{"driver": "file", "filename": disk},
	})
	m.execute("device_add", map[string]any{
		"driver": "virtio-blk-pci", "drive": "data", "id": "vdb", "serial": "0123456789abcdef0123",
	})
	require.Equal(t, "kept /dev/vdb", shell(`set -e
		disk=/dev/disk/by-id/virtio-0123456789abcdef0123
		tries=0
		until [ -b $disk ] || [ $tries -gt 300 ]; do tries=$((tries + 1)); sleep 0.1; done
		mkfs.ext4 -q $disk
		mount $disk /mnt
		echo kept >/mnt/file
		umount /mnt
		mount -t ext4 /dev/vdb /mnt
		echo $(cat /mnt/file) $(readlink -f $disk)
		umount /mnt`))
	m.execute("netdev_add", map[string]any{"type": "user", "id": "net1", "restrict": true, "net": "10.9.0.0/24"})
	m.execute("device_add", map[string]any{"driver": "virtio-net-pci", "netdev": "net1", "id": "eth1"})
	m.expectLine("dhcp eth1 10.9.0.15/24")

	// The user data was for the first boot of this instance only; the keys stay.
	told.hostname = "four"
	shell("(sleep 1; reboot) >/dev/null 2>&1 &")
	m.expectLine("dhcp eth0 169.254.0.15/16")
	m.expectLine("hostname four")
	require.NotContains(t, m.expect(`(?s)^.*?nephos-guest: ready\r?\n`)[0], "user-data")
	require.Equal(t, "four", shell("hostname"))
	shell("(sleep 1; poweroff) >/dev/null 2>&1 &")
	m.expectOff()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
