package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/config"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
)

// cloud is the running cloud and the clients for it.
type cloud struct {
	program, data, log string
	pid                int
	exited             chan error
	shared             bool // somebody else works in the namespace of the taps

	compute, network, volume, image *gophercloud.ServiceClient
}

func buildGuest(ctx context.Context, script, out string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, script, "-o", out)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, stderr.String())
	}
	info, err := os.Stat(out)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %.1f MB", out, float64(info.Size())/1e6), nil
}

func startCloud(ctx context.Context, o options) (*cloud, error) {
	c := &cloud{program: o.allinone, data: o.data, shared: o.hypervisorFlag() != "", exited: make(chan error, 1)}
	if abs, err := filepath.Abs(o.allinone); err == nil {
		c.program = abs
	}
	err := step(ctx, "cloud", func(ctx context.Context) (string, error) {
		if err := os.MkdirAll(c.data, 0o700); err != nil {
			return "", err
		}
		if running, err := locked(filepath.Join(c.data, "lock")); err != nil || running {
			return "", errors.Join(err, fmt.Errorf("a cloud runs on %s already: use it as the openrc there says, or end it first", c.data))
		}
		c.log = filepath.Join(c.data, "nephos.log")
		ready := filepath.Join(c.data, "clouds.yaml")
		if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return "", err
		}
		defer log.Close()
		from, err := log.Seek(0, 2)
		if err != nil {
			return "", err
		}
		args := []string{"-data", c.data, "-listen", o.listen, "-drivers", "real"}
		if hv := o.hypervisorFlag(); hv != "" {
			args = append(args, "-hypervisor", hv)
		}
		cmd := exec.Command(c.program, args...)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives the demo
		start := time.Now()
		if err := cmd.Start(); err != nil {
			return "", err
		}
		c.pid = cmd.Process.Pid
		go func() { c.exited <- cmd.Wait() }()
		err = poll(ctx, time.Minute, "the cloud's start", func() (bool, error) {
			select {
			case err := <-c.exited:
				c.exited <- err
				said, _ := os.ReadFile(c.log)
				return false, fmt.Errorf("the cloud ended at once (%v):\n%s", err, said[min(from, int64(len(said))):])
			default:
			}
			_, err := os.Stat(ready)
			return err == nil, nil
		})
		if err != nil {
			return "", err
		}
		took := time.Since(start)
		return fmt.Sprintf("pid %d, ready in %s", c.pid, took.Round(time.Millisecond)), c.connect(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, c.stop(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// locked reports whether a process has the lock file.
func locked(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() // and with it goes the lock
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// connect logs in as clouds.yaml says.
func (c *cloud) connect(ctx context.Context) error {
	auth, endpoint, tls, err := clouds.Parse(clouds.WithLocations(filepath.Join(c.data, "clouds.yaml")), clouds.WithCloudName("nephos"))
	if err != nil {
		return err
	}
	auth.AllowReauth = true
	provider, err := config.NewProviderClient(ctx, auth, config.WithTLSConfig(tls))
	if err != nil {
		return err
	}
	if c.compute, err = openstack.NewComputeV2(provider, endpoint); err != nil {
		return err
	}
	c.compute.Microversion = "2.60"
	if c.network, err = openstack.NewNetworkV2(provider, endpoint); err != nil {
		return err
	}
	if c.volume, err = openstack.NewBlockStorageV3(provider, endpoint); err != nil {
		return err
	}
	c.image, err = openstack.NewImageV2(provider, endpoint)
	return err
}

// stop ends the cloud and waits for it.
func (c *cloud) stop(ctx context.Context) error {
	if c.pid == 0 {
		return nil
	}
	select {
	case err := <-c.exited: // by itself, and that has been told
		c.exited <- err
		return nil
	default:
	}
	return step(ctx, "stop the cloud", func(ctx context.Context) (string, error) {
		if err := syscall.Kill(c.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return "", err
		}
		select {
		case err := <-c.exited:
			if err != nil {
				return "", err
			}
		case <-time.After(30 * time.Second):
			return "", errors.New("it did not stop within 30 s")
		}
		return "", leftBehind(c.data)
	})
}

// quiet waits for the host to have done what the APIs have promised: a router's
// deletion, say, is answered at once and carried out after that. It looks for the
// namespaces of the cloud's networks, as the network driver names them; the one
// that libvirt works in stays until the cloud stops.
func (c *cloud) quiet(ctx context.Context) error {
	id, err := os.ReadFile(filepath.Join(c.data, "cloud-id"))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(bytes.TrimSpace(id))
	pattern := "*"
	if c.shared {
		pattern = "-*"
	}
	var found []string
	err = poll(ctx, 30*time.Second, "the end of the networks on the host", func() (bool, error) {
		found, err = filepath.Glob("/run/netns/np-" + hex.EncodeToString(sum[:4]) + pattern)
		return len(found) == 0, err
	})
	if err != nil {
		return fmt.Errorf("%w: %v", err, found)
	}
	return nil
}

// leftBehind looks for processes of the cloud's guests.
func leftBehind(data string) error {
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), data) && strings.Contains(string(b), "qemu") {
			return fmt.Errorf("a guest's process was left behind: %s", strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return nil
}
