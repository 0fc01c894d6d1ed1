//go:build unix

package file

import (
	"os"
	"os/exec"
	"syscall"
)

// apart has a program live on when this one ends, as the volumes' owner if there
// is one.
func (d *Driver) apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if d.cfg.UID > 0 || d.cfg.GID > 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(max(d.cfg.UID, 0)), Gid: uint32(max(d.cfg.GID, 0))}
	}
}

// own gives a file to the volumes' owner, if there is one.
func (d *Driver) own(path string) error {
	if d.cfg.UID <= 0 && d.cfg.GID <= 0 {
		return nil
	}
	return os.Chown(path, d.cfg.UID, d.cfg.GID)
}
