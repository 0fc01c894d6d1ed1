package hypervisortest

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Options fit the suite to a driver. The zero value needs nothing of it.
type Options struct {
	// CloudID is the label the driver was opened with.
	CloudID string
	// Spec, if set, changes the spec of a guest before its use, such as to give
	// it a base image.
	Spec func(t drivertest.T, spec *hypervisor.Spec)
	// NIC, if set, returns the n-th card for a guest, with what it needs on the
	// host; without it no cards are tested.
	NIC func(t drivertest.T, n int) driver.NIC
	// BootText is part of what a guest writes to its serial port at power-on;
	// without it the text of a console log is not tested.
	BootText string
	// Alive says that guests run an operating system that answers a request to
	// power off or to let go of a device. Without it guests are stopped without
	// grace, and nothing is unplugged from running ones.
	Alive bool
	// GuestAgent says that guests run the agent that sets passwords.
	GuestAgent bool
	// Peer, if set, opens the driver of another host, which finds what one that
	// was opened before left, for guests to migrate to; without it live migration
	// is not tested. Guests of the suite may have local disks only.
	Peer func(t drivertest.T) hypervisor.Driver
	// PeerAddress is an IP address of the peer's host for PrepareMigration.
	PeerAddress string
	// PowerOff makes a running guest power itself off, Crash kills its machine;
	// without them these events are not tested.
	PowerOff, Crash func(t drivertest.T, id string)
	// Guests is how many guests are handled at once; 8 if zero.
	Guests int
	// Wait bounds each call and each wait; 2 minutes if zero.
	Wait time.Duration
	// Grace is given to guests that are alive; 1 minute if zero.
	Grace time.Duration
}

// suite is a driver under test.
type suite struct {
	t    drivertest.T
	d    hypervisor.Driver
	o    Options
	has  []string // abilities
	open func(drivertest.T) hypervisor.Driver
}

// ctx is a context for one step.
func (s *suite) ctx() context.Context {
	parent := s.t.Context()
	if parent.Err() != nil { // the test is over, and clears up
		parent = context.WithoutCancel(parent)
	}
	ctx, cancel := context.WithTimeout(parent, s.o.Wait)
	s.t.Cleanup(cancel)
	return ctx
}

// can tells whether the driver offers an ability.
func (s *suite) can(ability string) bool { return slices.Contains(s.has, ability) }

// newID returns the ID of a guest that is destroyed when the test ends.
func (s *suite) newID() string {
	id := nephos.IDs{}.New()
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.o.Wait)
		defer cancel()
		if err := s.d.Destroy(ctx, id); err != nil {
			s.t.Errorf("destroy guest %s after the test: %v", id, err)
		}
	})
	return id
}

// spec returns a small guest with a blank root disk.
func (s *suite) spec() hypervisor.Spec {
	spec := hypervisor.Spec{
		CloudID: s.o.CloudID, Name: "web-1", Revision: 7, VCPUs: 1, MemoryMiB: 64,
		Disks:  []driver.Disk{blank("root", 8<<20, 0)},
		Labels: map[string]string{"project": "p1", "odd": "a=b,c \"d\"\nünï"},
	}
	if s.o.Spec != nil {
		s.o.Spec(s.t, &spec)
	}
	return spec
}

// guest ensures a guest and returns its id.
func (s *suite) guest() string {
	id := s.newID()
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, s.spec()))
	return id
}

// running ensures and starts a guest.
func (s *suite) running() string {
	id := s.guest()
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	require.Equal(s.t, hypervisor.Running, s.get(id).State)
	return id
}

func (s *suite) get(id string) hypervisor.Guest {
	s.t.Helper()
	g, err := s.d.Get(s.ctx(), id)
	require.NoError(s.t, err)
	return g
}

// stopOptions are the gentlest that the guests understand.
func (s *suite) stopOptions() hypervisor.StopOptions {
	if s.o.Alive {
		return hypervisor.StopOptions{Grace: s.o.Grace}
	}
	return hypervisor.StopOptions{}
}

// reopen closes the driver and opens it again.
func (s *suite) reopen() {
	require.NoError(s.t, s.d.Close())
	s.d = s.open(s.t)
}

func blank(id string, size int64, boot int) driver.Disk {
	return driver.Disk{
		ID: id, Source: driver.Connection{Type: "local"}, Format: "qcow2", SizeBytes: size,
		BootIndex: boot, Serial: id,
	}
}
