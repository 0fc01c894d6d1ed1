package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/blob/file"
	"github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

// The test binary is also the plugins that are certified.
func TestMain(m *testing.M) {
	var driver any
	var err error
	switch os.Getenv("CERTIFY_TEST") {
	case "blob":
		driver, err = file.Open(file.Config{Dir: os.Getenv("NEPHOS_PLUGIN_DIR")})
	case "forgetful": // keeps nothing
		driver, err = file.Open(file.Config{Dir: filepath.Join(os.Getenv("NEPHOS_PLUGIN_DIR"), fmt.Sprint(os.Getpid()))})
	case "network":
		driver = fake.Open(fake.NewState(nil), fake.Options{})
	default:
		os.Exit(m.Run())
	}
	if err == nil {
		err = plugin.Serve(driver)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func certify(t *testing.T, args ...string) (status int, out []string) {
	t.Helper()
	var buf, errs bytes.Buffer
	// With the race detector's defaults a plugin lingers for a second.
	args = append([]string{"-env", "GORACE=atexit_sleep_ms=0"}, args...)
	status = run(context.Background(), args, &buf, &errs)
	if buf.Len() == 0 {
		return status, []string{errs.String()}
	}
	return status, strings.Split(strings.TrimRight(buf.String(), "\n"), "\n")
}

func TestAGoodPluginIsCertified(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	status, out := certify(t, "-run", some, "-env", "CERTIFY_TEST=blob", self)
	text := strings.Join(out, "\n")
	require.Zero(t, status, text)
	require.Regexp(t, `^certified: passed `+passes+` failed 0 skipped \d+$`, out[len(out)-1])
	require.Contains(t, text, "kind       blob\n")
	require.Contains(t, text, "contract   version 1\n")
	require.Contains(t, text, "abilities  Copier")
	require.Contains(t, text, "PASS Blob/Reopen")
	require.Contains(t, text, "PASS Plugin/Restart")
}

func TestAScriptIsCertifiedWithItsArguments(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	script := filepath.Join(t.TempDir(), "driver")
	require.NoError(t, os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\nCERTIFY_TEST=$1 exec %s\n", self), 0o700))
	status, out := certify(t, "-run", "Blob/(RoundTrip|Reopen|List)$", script, "blob")
	require.Zero(t, status)
	require.Equal(t, "certified: passed 3 failed 0 skipped 0", out[len(out)-1])
}

func TestAForgetfulPluginFails(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	status, out := certify(t, "-env", "CERTIFY_TEST=forgetful", "-run", "Blob/Re", self)
	require.Equal(t, 1, status)
	require.Equal(t, "certified: passed 0 failed 1 skipped 0", out[len(out)-1])
	status, out = certify(t, "-env", "CERTIFY_TEST=network", "-run", "Network/(ReopenLosesNone|Idempotence)", self)
	require.Equal(t, 1, status)
	require.Equal(t, "certified: passed 1 failed 1 skipped 0", out[len(out)-1])
}

func TestWhatIsNoPluginFails(t *testing.T) {
	for _, path := range []string{"/bin/true", "/nowhere"} {
		status, out := certify(t, path)
		require.Equal(t, 1, status)
		require.Equal(t, "certified: passed 0 failed 1 skipped 0", out[len(out)-1])
		require.Contains(t, strings.Join(out, "\n"), "launching the plugin "+path)
	}
}

func TestACertificateOfNothingIsNone(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	status, out := certify(t, "-env", "CERTIFY_TEST=blob", "-run", "Blob/Reopne", self)
	require.Equal(t, 1, status)
	require.Contains(t, out[len(out)-2], "no test has such a name")
	require.Equal(t, "certified: passed 0 failed 1 skipped 0", out[len(out)-1])
}

func TestFlagsAreChecked(t *testing.T) {
	for _, args := range [][]string{
		{}, {""}, {"-nonsense", "x"}, {"-user", "root", "x"}, {"-segment", "vlan:x", "x"}, {"-base", "x", "x"}, {"-run", "(", "x"},
	} {
		status, _ := certify(t, args...)
		require.Equal(t, 2, status, args)
	}
	status, out := certify(t, "-h")
	require.Zero(t, status)
	require.Contains(t, out[0], "usage: certify [flags] PLUGIN")
}

func TestAnExtensionOfTheSchedulerIsCertified(t *testing.T) {
	program := filepath.Join(t.TempDir(), "racks")
	out, err := exec.Command("go", "build", "-ldflags=-w", "-o", program, "../../../examples/plugin-scheduler").CombinedOutput()
	require.NoError(t, err, "%s", out)
	status, lines := certify(t, "-run", some, program)
	text := strings.Join(lines, "\n")
	require.Zero(t, status, text)
	require.Equal(t, "certified: passed "+extensionPasses+" failed 0 skipped 0", lines[len(lines)-1])
	require.Contains(t, text, "kind       scheduler\n")
	require.Contains(t, text, "abilities  Judger Weigher\n")
	require.Contains(t, text, "PASS Scheduler/JudgerOrder")
	require.Contains(t, text, "PASS Plugin/Restart")
}
