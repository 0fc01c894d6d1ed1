//go:build unix

package file

import (
	"os"
	"os/exec"
	"syscall"
)

// asOwner has the program run as the volumes' owner, if there is one.
func (d *Driver) asOwner(cmd *exec.Cmd) {
	if d.cfg.UID <= 0 && d.cfg.GID <= 0 {
		return
	}
	uid, gid := os.Getuid(), os.Getgid()
	if d.cfg.UID > 0 {
		uid = d.cfg.UID
	}
	if d.cfg.GID > 0 {
		gid = d.cfg.GID
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
