package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each kind's driver compiles in a module of its own and passes its suite, in
// process and as a plugin.
func TestWhatIsWrittenPassesItsOwnTests(t *testing.T) {
	here, err := filepath.Abs("../../..")
	require.NoError(t, err)
	dir := t.TempDir()
	for _, kind := range kinds {
		args := []string{kind, "acme-" + kind, "-dir", filepath.Join(dir, kind)}
		if kind == kinds[0] { // one module for all is faster
			args = append(args, "-module", "example.org/acme")
		}
		require.NoError(t, run(args, io.Discard, io.Discard))
	}
	require.NoError(t, os.Rename(filepath.Join(dir, kinds[0], "go.mod"), filepath.Join(dir, "go.mod")))
	ours, err := os.ReadFile(filepath.Join(here, "go.mod"))
	require.NoError(t, err)
	theirs, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(theirs), "module example.org/acme\n"))
	_, requires, _ := strings.Cut(string(ours), "\ngo ") // as go mod tidy would find
	_, requires, _ = strings.Cut(requires, "\n")
	text := string(theirs) + requires + "\nrequire " + nephos + " v0.0.0\n\nreplace " + nephos + " => " + here + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600))
	sum, err := os.ReadFile(filepath.Join(here, "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600))
	cmd := exec.Command("go", "test", "-ldflags=-w", "./...") // which halves the linker's work
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, len(kinds), strings.Count(string(out), "ok  \texample.org/acme/"), string(out))
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, run([]string{"volume", "acme", "-dir", dir}, io.Discard, io.Discard))
	before, err := os.ReadFile(filepath.Join(dir, "driver.go"))
	require.NoError(t, err)
	require.ErrorContains(t, run([]string{"-dir", dir, "blob", "acme"}, io.Discard, io.Discard), "is there already")
	after, err := os.ReadFile(filepath.Join(dir, "driver.go"))
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoFileExists(t, filepath.Join(dir, "go.mod"))
}

func TestBadArguments(t *testing.T) {
	for says, args := range map[string][]string{
		"name the kind":       {"volume"},
		"there is no kind":    {"disk", "acme"},
		"want up to 31":       {"volume", "../acme"},
		"flag provided but":   {"volume", "acme", "-x"},
		"want up to 31 lower": {"volume", "Acme"},
	} {
		require.ErrorContains(t, run(args, io.Discard, io.Discard), says)
	}
}
