package fake

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSnapshotIsQcow2(t *testing.T) {
	img, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img is not installed")
	}
	for _, size := range []int64{1 << 20, 1 << 30, 8 << 40} {
		path := filepath.Join(t.TempDir(), "snap.qcow2")
		require.NoError(t, os.WriteFile(path, qcow2(size, []byte("hello")), 0o600))
		out, err := exec.Command(img, "check", "-f", "qcow2", path).CombinedOutput()
		require.NoError(t, err, "%s", out)
		out, err = exec.Command(img, "info", "-f", "qcow2", path).CombinedOutput()
		require.NoError(t, err, "%s", out)
		t.Logf("%s", out)
	}
}
