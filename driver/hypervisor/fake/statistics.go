package fake

import (
	"context"
	"fmt"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

var (
	_ hypervisor.Statistician   = (*Driver)(nil)
	_ hypervisor.PasswordSetter = (*Driver)(nil)
)

// Statistics implements hypervisor.Statistician: a guest is a tenth busy, and
// reads and writes a MiB a second.
func (d *Driver) Statistics(ctx context.Context, id string) (s hypervisor.Statistics, err error) {
	err = d.with(ctx, "Statistics", id, func(g *guest, now time.Time) error {
		if !g.on() {
			return conflict(g, "count what is used by")
		}
		up := max(0, now.Sub(g.started))
		seconds := int64(up / time.Second)
		s = hypervisor.Statistics{State: g.state, At: now, Uptime: up}
		for i := range g.vcpus {
			s.CPUs = append(s.CPUs, hypervisor.CPUStatistics{ID: i, Time: up / 10})
			s.CPUTime += up / 10
		}
		total := int64(g.memory) << 20
		s.Memory = hypervisor.MemoryStatistics{Total: total, Used: total / 2, Resident: total / 2}
		for _, disk := range g.disks() {
			s.Disks = append(s.Disks, hypervisor.DiskStatistics{
				ID: disk.ID, ReadBytes: seconds << 20, WriteBytes: seconds << 20, ReadRequests: seconds * 16, WriteRequests: seconds * 16,
				VirtualBytes: g.size(disk), AllocatedBytes: -1,
			})
		}
		for _, nic := range g.spec.NICs {
			s.NICs = append(s.NICs, hypervisor.NICStatistics{ID: nic.ID, MAC: nic.MAC})
		}
		return nil
	})
	return s, err
}

// SetPassword implements hypervisor.PasswordSetter. [State.Password] tells it to
// tests. Deaf guests have an agent that does not answer.
func (d *Driver) SetPassword(ctx context.Context, id, user, password string) error {
	if user == "" {
		user = "root"
	}
	if d.deaf(id) {
		return fmt.Errorf("set a password of guest %s: its agent does not answer: %w", id, nephos.ErrUnavailable)
	}
	return d.with(ctx, "SetPassword", id, func(g *guest, _ time.Time) error {
		if g.state != hypervisor.Running {
			return conflict(g, "set a password of")
		}
		put(&g.held.passwords, user, password)
		return nil
	})
}
