package nephos_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Strangers can do all that our examples do: those that they would write are
// copied into a module of their own, which sees exported packages only, and
// compiled there.
func TestStrangersExamplesCompileElsewhere(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	text := strings.Replace(string(mod), "module "+module, "module example.org/stranger", 1)
	text += "\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + here + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600))
	sum, err := os.ReadFile("go.sum")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600))
	list := []string{"list", "-export"} // compiles, and does not link
	for _, example := range []string{"customcloud", "plugin-hypervisor", "plugin-scheduler"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, example), os.DirFS(filepath.Join("examples", example))))
		list = append(list, "./"+example)
	}
	cmd := exec.Command("go", list...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}
