//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"

	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// SetPassword implements hypervisor.PasswordSetter, through QEMU's guest agent
// (package qemu-guest-agent in the guest).
func (d *Driver) SetPassword(ctx context.Context, id, user, password string) error {
	_, err := look(ctx, d, "set a password in", id, func(w *work) (struct{}, error) {
		_, state, err := w.now()
		if err != nil {
			return struct{}{}, err
		}
		if state != hypervisor.Running {
			return struct{}{}, fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
		}
		live, err := w.live()
		if err != nil {
			return struct{}{}, err
		}
		if w.p.Driver == "QEMU" && len(live.Devices.Channels) == 0 {
			return struct{}{}, fmt.Errorf("it was made without an agent: %w", errors.ErrUnsupported)
		}
		if user == "" {
			user = "root"
		}
		err = w.dom.SetUserPassword(user, password, 0)
		var e virt.Error
		if !errors.As(err, &e) {
			return struct{}{}, err
		}
		// libvirt's words are the agent's, and who knows what it repeats.
		switch e.Code {
		case virt.ERR_AGENT_UNRESPONSIVE, virt.ERR_AGENT_UNSYNCED, virt.ERR_AGENT_COMMAND_TIMEOUT, virt.ERR_OPERATION_INVALID:
			return struct{}{}, fmt.Errorf("its agent does not answer: %w", nephos.ErrUnavailable)
		case virt.ERR_INTERNAL_ERROR, virt.ERR_AGENT_COMMAND_FAILED:
			return struct{}{}, fmt.Errorf("its agent refuses, as for a user that it does not have: %w", nephos.ErrInvalid)
		}
		return struct{}{}, fmt.Errorf("libvirt's error %d: %w", e.Code, errors.Join(meanings[e.Code]))
	})
	return err
}
