// Package python_test certifies the volume driver in Python by the very command
// that anybody would.
package python_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThePluginIsCertified(t *testing.T) {
	if out, err := exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf, cryptography").CombinedOutput(); err != nil {
		t.Skipf("the plugin needs Python's gRPC: apt-get install python3-grpcio python3-protobuf python3-cryptography (%v: %s)", err, out)
	}
	args := []string{"run", "../../driver/plugin/certify"}
	if os.Getenv("NEPHOS_E2E") != "1" { // the rest copies many gigabytes of zeros
		args = append(args, "-run", "Plugin/|Volume/(Idempotence|Connect|Stats|Cancelled|Reopen)$")
	}
	out, err := exec.Command("go", append(args, "./plugin.py")...).CombinedOutput()
	require.NoError(t, err, string(out))
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Regexp(t, `^certified: passed \d+ failed 0 skipped \d+$`, lines[len(lines)-1])
	require.Contains(t, string(out), "driver     python-files 1.0\n")
}
