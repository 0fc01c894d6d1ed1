package plugin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// maxSocketDir leaves room for the names below it: a unix socket's path has at
// most 107 bytes.
const maxSocketDir = 50

// lockFile is what a host holds a lock on as long as it uses a directory.
const lockFile = "lock"

// socketDirs makes the directory of a run's sockets, and in it the host's own.
// Where the plugin has a user of its own, that user may pass through, but changes
// nothing.
func (p *Plugin) socketDirs(i *instance) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("making a directory for its sockets: %w", err)
		}
	}()
	sweep(p.opts.SocketDir)
	if i.base, err = os.MkdirTemp(p.opts.SocketDir, "nephos-"); err != nil {
		return err
	}
	// Locked under another name first: who sweeps finds it locked or not at all.
	half, whole := filepath.Join(i.base, "half"), filepath.Join(i.base, lockFile)
	if i.lock, err = os.OpenFile(half, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(i.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	if err := os.Rename(half, whole); err != nil {
		return err
	}
	mode := os.FileMode(0o700)
	if p.opts.User != nil {
		mode = 0o711
	}
	i.sockets = filepath.Join(i.base, "h")
	return errors.Join(os.Mkdir(i.sockets, 0o700), os.Chmod(i.sockets, mode), os.Chmod(i.base, mode))
}

// sweep removes what hosts that were killed left.
func sweep(dir string) {
	locks, err := filepath.Glob(filepath.Join(dir, "nephos-*", lockFile))
	if err != nil {
		return
	}
	for _, path := range locks {
		base := filepath.Dir(path)
		info, err := os.Lstat(base)
		if err != nil {
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || int(stat.Uid) != os.Getuid() {
			continue // another user's
		}
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(base)
		}
		f.Close()
	}
}
