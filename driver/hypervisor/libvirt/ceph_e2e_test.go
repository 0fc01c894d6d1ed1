//go:build libvirt && ceph

package libvirt_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gorbd "github.com/ceph/go-ceph/rbd"
	"github.com/stretchr/testify/require"
	virt "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/qemu"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
	"github.com/nephos-cloud/nephos/driver/internal/cephtest"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/rbd"
)

// TestGuestsOnCeph boots guests with an operating system from volumes of the
// driver rbd, has them write to volumes that they were started with and that
// were plugged while they ran, moves them to another host while they run, and
// reads the bytes back by librbd: with libvirt, and with QEMU alone. One cluster
// serves both.
func TestGuestsOnCeph(t *testing.T) {
	e2e(t)
	if _, err := os.Stat("/usr/lib/x86_64-linux-gnu/qemu/block-rbd.so"); err != nil {
		t.Skip("QEMU has no block driver rbd (Debian: qemu-block-extra)")
	}
	p := newPool(t)
	t.Run("Libvirt", func(t *testing.T) {
		t.Parallel()
		p.carries(t, "l", ofLibvirt(t, "one", p.key), ofLibvirt(t, "two", p.key))
	})
	t.Run("QEMU", func(t *testing.T) {
		t.Parallel()
		p.carries(t, "q", ofQEMU(t, p.key), ofQEMU(t, p.key))
	})
}

// site is a host of guests. Open looks at what is open to see there, while so
// many volumes are in use.
type site struct {
	d    hypervisor.Driver
	open func(volumes int)
}

func ofLibvirt(t *testing.T, name, key string) site {
	b := benchOn(t, newHostHere(t, name))
	conn, err := virt.NewConnect(b.daemon.URI())
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = conn.Close() })
	return site{b.d, func(volumes int) { secretsOf(t, conn, b, key, volumes) }}
}

func ofQEMU(t *testing.T, key string) site {
	dir := shared(t)
	d, err := qemu.Open(t.Context(), qemu.Config{CloudID: "test", Dir: filepath.Join(dir, "q"), Accel: "tcg"})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, d.Destroy(context.Background(), "g"))
		require.NoError(t, d.Close())
	})
	// This driver keeps the key where only root reads it, for the next start.
	kept := filepath.Join(dir, "q", "guests", "g", "secrets.json")
	return site{d, func(volumes int) {
		notIn(t, dir, key, kept)
		info, err := os.Stat(kept)
		if volumes == 0 {
			require.ErrorIs(t, err, fs.ErrNotExist)
			return
		}
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	}}
}

// pool is a pool of volumes in a cluster of the test's, an image to boot, and
// the key that guests' hosts use, which has no more rights than the volume
// driver's documentation asks for.
type pool struct {
	volumes *rbd.Driver
	raw     *ceph.Pool
	image   string
	key     string
}

