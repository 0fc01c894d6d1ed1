//go:build linux

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespace is an open network namespace with a netlink socket inside.
type namespace struct {
	path string // empty for the host's
	fd   netns.NsHandle
	nl   *netlink.Handle
}

// newNamespace takes over the descriptor.
func newNamespace(path string, fd netns.NsHandle) (*namespace, error) {
	nl, err := netlink.NewHandleAt(fd, unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
	if err != nil {
		_ = fd.Close()
		return nil, fmt.Errorf("open netlink in namespace %s: %w", path, err)
	}
	return &namespace{path: path, fd: fd, nl: nl}, nil
}

func openNamespace(dir, name string) (*namespace, error) {
	path := filepath.Join(dir, name)
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return nil, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	if st.Type != unix.NSFS_MAGIC { // a crash came between the file and the mount
		return nil, fmt.Errorf("namespace %s: not mounted: %w", path, fs.ErrNotExist)
	}
	fd, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("open namespace %s: %w", path, err)
	}
	return newNamespace(path, fd)
}

// createNamespace makes a namespace and mounts it on its name. Its loopback is up.
func createNamespace(dir, name string) (*namespace, error) {
	path := filepath.Join(dir, name)
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare network namespace: %w", err)
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY|unix.O_NOFOLLOW, 0o444) //nolint:gosec // as iproute2
		if err != nil {
			return err
		}
		_ = f.Close()
		self := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		if err := unix.Mount(self, path, "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount namespace on %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	n, err := openNamespace(dir, name)
	if err != nil {
		return nil, err
	}
	if lo, err := n.nl.LinkByName("lo"); err == nil {
		_ = n.nl.LinkSetUp(lo)
	}
	return n, nil
}

// deleteNamespace removes the name; the kernel removes the namespace when
// nothing holds it any more.
func deleteNamespace(dir, name string) error {
	path := filepath.Join(dir, name)
	for {
		err := unix.Unmount(path, unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break // no longer a mount
		}
		if err != nil {
			return fmt.Errorf("unmount namespace %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// listNamespaces returns what follows the prefix in the names, sorted.
func listNamespaces(dir, prefix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Name(), prefix); ok {
			names = append(names, id)
		}
	}
	slices.Sort(names)
	return names, nil
}

// sameNamespace reports whether the name still means the open namespace.
func sameNamespace(n *namespace) bool {
	var a, b unix.Stat_t
	if unix.Stat(n.path, &a) != nil || unix.Fstat(int(n.fd), &b) != nil {
		return false
	}
	return a.Dev == b.Dev && a.Ino == b.Ino
}

func (n *namespace) close() {
	n.nl.Close()
	_ = n.fd.Close()
}

// do runs f on a thread that is inside the namespace. Sockets that f opens
// stay there; f must not start goroutines that rely on it.
func (n *namespace) do(f func() error) error {
	return onOwnThread(func() error {
		if err := netns.Set(n.fd); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.path, err)
		}
		return f()
	})
}

// onOwnThread runs f on a thread whose namespace f may change: the thread goes
// back to where it came from, or dies with its goroutine.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		before, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer before.Close()
		finished := false
		defer func() {
			if !finished {
				done <- errors.New("a call inside a namespace panicked") // the panic goes on
			}
		}()
		err = f()
		finished = true
		if netns.Set(before) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// setSysctls writes below /proc/sys for the thread's namespace. Names ending
// in ? may be absent.
func setSysctls(values map[string]string) error {
	for name, v := range values {
		name, optional := strings.CutSuffix(name, "?")
		path := "/proc/sys/" + name
		if have, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(have)) == v {
			continue
		}
		if err := os.WriteFile(path, []byte(v), 0); err != nil && !optional {
			return fmt.Errorf("set sysctl %s: %w", name, err)
		}
	}
	return nil
}
