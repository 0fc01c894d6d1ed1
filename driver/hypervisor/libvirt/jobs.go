//go:build libvirt

package libvirt

import (
	"errors"
	"fmt"

	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// jobEnd is what libvirt says of a job on a disk.
type jobEnd struct {
	status virt.ConnectDomainEventBlockJobStatus
	lost   bool // nobody will say more
}

// job waits for what is said of a disk's job. Only one at a time waits.
func (w *work) job(target string) (said chan jobEnd, done func(), err error) {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	if w.g.jobs[target] != nil {
		return nil, nil, fmt.Errorf("another copy of the disk is being made: %w", nephos.ErrConflict)
	}
	said = make(chan jobEnd, 8)
	w.g.jobs[target] = said
	return said, func() {
		w.d.mu.Lock()
		defer w.d.mu.Unlock()
		delete(w.g.jobs, target)
	}, nil
}

// failJobs ends the waiting for jobs of a connection that was lost.
func (d *Driver) failJobs() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range d.guests {
		for _, said := range g.jobs {
			select {
			case said <- jobEnd{lost: true}:
			default:
			}
		}
	}
}

// endLeftJobs ends copies that a driver before this one began.
func (w *work) endLeftJobs(state hypervisor.State) error {
	if w.p.Driver != "QEMU" || state != hypervisor.Running && state != hypervisor.Paused {
		return nil
	}
	live, err := w.live()
	if err != nil {
		return err
	}
	var errs []error
	for _, x := range live.Devices.Disks {
		w.d.mu.Lock()
		g := w.d.guests[w.id]
		ours := x.Target != nil && g != nil && g.jobs[x.Target.Dev] != nil
		w.d.mu.Unlock()
		if x.Mirror == nil || x.Mirror.Job != "copy" || ours {
			continue
		}
		if err := w.dom.BlockJobAbort(x.Target.Dev, 0); err != nil && !is(err, virt.ERR_OPERATION_INVALID, virt.ERR_INVALID_ARG) {
			errs = append(errs, fmt.Errorf("end the copy of disk %s of guest %s: %w", x.Target.Dev, w.id, meant(err)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		w.d.log.Warn("cannot end what a driver before left", "error", err)
	}
	return nil
}
