package plugin

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inGuest runs the test in the guest, and ends it.
const inGuest = `#!/bin/sh
[ -e /sys/fs/cgroup ] || mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup &&
echo '+memory +pids +cpu' >/sys/fs/cgroup/cgroup.subtree_control &&
mkdir /sys/fs/cgroup/nephos &&
cd /test && NEPHOS_E2E= ` + cgroupEnv + `=/sys/fs/cgroup/nephos ./plugin.test -test.run '^TestControlGroup$' -test.v -test.timeout 5m
echo "guest's test ended with $?"
poweroff -f
`

// TestControlGroupInAGuest runs TestControlGroup as root of a machine of its own,
// whose kernel has cgroup2 with all controllers: Debian's, in the image of
// examples/guest.
func TestControlGroupInAGuest(t *testing.T) {
	if os.Getenv("NEPHOS_E2E") != "1" {
		t.Skip("NEPHOS_E2E=1 is not set: no guest is booted")
	}
	if os.Getuid() != 0 {
		t.Skip("not root: the guest's image cannot be built")
	}
	for _, tool := range []string{"apt-get", "qemu-system-x86_64", "qemu-img", "ldd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	dir := t.TempDir()
	image, root, luggage := filepath.Join(dir, "guest.qcow2"), filepath.Join(dir, "root.qcow2"), filepath.Join(dir, "test.tar")
	out, err := exec.Command("../../examples/guest/build", "-o", image).CombinedOutput()
	require.NoError(t, err, "building the guest: %s", out)
	out, err = exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, root, "1G").CombinedOutput()
	require.NoError(t, err, "%s", out)
	pack(t, luggage)

	cmd := exec.Command("qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-cpu", "qemu64", "-smp", "2", "-m", "768",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-blockdev", "driver=qcow2,node-name=root,file.driver=file,file.filename="+root,
		"-device", "virtio-blk-pci,drive=root,bootindex=1",
		"-blockdev", "driver=raw,node-name=luggage,read-only=on,file.driver=file,file.filename="+luggage,
		"-device", "virtio-blk-pci,drive=luggage,serial=luggage")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	console, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	over := time.AfterFunc(6*time.Minute, func() { _ = cmd.Process.Kill() })
	defer over.Stop()

	var said []byte
	expect := func(pattern string) string {
		t.Helper()
		re, chunk := regexp.MustCompile(pattern), make([]byte, 4096)
		for {
			if at := re.FindIndex(said); at != nil {
				found := string(said[:at[1]])
				said = said[at[1]:]
				return found
			}
			n, err := console.Read(chunk)
			said = append(said, chunk[:n]...)
			require.NoError(t, err, "waiting for %q, the guest said %s", pattern, said)
		}
	}
	enter := func(line string) {
		t.Helper()
		_, err := io.WriteString(in, line+"\n")
		require.NoError(t, err)
	}
	expect("nephos-guest: ready")
	enter("")
	expect("login: ")
	enter("root")
	expect("assword: ")
	enter("nephos")
	expect("# ")
	enter("tar -x -C / -f /dev/disk/by-id/virtio-luggage && sh /test/run")
	log := expect(`guest's test ended with \d+\r?\n`)
	require.Contains(t, log, "--- PASS: TestControlGroup/Leftovers", "%s", log)
	require.Contains(t, log, "guest's test ended with 0", "%s", log)
	require.NotContains(t, log, "--- SKIP")
	t.Log(log)
}

// pack makes an archive of this program, the libraries that it is linked with,
// and what runs it.
func pack(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	w := tar.NewWriter(f)
	add := func(name string, content []byte) {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: int64(len(content))}))
		_, err := w.Write(content)
		require.NoError(t, err)
	}
	program, err := os.ReadFile(self(t))
	require.NoError(t, err)
	add("test/plugin.test", program)
	add("test/run", []byte(inGuest))
	// It fails for a program that is linked statically.
	list, _ := exec.Command("ldd", self(t)).Output()
	for field := range bytes.FieldsSeq(list) {
		if name := string(field); filepath.IsAbs(name) && name != self(t)+":" {
			library, err := os.ReadFile(name)
			require.NoError(t, err)
			add(name, library)
		}
	}
	require.NoError(t, w.Close())
}
