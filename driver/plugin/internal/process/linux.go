//go:build linux

package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// sealed copies a program into memory that nobody can change any more, and
// says what a child that gets it as descriptor 3 executes. The kernel hands a
// script's interpreter the same name, which opens the same copy.
func sealed(path string, r io.Reader) (_ *os.File, exec string, err error) {
	name := filepath.Base(path)
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // a kernel before 6.3 knows no MFD_EXEC, and needs none
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, "", fmt.Errorf("making a copy in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if _, err := io.Copy(f, r); err != nil {
		return nil, "", err
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	if err != nil {
		return nil, "", fmt.Errorf("sealing the copy in memory: %w", err)
	}
	return f, "/proc/self/fd/3", nil
}

// attributes of a child: it dies with the thread that started it, is not
// reached by a terminal's signals, and runs as the user.
func attributes(u *User) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if u != nil {
		a.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID}
	}
	return a
}

func (l Limits) apply(pid int) error {
	set := func(what string, resource int, n uint64) error {
		if n == 0 {
			return nil
		}
		err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: n, Max: n}, nil)
		switch {
		case err == nil, errors.Is(err, unix.ESRCH): // it has ended already
			return nil
		case errors.Is(err, unix.EPERM):
			return fmt.Errorf("limiting the plugin's %s to %d: %w: to limit another user's takes CAP_SYS_RESOURCE", what, n, err)
		default:
			return fmt.Errorf("limiting the plugin's %s to %d: %w", what, n, err)
		}
	}
	if l.Cgroup != "" { // which bounds these, and counts no other processes of the user
		l.Processes, l.Memory = 0, 0
	}
	// No core dump holds the secrets that it was given. The kernel writes none of
	// a program that changed its user, so this may fail there.
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	for _, limit := range []struct {
		what     string
		resource int
		n        uint64
	}{
		{"open files", unix.RLIMIT_NOFILE, l.Files},
		{"processes", unix.RLIMIT_NPROC, l.Processes},
		{"memory", unix.RLIMIT_DATA, l.Memory},
	} {
		if err := set(limit.what, limit.resource, limit.n); err != nil {
			return err
		}
	}
	return nil
}
