//go:build libvirt

package libvirt_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// restlessSector is a boot sector that writes "nephos-boot" to the first serial
// port, as [serialSector] does, and then changes half a MiB of memory again and
// again.
func restlessSector() []byte {
	b := serialSector()
	copy(b[0x13:0x40], append([]byte{
		0xb8, 0x00, 0x10, // 13: mov ax,0x1000
		0x8e, 0xc0, // 16: mov es,ax
		0x31, 0xff, // xor di,di
		0xb9, 0x00, 0x80, // mov cx,0x8000
		0x50,       // push ax
		0x89, 0xd8, // mov ax,bx
		0x43,       // inc bx
		0xf3, 0xab, // rep stosw
		0x58,             // pop ax
		0x05, 0x00, 0x10, // add ax,0x1000
		0x3d, 0x00, 0x90, // cmp ax,0x9000
		0x72, 0xea, // jb 16
		0xeb, 0xe5, // jmp 13
	}, make([]byte, 0x40-0x13-28)...))
	return b
}

// TestPostCopy moves a guest that changes its memory while it travels: it goes on
// there before all of it has arrived.
func TestPostCopy(t *testing.T) {
	a, c := newBench(t, "one"), newBench(t, "two")
	wire(t, a.host, c.host)
	path := filepath.Join(a.dir, "restless.img") // both hosts reach it
	require.NoError(t, os.WriteFile(path, append(restlessSector(), make([]byte, 1<<20-512)...), 0o644))
	spec := a.spec()
	spec.Disks = []driver.Disk{{ID: "root", Source: driver.Connection{Type: "file", Path: path}, Format: "raw"}}
	a.run("g", spec)
	a.awaitBoot("g")
	target, err := c.d.PrepareMigration(t.Context(), "g", spec, hypervisor.PrepareOptions{Address: "172.31.255.2"})
	require.NoError(t, err)
	events, err := c.d.Events(t.Context())
	require.NoError(t, err)
	conn, err := virt.NewConnect(a.daemon.URI())
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = conn.Close() })
	switched := make(chan struct{})
	var once sync.Once
	id, err := conn.DomainEventLifecycleRegister(nil, func(_ *virt.Connect, _ *virt.Domain, e *virt.DomainEventLifecycle) {
		if e.Event == virt.DOMAIN_EVENT_SUSPENDED && virt.DomainEventSuspendedDetailType(e.Detail) == virt.DOMAIN_EVENT_SUSPENDED_POSTCOPY {
			once.Do(func() { close(switched) })
		}
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.DomainEventDeregister(id) })
	slow := hypervisor.MigrateOptions{BytesPerSecond: 1 << 20, MaxDowntime: time.Millisecond, PostCopy: true}
	require.NoError(t, a.d.Migrate(t.Context(), "g", target, slow))
	require.Eventually(t, func() bool {
		m, err := a.d.Migration(t.Context(), "g")
		require.NoError(t, err)
		require.NotEqual(t, hypervisor.MigrationFailed, m.Phase, m.Error)
		return m.Phase == hypervisor.MigrationCompleted
	}, time.Minute, 20*time.Millisecond)
	select {
	case <-switched:
	case <-time.After(time.Minute):
		require.Fail(t, "it had all of its memory before it went on")
	}
	require.False(t, await(t, events, "g", hypervisor.Running).Guest)
	require.Equal(t, hypervisor.Stopped, a.state("g"))
	require.Equal(t, hypervisor.Running, c.state("g"))
	require.NoError(t, a.d.Destroy(t.Context(), "g"))
	require.NoError(t, c.d.Stop(t.Context(), "g", hypervisor.StopOptions{}))
	require.NoError(t, c.d.Start(t.Context(), "g"), "it is an ordinary guest there")
	c.awaitBoot("g")
}
