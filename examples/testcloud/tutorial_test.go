package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// code returns the lines of a page's blocks of a language, without those that
// are empty, and without indentation.
func code(t *testing.T, page, language string) (lines []string) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	require.NoError(t, err)
	inside := false
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = strings.TrimSpace(line) == "```"+language
		case inside && strings.TrimSpace(line) != "":
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func lines(t *testing.T, file string) (lines []string) {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// The tutorials show the code that is tested: all of it, and no other.
func TestTutorialsShowWhatIsTested(t *testing.T) {
	require.Equal(t, lines(t, "tutorial.py"), code(t, "testing-python.md", "python"))
	require.Equal(t, lines(t, filepath.Join("..", "operator-test", "tutorial_test.go")), code(t, "testing-go.md", "go"))
}

// The tutorial for Python is itself a test, which this one runs.
func TestTutorialForPython(t *testing.T) {
	if os.Getenv("NEPHOS_E2E") != "1" {
		t.Skip("NEPHOS_E2E is not 1: the test builds and starts testcloud")
	}
	if err := exec.Command("/usr/bin/python3", "-c", "import openstack").Run(); err != nil {
		t.Skip("openstacksdk (package python3-openstacksdk) is missing")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "testcloud")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	file, err := filepath.Abs("tutorial.py")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-W", "ignore", file)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TESTCLOUD="+program)
	out, err = cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "OK")
}
