package file

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/volume"
)

const killDir = "NEPHOS_TEST_KILL_DIR"

// TestMain has the test binary be the victim of TestKill when asked to.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		victim(dir)
	}
	if dir := os.Getenv(nbdVictim); dir != "" {
		playNBDVictim(dir)
	}
	os.Exit(m.Run())
}

// victim makes volumes until it is killed, and says of each that it is done.
func victim(dir string) {
	d, err := Open(Config{Dir: dir, CloudID: "cloud1"})
	if err != nil {
		panic(err)
	}
	ctx, spec := context.Background(), volume.Spec{SizeGiB: 1}
	for i := 0; ; i++ {
		blank, image, snap := fmt.Sprintf("b%d", i), fmt.Sprintf("i%d", i), fmt.Sprintf("s%d", i)
		if err := d.Create(ctx, blank, spec); err != nil {
			panic(err)
		}
		fmt.Println(blank)
		body := volume.Image{Body: io.LimitReader(ones{}, 3<<20), Format: volume.FormatRaw, Size: 3 << 20, VirtualSize: 3 << 20}
		if err := d.CreateFromImage(ctx, image, spec, body); err != nil {
			panic(err)
		}
		fmt.Println(image)
		if err := d.CreateSnapshot(ctx, image, snap); err != nil {
			panic(err)
		}
		if _, err := d.Connect(ctx, blank, volume.Connector{AttachmentID: "a", Host: "h"}); err != nil {
			panic(err)
		}
		fmt.Println(image + "@" + snap)
	}
}

// TestKill kills a process in the midst of its work: what it said is there, and
// what is there is whole.
func TestKill(t *testing.T) {
	for _, lines := range []int{1, 5, 12} {
		dir := t.TempDir()
		exe, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		var said []string
		sc := bufio.NewScanner(out)
		for len(said) < lines && sc.Scan() {
			said = append(said, sc.Text())
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		require.Len(t, said, lines)

		d := open(t, Config{Dir: dir})
		entries, err := os.ReadDir(d.dir("tmp"))
		require.NoError(t, err)
		require.Empty(t, entries)
		for _, what := range said {
			id, snap, isSnap := strings.Cut(what, "@")
			v, err := d.Get(t.Context(), id)
			require.NoError(t, err)
			if isSnap {
				require.Equal(t, []string{snap}, v.Snapshots)
			}
		}
		all, err := d.List(t.Context())
		require.NoError(t, err)
		for _, v := range all {
			require.Equal(t, 1, v.SizeGiB)
			f, err := os.Open(d.dir("volumes", v.ID+".raw"))
			require.NoError(t, err)
			head := make([]byte, 3<<20)
			_, err = io.ReadFull(f, head)
			require.NoError(t, err)
			want := byte(0)
			if v.ID[0] == 'i' {
				want = 1
			}
			require.True(t, bytes.Equal(head, bytes.Repeat([]byte{want}, 3<<20)), v.ID)
			require.NoError(t, f.Close())
		}
	}
}

// TestOwner: files belong to the configured user, and qemu-img runs as that
// user though it may not search the directory.
func TestOwner(t *testing.T) {
	needQEMU(t)
	if os.Getuid() != 0 {
		t.Skip("giving files away needs root")
	}
	d := open(t, Config{Dir: t.TempDir(), Format: volume.FormatQCOW2, UID: 65534, GID: 65534})
	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	require.NoError(t, d.Extend(t.Context(), "v", 2, volume.ExtendOptions{}))
	image, raw := qcow2(t)
	require.NoError(t, d.CreateFromImage(t.Context(), "i", volume.Spec{SizeGiB: 1},
		volume.Image{Body: bytes.NewReader(image), Format: volume.FormatQCOW2, Size: -1}))
	r, err := d.Read(t.Context(), "i")
	require.NoError(t, err)
	defer r.Close()
	got := make([]byte, len(raw))
	_, err = io.ReadFull(r, got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(raw, got))
	out, err := exec.Command("stat", "-c", "%u:%g %a", d.dir("volumes", "i.qcow2")).Output()
	require.NoError(t, err)
	require.Equal(t, "65534:65534 600\n", string(out))
}
