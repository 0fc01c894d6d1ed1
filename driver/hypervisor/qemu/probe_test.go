package qemu

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProbe proves that the probe's guest boots, by the accelerator that works
// anywhere.
func TestProbe(t *testing.T) {
	binary, err := exec.LookPath("qemu-system-x86_64")
	if err != nil || os.Getenv("NEPHOS_E2E") != "1" {
		t.Skip("NEPHOS_E2E=1 is not set, or qemu-system-x86_64 is not installed")
	}
	d := &Driver{cfg: Config{Dir: t.TempDir(), Binary: binary, UID: 65534, GID: 65534}}
	require.NoError(t, d.probe(t.Context(), "tcg"))
	require.Error(t, d.probe(t.Context(), "nosuch"))
}
