package hypervisor

import (
	"context"
	"time"
)

// Statistician counts what a guest uses. Counters run from the guest's power-on
// and never go back while it is on, so that two readings give a rate.
type Statistician interface {
	// Statistics returns the counters of a guest that is running or paused;
	// a stopped one is ErrConflict. It is cheap enough to be asked every few
	// seconds for each guest.
	Statistics(ctx context.Context, id string) (Statistics, error)
}

// Statistics is what a guest uses. A number that the hypervisor does not know
// is -1.
type Statistics struct {
	State   State
	At      time.Time     // when this was read
	Uptime  time.Duration // since power-on
	CPUTime time.Duration // of all processors together
	CPUs    []CPUStatistics
	Memory  MemoryStatistics
	Disks   []DiskStatistics
	NICs    []NICStatistics
}

// CPUStatistics is one processor's.
type CPUStatistics struct {
	ID   int // counted from 0
	Time time.Duration
}

// MemoryStatistics are in bytes.
type MemoryStatistics struct {
	Total     int64 // what the guest was given
	Used      int64 // what the guest says it uses
	Resident  int64 // what the host has spent on the guest
	SwapIn    int64 // read from the guest's swap since power-on
	SwapOut   int64
	MajorFlts int64 // page faults that needed I/O
}

// DiskStatistics is one disk's.
type DiskStatistics struct {
	ID                           string // of the disk, as in the spec
	ReadBytes, WriteBytes        int64
	ReadRequests, WriteRequests  int64
	FlushRequests, Errors        int64
	ReadTime, WriteTime          time.Duration // spent waiting, all requests together
	VirtualBytes, AllocatedBytes int64
}

// NICStatistics is one card's, from the guest's side.
type NICStatistics struct {
	ID                   string // of the card, as in the spec
	MAC                  string
	RxBytes, TxBytes     int64
	RxPackets, TxPackets int64
	RxDropped, TxDropped int64
	RxErrors, TxErrors   int64
}
