// Package filelock keeps what is in a directory to one process. The kernel gives
// a lock back when its holder dies, so none is ever stale.
package filelock

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos"
)

// Take opens a file, which it makes if need be, and locks it, or fails at once
// with ErrConflict if it is locked, by this process or another. The lock ends
// when every process that has the descriptor has closed it or died.
func Take(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if err == unix.EWOULDBLOCK {
			err = fmt.Errorf("another process has it: %w", nephos.ErrConflict)
		}
		return nil, err
	}
	return f, nil
}
