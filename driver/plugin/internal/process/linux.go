//go:build linux

package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
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
	// No core dump holds the secrets that it was given. The kernel writes none of
	// a program that changed its user, so this may fail there.
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	return errors.Join(
		set("open files", unix.RLIMIT_NOFILE, l.Files),
		set("processes", unix.RLIMIT_NPROC, l.Processes),
		set("memory", unix.RLIMIT_DATA, l.Memory),
	)
}

// cgroup is a control group (version 2) of one process.
type cgroup struct {
	path string
	dir  *os.File
}

// newCgroup makes a group below the one that the limits name, if they do, and
// arranges for the child to be born in it.
func newCgroup(l Limits, name string, a *syscall.SysProcAttr) (*cgroup, error) {
	if l.Cgroup == "" {
		return nil, nil
	}
	g := &cgroup{}
	fail := func(err error) (*cgroup, error) {
		g.remove()
		return nil, fmt.Errorf("limiting the plugin by a control group below %s: %w: name a folder of cgroup2 that is delegated to this process", l.Cgroup, err)
	}
	var err error
	if g.path, err = os.MkdirTemp(l.Cgroup, name+"-"); err != nil {
		return fail(err)
	}
	write := func(file, value string) {
		if err == nil {
			err = os.WriteFile(filepath.Join(g.path, file), []byte(value), 0o600)
		}
	}
	if l.Memory > 0 {
		write("memory.max", strconv.FormatUint(l.Memory, 10))
	}
	if l.Processes > 0 {
		write("pids.max", strconv.FormatUint(l.Processes, 10))
	}
	if l.CPUs > 0 {
		write("cpu.max", fmt.Sprintf("%d 100000", int64(l.CPUs*100000)))
	}
	if err != nil {
		return fail(err)
	}
	if g.dir, err = os.Open(g.path); err != nil {
		return fail(err)
	}
	a.UseCgroupFD, a.CgroupFD = true, int(g.dir.Fd())
	return g, nil
}

// remove removes the group once it is empty; guests that the plugin started and
// that outlive it keep it.
func (g *cgroup) remove() {
	if g == nil {
		return
	}
	if g.dir != nil {
		g.dir.Close()
	}
	if g.path != "" {
		_ = os.Remove(g.path)
	}
}
