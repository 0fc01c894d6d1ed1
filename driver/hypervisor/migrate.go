package hypervisor

import (
	"context"
	"time"
)

// LiveMigrator moves a running guest to another host of the same driver.
//
// The order of the calls is:
//
//  1. CheckMigration on the source: may it go there, and what must be copied?
//  2. PrepareMigration on the destination: makes the guest there, waiting for
//     its memory ([Incoming]), and says where.
//  3. Migrate on the source: begins the transfer and returns.
//  4. Migration on the source, again and again, until its Phase is final.
//  5. After [MigrationCompleted]: Destroy on the source. After any other end:
//     AbortMigration on the destination.
//
// At every moment exactly one side may run the guest. Before completion it is
// the source's, and whatever fails, or is aborted, leaves it running there.
// After completion it is the destination's: an ordinary guest with the spec that
// it was prepared with, running, or paused if it was; it may be told as Incoming
// for a moment more, while it unpacks. The source then holds a
// stopped guest that remembers that it has left: Start and Reboot on it are
// ErrConflict, its disks of other connections are let go, and only Destroy ends
// it (or a new PrepareMigration, when the guest comes back).
//
// All calls may be repeated, and both sides' drivers may be killed and opened
// again at any moment: the hypervisors carry the transfer, and Migration tells
// how far it is. If the source's host dies before completion, the destination
// keeps a guest that waits, until AbortMigration or Destroy there.
type LiveMigrator interface {
	// CheckMigration, on the source, asks whether the guest could go to a host
	// that described itself so by Info. What is in the way (a processor that is
	// not compatible, a device that cannot move, a guest that does not run) is
	// ErrConflict. It changes nothing.
	CheckMigration(ctx context.Context, id string, dest Host) (MigrationCheck, error)
	// PrepareMigration, on the destination, makes the guest as the spec says,
	// which has this host's connections, taps and paths, and has it wait for its
	// memory. Asked again before the transfer began it returns a target that is
	// good now. A guest of that ID that is there and runs is ErrConflict.
	PrepareMigration(ctx context.Context, id string, spec Spec, opts PrepareOptions) (MigrationTarget, error)
	// Migrate, on the source, begins the transfer to the target and returns when
	// it has begun. One that is under way to the same target, or has completed,
	// is success; one to another target ErrConflict.
	Migrate(ctx context.Context, id string, target MigrationTarget, opts MigrateOptions) error
	// Migration tells, on either side, how far the last migration of the guest is.
	// A guest that has none is ErrNotFound; the source remembers a completed one
	// until Destroy, the destination may forget it when it completes.
	Migration(ctx context.Context, id string) (Migration, error)
	// AbortMigration, on the source, ends a transfer under way; the guest runs on
	// there. On the destination it removes a guest that waits. Where there is
	// nothing to abort it succeeds; a completed migration is ErrConflict.
	AbortMigration(ctx context.Context, id string) error
}

// Incoming is the state of a guest that waits for its memory from another host.
const Incoming State = "incoming"

// MigrationCheck is what a migration would have to do.
type MigrationCheck struct {
	CopyDisks   []string // local disks, whose content must travel too
	MemoryBytes int64    // at most
}

// PrepareOptions says more of a migration to its destination.
type PrepareOptions struct {
	Source    string   // name or address of the source's host, for people
	Address   string   // IP address of this host to listen on; empty: this machine only
	CopyDisks []string // of MigrationCheck; ErrUnsupported if that cannot be done
	Bytes     int64    // of all content to come, for a check of room; 0 is not known
}

// MigrationTarget says where a guest goes, for the source's driver. It is plain
// data that travels from host to host; only drivers of the same type read it.
type MigrationTarget struct {
	Type    string            // of the destination's hypervisor, as Host.Type
	Address string            // a URI, such as tcp:10.0.0.2:49152
	Disks   map[string]string // disk ID to the URI that takes its content
	Options map[string]string // whatever else the driver needs
	Secrets map[string]string // never logged
}

// MigrateOptions tunes a transfer. Zero fields leave it to the hypervisor.
type MigrateOptions struct {
	MaxDowntime    time.Duration // that the guest may be stopped for
	BytesPerSecond int64         // bound of the traffic
	// AutoConverge slows the guest when it changes memory faster than it travels.
	AutoConverge bool
	// PostCopy starts the guest at the destination before all memory is there; if
	// a host dies then, the guest is lost. ErrUnsupported if it cannot be done.
	PostCopy bool
}

// MigrationPhase is how far a migration is.
type MigrationPhase string

// The phases of a migration. The last three are final.
const (
	MigrationPrepared  MigrationPhase = "prepared" // the destination waits
	MigrationActive    MigrationPhase = "active"
	MigrationCompleted MigrationPhase = "completed"
	MigrationFailed    MigrationPhase = "failed"
	MigrationAborted   MigrationPhase = "aborted"
)

// Migration tells how far a migration is. Bytes are 0 where they are not known.
type Migration struct {
	Phase                                         MigrationPhase
	Error                                         string // why it failed
	MemoryTotal, MemoryProcessed, MemoryRemaining int64
	DiskTotal, DiskProcessed, DiskRemaining       int64
	Elapsed, Downtime                             time.Duration
}
