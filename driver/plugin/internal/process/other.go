//go:build !linux

package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

func sealed(string, io.Reader) (*os.File, string, error) {
	return nil, "", fmt.Errorf("running a checked copy: %w on this system", errors.ErrUnsupported)
}

// attributes: elsewhere a plugin ends when its standard input does.
func attributes(u *User) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if u != nil {
		a.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID}
	}
	return a
}

func (l Limits) apply(int) error {
	if l != (Limits{}) {
		return fmt.Errorf("limiting a plugin: %w on this system", errors.ErrUnsupported)
	}
	return nil
}

type cgroup struct{}

func newCgroup(l Limits, _ string, _ *syscall.SysProcAttr) (*cgroup, error) { return nil, nil }

func (*cgroup) why(*os.ProcessState) string { return "" }
func (*cgroup) remove()                     {}
