//go:build unix

package convert

import (
	"os"
	"os/exec"
	"syscall"
)

// asOwner has the program run as the volumes' owner, if there is one.
func (t Tool) asOwner(cmd *exec.Cmd) {
	if t.UID <= 0 && t.GID <= 0 {
		return
	}
	uid, gid := os.Getuid(), os.Getgid()
	if t.UID > 0 {
		uid = t.UID
	}
	if t.GID > 0 {
		gid = t.GID
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
