//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/config"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"github.com/stretchr/testify/require"
)

// patience bounds each wait: guests are emulated, on a busy machine.
const patience = 2 * time.Minute

func needE2E(t *testing.T) {
	t.Helper()
	if os.Getenv("NEPHOS_E2E") != "1" {
		t.Skip("NEPHOS_E2E is not 1: the test starts whole clouds")
	}
}

// built is the program, built once for all tests, or the one that the
// environment names.
var built = sync.OnceValues(func() (string, error) {
	if program := os.Getenv(programEnv); program != "" {
		return program, nil
	}
	dir, err := os.MkdirTemp("", "nephos-e2e-bin")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "allinone")
	cmd := exec.Command("go", "build", "-o", program, "../examples/allinone")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building allinone: %w\n%s", err, out)
	}
	return program, nil
})

const programEnv = "NEPHOS_E2E_ALLINONE"

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("NEPHOS_E2E") == "1" && os.Getenv(programEnv) == "" {
		if program, err := built(); err == nil {
			_ = os.RemoveAll(filepath.Dir(program))
		}
	}
	os.Exit(code)
}

// cloud is a running cloud and the clients for it, as its admin.
type cloud struct {
	t      *testing.T
	dir    string
	args   []string
	cmd    *exec.Cmd
	exited chan struct{}

	compute, network, volume, image *gophercloud.ServiceClient
}

// newCloud starts a cloud in the folder and ends it with the test. When the
// test fails its log is shown.
func newCloud(t *testing.T, dir string, args ...string) *cloud {
	t.Helper()
	c := &cloud{t: t, dir: dir, args: append([]string{"-data", dir, "-listen", freeAddress(t)}, args...)}
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			log, _ := os.ReadFile(c.logFile())
			var lines []string // without the many requests
			for line := range strings.Lines(string(log)) {
				if !strings.Contains(line, " DBG ") && !strings.Contains(line, "INF request") {
					lines = append(lines, line)
				}
			}
			t.Logf("the end of the cloud's log:\n%s", strings.Join(lines[max(0, len(lines)-40):], ""))
		}
	})
	c.start()
	return c
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (c *cloud) logFile() string { return c.dir + ".log" }

// start starts the program and returns once it is ready.
func (c *cloud) start() {
	c.t.Helper()
	program, err := built()
	require.NoError(c.t, err)
	ready := filepath.Join(c.dir, "clouds.yaml")
	require.NoError(c.t, os.RemoveAll(ready))
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(c.t, err)
	defer log.Close()
	c.cmd = exec.Command(program, c.args...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt of the test is not its own
	begin := time.Now()
	require.NoError(c.t, c.cmd.Start())
	exited := make(chan struct{})
	c.exited = exited
	go func(cmd *exec.Cmd) {
		defer close(exited)
		_ = cmd.Wait()
	}(c.cmd)
	require.Eventually(c.t, func() bool {
		select {
		case <-exited:
			return true
		default:
		}
		_, err := os.Stat(ready)
		return err == nil
	}, patience, 20*time.Millisecond)
	require.FileExists(c.t, ready, "the cloud ended at once")
	c.t.Logf("the cloud was ready after %s", time.Since(begin).Round(time.Millisecond))
	c.connect()
}

func (c *cloud) connect() {
	c.t.Helper()
	ctx := c.t.Context()
	auth, endpoint, tls, err := clouds.Parse(clouds.WithLocations(filepath.Join(c.dir, "clouds.yaml")), clouds.WithCloudName("nephos"))
	require.NoError(c.t, err)
	auth.AllowReauth = true
	provider, err := config.NewProviderClient(ctx, auth, config.WithTLSConfig(tls))
	require.NoError(c.t, err)
	c.compute, err = openstack.NewComputeV2(provider, endpoint)
	require.NoError(c.t, err)
	c.compute.Microversion = "2.60"
	c.network, err = openstack.NewNetworkV2(provider, endpoint)
	require.NoError(c.t, err)
	c.volume, err = openstack.NewBlockStorageV3(provider, endpoint)
	require.NoError(c.t, err)
	c.image, err = openstack.NewImageV2(provider, endpoint)
	require.NoError(c.t, err)
}

// kill ends the cloud as kill -9 does.
func (c *cloud) kill() {
	if c.cmd != nil && c.cmd.Process != nil {
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
}

// stop asks the cloud to end, and demands that it does so in good order.
func (c *cloud) stop() {
	c.t.Helper()
	begin := time.Now()
	require.NoError(c.t, c.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-c.exited:
	case <-time.After(30 * time.Second):
		require.FailNow(c.t, "the cloud does not stop")
	}
	require.True(c.t, c.cmd.ProcessState.Success(), "%s", c.cmd.ProcessState)
	c.t.Logf("the cloud stopped after %s", time.Since(begin).Round(time.Millisecond))
}

// await asks until f says yes.
func (c *cloud) await(what string, f func() (bool, error)) {
	c.t.Helper()
	late := time.Now().Add(patience)
	for {
		ok, err := f()
		require.NoError(c.t, err, what)
		if ok {
			return
		}
		require.True(c.t, time.Now().Before(late), "%s does not happen", what)
		select {
		case <-c.t.Context().Done():
			require.NoError(c.t, c.t.Context().Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// guests returns the processes of guests whose files are in the data folder.
func (c *cloud) guests() []int {
	c.t.Helper()
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	require.NoError(c.t, err)
	var pids []int
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil || !strings.HasPrefix(to, c.dir+"/") {
			continue
		}
		var pid int
		_, err = fmt.Sscanf(fd, "/proc/%d/", &pid)
		require.NoError(c.t, err)
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if bytes.HasPrefix(name, []byte("qemu-system")) && (len(pids) == 0 || pids[len(pids)-1] != pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
