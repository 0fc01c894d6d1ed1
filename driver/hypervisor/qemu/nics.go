package qemu

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// checkNIC refuses what can never be plugged.
func checkNIC(n driver.NIC) error {
	if n.Device == "" || len(n.Device) >= unix.IFNAMSIZ {
		return fmt.Errorf("card %s: Device %.40q is no name of a tap: %w", n.ID, n.Device, nephos.ErrInvalid)
	}
	return nil
}

// openTap opens the existing tap of a card, in the card's network namespace.
func openTap(n driver.NIC) (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		if n.Namespace != "" {
			// The thread changes its namespace for good, so it must end with
			// this goroutine: it is never unlocked.
			runtime.LockOSThread()
			r.err = enterNamespace(n.Namespace)
		}
		if r.err == nil {
			r.f, r.err = attachTap(n.Device)
		}
		done <- r
	}()
	r := <-done
	if r.err != nil {
		return nil, fmt.Errorf("open the tap %s of card %s: %w", n.Device, n.ID, r.err)
	}
	return r.f, nil
}

func enterNamespace(path string) error {
	ns, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", nephos.ErrUnavailable, err)
	}
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", path, err)
	}
	return nil
}

func attachTap(device string) (*os.File, error) {
	// Without this check the kernel would make a tap that nobody knows.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(device)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		return nil, fmt.Errorf("it is not there: %w: %w", nephos.ErrUnavailable, err)
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if req, err = unix.NewIfreq(device); err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("attach: %w", err)
	}
	return f, nil
}

// nic adds a card to a command line.
func (c *command) nic(n driver.NIC, slot int) error {
	f, err := openTap(n)
	if err != nil {
		return err
	}
	c.add("-netdev", fmt.Sprintf("tap,id=%s,fd=%d", netdev(n.ID), c.file(f)))
	c.json("-device", nicDeviceOf(n, slot))
	return nil
}