func newPool(t *testing.T) *pool {
	c := cephtest.Start(t)
	c.Pool(t, "volumes")
	p := &pool{image: os.Getenv("NEPHOS_GUEST_IMAGE")}
	p.key = strings.TrimSpace(c.Ceph(t, "auth", "get-or-create-key", "client.guests", "mon", "profile rbd", "osd", "profile rbd pool=volumes"))
	require.NotEmpty(t, p.key)
	if p.image == "" {
		p.image = filepath.Join(shared(t), "guest.qcow2")
		out, err := exec.Command("../../../examples/guest/build", "-o", p.image).CombinedOutput()
		require.NoError(t, err, "building the guest: %s", out)
	}
	var err error
	p.volumes, err = rbd.Open(t.Context(), rbd.Config{
		CloudID: "test", Monitors: []string{c.Monitors}, User: c.User, Key: c.Key, GuestUser: "guests", GuestKey: p.key,
		Pool: "volumes", Scratch: filepath.Join(shared(t), "scratch"),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.volumes.Close()) })
	p.raw, err = ceph.Open(t.Context(), ceph.Config{Monitors: []string{c.Monitors}, User: c.User, Key: c.Key, Pool: "volumes", Timeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(p.raw.Close)
	return p
}

func attached(id string) volume.Connector {
	return volume.Connector{AttachmentID: "a-" + id, Host: "one"}
}

// disk makes a volume, of the image if the guest is to boot from it, and
// connects it.
func (p *pool) disk(t *testing.T, id string, boot bool) driver.Disk {
	t.Helper()
	disk := driver.Disk{ID: id, Serial: id, Format: "raw", BootIndex: -1}
	if boot {
		f, err := os.Open(p.image)
		require.NoError(t, err)
		defer f.Close()
		require.NoError(t, p.volumes.CreateFromImage(t.Context(), id, volume.Spec{SizeGiB: 1}, volume.Image{Body: f, Format: volume.FormatQCOW2, Size: -1}))
		disk.BootIndex = 0
	} else {
		require.NoError(t, p.volumes.Create(t.Context(), id, volume.Spec{SizeGiB: 1}))
	}
	var err error
	disk.Source, err = p.volumes.Connect(t.Context(), id, attached(id))
	require.NoError(t, err)
	require.Equal(t, "rbd", disk.Source.Type)
	return disk
}

// holds reads a volume by librbd and looks for a text at an offset; -1 looks
// everywhere.
func (p *pool) holds(t *testing.T, id string, at int64, text string) {
	t.Helper()
	im, err := gorbd.OpenImageReadOnly(p.raw.IO, "volume-"+id, gorbd.NoSnapshot)
	require.NoError(t, err)
	defer im.Close()
	size, err := im.GetSize()
	require.NoError(t, err)
	if at >= 0 {
		b := make([]byte, len(text))
		_, err = im.ReadAt(b, at)
		require.NoError(t, err)
		require.Equal(t, text, string(b))
		return
	}
	found := false // the guest's file system has it within a block
	require.NoError(t, im.DiffIterate(gorbd.DiffIterateConfig{Length: size, Callback: func(offset, length uint64, exists int, _ any) int {
		b := make([]byte, length)
		if _, err := im.ReadAt(b, int64(offset)); err != nil {
			return -5
		}
		found = found || bytes.Contains(b, []byte(text))
		return 0
	}}))
	require.True(t, found, "the volume %s has it", id)
}

// away disconnects a volume and deletes it, which nobody may have open then.
func (p *pool) away(t *testing.T, id string) {
	t.Helper()
	for _, c := range []volume.Connector{attached(id), {AttachmentID: "b-" + id, Host: "two"}} {
		require.NoError(t, p.volumes.Disconnect(t.Context(), id, c))
	}
	require.NoError(t, p.volumes.Delete(t.Context(), id))
}

// carries runs a guest on volumes whose names begin with prefix, and moves it.
func (p *pool) carries(t *testing.T, prefix string, here, there site) {
	const root, cold, hot = "-root", "-cold", "-hot"
	ctx, d := t.Context(), here.d
	spec := hypervisor.Spec{CloudID: "test", Name: "n", VCPUs: 1, MemoryMiB: 128, Disks: []driver.Disk{
		p.disk(t, prefix+root, true), p.disk(t, prefix+cold, false),
	}}
	require.NoError(t, d.Ensure(ctx, "g", spec))
	require.NoError(t, d.Start(ctx, "g"))
	console := newTerminal(t, d, "g")
	here.open(2)
	none := spec.Disks[1]
	none.ID, none.Serial, none.Source.Options = "none", "none", maps.Clone(none.Source.Options)
	none.Source.Options["image"] = "volume-none"
	plugs := spec
	plugs.Disks = append(slices.Clone(spec.Disks), none)
	require.Error(t, d.Ensure(ctx, "g", plugs), "there is no such image")
	here.open(2)

	spec.Disks = append(spec.Disks, p.disk(t, prefix+hot, false))
	require.NoError(t, d.Ensure(ctx, "g", spec))
	here.open(3)
	console.login()
	write := func(id, text string) {
		t.Helper()
		console.run(fmt.Sprintf("until [ -b /dev/disk/by-id/virtio-%s ]; do sleep 0.2; done; "+
			"echo %s | dd of=/dev/disk/by-id/virtio-%[1]s conv=fsync 2>/dev/null", id, text))
	}
	write(prefix+cold, "written before it moved")
	write(prefix+hot, "written to what was plugged")
	console.run("echo written to root by the guest with $((40+2)) >/etc/kept; sync")

	spec.Disks = spec.Disks[:2]
	require.NoError(t, d.Ensure(ctx, "g", spec), "the guest lets go of it")
	here.open(2)
	console.run("[ ! -e /dev/disk/by-id/virtio-" + prefix + hot + " ]")
	p.holds(t, prefix+hot, 0, "written to what was plugged\n")
	p.holds(t, prefix+cold, 0, "written before it moved\n")
	p.away(t, prefix+hot)

	p.move(t, spec, here, there)
	d = there.d
	console.c.Close()
	console = newTerminal(t, d, "g")
	write(prefix+cold, "written after it moved")
	require.NoError(t, console.c.Close())
	require.NoError(t, d.Stop(ctx, "g", hypervisor.StopOptions{}))
	p.holds(t, prefix+cold, 0, "written after it moved\n")
	p.holds(t, prefix+root, -1, "written to root by the guest with 42\n")
	require.NoError(t, d.Destroy(ctx, "g"))
	there.open(0)
	p.away(t, prefix+cold)
	p.away(t, prefix+root)
}

// move moves the guest to another host, which opens the same volumes with the
// key that it is given.
func (p *pool) move(t *testing.T, spec hypervisor.Spec, here, there site) {
	t.Helper()
	from, to, ctx := here.d.(hypervisor.LiveMigrator), there.d.(hypervisor.LiveMigrator), t.Context()
	info, err := there.d.Info(ctx)
	require.NoError(t, err)
	check, err := from.CheckMigration(ctx, "g", info)
	require.NoError(t, err)
	require.Empty(t, check.CopyDisks, "both hosts reach them")
	for _, disk := range spec.Disks {
		_, err := p.volumes.Connect(ctx, disk.ID, volume.Connector{AttachmentID: "b-" + disk.ID, Host: "two"})
		require.NoError(t, err)
	}
	target, err := to.PrepareMigration(ctx, "g", spec, hypervisor.PrepareOptions{Address: "127.0.0.1"})
	require.NoError(t, err)
	require.NoError(t, from.Migrate(ctx, "g", target, hypervisor.MigrateOptions{}))
	var m hypervisor.Migration
	require.Eventually(t, func() bool {
		m, err = from.Migration(ctx, "g")
		return err != nil || m.Phase != hypervisor.MigrationActive
	}, 2*time.Minute, 20*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, hypervisor.MigrationCompleted, m.Phase, m.Error)
	require.Eventually(t, func() bool {
		g, err := there.d.Get(ctx, "g")
		return err == nil && g.State == hypervisor.Running
	}, time.Minute, 20*time.Millisecond)
	require.NoError(t, here.d.Destroy(ctx, "g"))
	here.open(0)
	there.open(2)
	for _, disk := range spec.Disks {
		require.NoError(t, p.volumes.Disconnect(ctx, disk.ID, attached(disk.ID)))
	}
}

// terminal is a guest's serial port.
type terminal struct {
	t    *testing.T
	c    io.ReadWriteCloser
	said []byte // and not yet consumed
	asks int
}

func newTerminal(t *testing.T, d hypervisor.Driver, id string) *terminal {
	t.Helper()
	c, err := d.(hypervisor.Consoler).Console(t.Context(), id, hypervisor.Serial)
	require.NoError(t, err)
	return &terminal{t: t, c: c}
}

func (x *terminal) expect(text string) {
	x.t.Helper()
	over := time.AfterFunc(2*time.Minute, func() { _ = x.c.Close() })
	defer over.Stop()
	chunk := make([]byte, 4096)
	for {
		if _, after, ok := bytes.Cut(x.said, []byte(text)); ok {
			x.said = after
			return
		}
		n, err := x.c.Read(chunk)
		x.said = append(x.said, chunk[:n]...)
		require.NoError(x.t, err, "waiting for %q, the guest said %q", text, x.said)
	}
}

func (x *terminal) enter(line string) {
	x.t.Helper()
	_, err := x.c.Write([]byte(line + "\n"))
	require.NoError(x.t, err)
}

func (x *terminal) login() {
	x.t.Helper()
	x.expect("nephos-guest: ready")
	x.enter("")
	x.expect("login: ")
	x.enter("root")
	x.expect("assword: ")
	x.enter("nephos")
	x.expect("# ")
}

// run runs a command in the guest, which must succeed.
func (x *terminal) run(command string) {
	x.t.Helper()
	x.asks++
	x.enter(fmt.Sprintf("{ %s\n} && echo well''-%d", command, x.asks))
	x.expect(fmt.Sprintf("well-%d", x.asks))
}

// secretsOf looks for so many secrets in libvirt, which only its memory has.
func secretsOf(t *testing.T, conn *virt.Connect, b *bench, key string, want int) {
	t.Helper()
	secrets, err := conn.ListAllSecrets(0)
	require.NoError(t, err)
	require.Len(t, secrets, want, "one for each volume in use")
	for i := range secrets {
		text, err := secrets[i].GetXMLDesc(0)
		require.NoError(t, err)
		x := libvirtxml.Secret{}
		require.NoError(t, x.Unmarshal(text))
		require.Equal(t, "yes", x.Ephemeral)
		require.Equal(t, "yes", x.Private)
		_, err = secrets[i].GetValue(0)
		require.Error(t, err, "nobody can read it back")
		require.NoError(t, secrets[i].Free())
	}
	domains, err := conn.ListAllDomains(0)
	require.NoError(t, err)
	for i := range domains {
		for _, flags := range []virt.DomainXMLFlags{0, virt.DOMAIN_XML_SECURE, virt.DOMAIN_XML_SECURE | virt.DOMAIN_XML_INACTIVE} {
			text, err := domains[i].GetXMLDesc(flags)
			require.NoError(t, err)
			require.Contains(t, text, "protocol='rbd'")
			require.NotContains(t, text, key)
		}
		require.NoError(t, domains[i].Free())
	}
	notIn(t, b.host.dir, key)
	notIn(t, b.dir, key)
}

// notIn looks for a key, or the bytes that it stands for, in all files below a
// directory but those, and for the key where whoever lists processes reads it.
func notIn(t *testing.T, dir, key string, but ...string) {
	t.Helper()
	value, err := base64.StdEncoding.DecodeString(key)
	require.NoError(t, err)
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range commands {
		command, _ := os.ReadFile(path) // its process may have ended
		require.False(t, bytes.Contains(command, []byte(key)), "%s has the key", path)
	}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || slices.Contains(but, path) {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		require.False(t, bytes.Contains(content, []byte(key)) || bytes.Contains(content, value), "%s has the key", path)
		return nil
	}))
}
