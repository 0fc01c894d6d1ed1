package driver

import (
	"context"
	"io"
	"time"
)

// Fleet is how a service reaches hosts. It is a small door: desired state goes
// out whole, short questions get short answers, consoles are streams. What a
// service puts there may be lost at any moment; the service's database is the
// record, and it publishes again when asked to.
type Fleet interface {
	// Put sends an object to a host's agent, replacing the older revision of the
	// same kind and ID. It returns once the object is on its way.
	Put(ctx context.Context, host string, o Object) error
	// Ask puts a short question to the host's agent: in and out are encoded as
	// JSON. An agent that does not answer within the context's deadline, or a
	// few seconds, gives ErrUnavailable; its own errors keep their meaning.
	Ask(ctx context.Context, host, question string, in, out any) error
	// Dial opens a stream to something on the host, such as a console.
	Dial(ctx context.Context, host, question string, in any) (io.ReadWriteCloser, error)
}

// The questions an agent answers.
const (
	AskConsoleLog  = "console-log" // ConsoleLogQuestion -> ConsoleLogAnswer
	AskDiagnostics = "diagnostics" // ServerQuestion -> map[string]any
	AskSnapshot    = "snapshot"    // SnapshotQuestion -> SnapshotAnswer
	DialConsole    = "console"     // ConsoleQuestion -> stream
)

// ServerQuestion asks about one server.
type ServerQuestion struct{ ID string }

// ConsoleLogQuestion asks for the end of a server's console log.
type ConsoleLogQuestion struct {
	ID  string
	Max int64 // bytes
}

// ConsoleLogAnswer carries it.
type ConsoleLogAnswer struct{ Log []byte }

// ConsoleQuestion asks for a console: kind is vnc or serial.
type ConsoleQuestion struct{ ID, Kind string }

// SnapshotQuestion asks for an independent qcow2 copy of a server's disk,
// which the agent sends by PUT to the URL. A copy takes longer than a question
// may: the first question begins it, and one asked again, with the same URL but
// for its query, tells whether it is done. After an error, which is told once,
// the next question begins again.
type SnapshotQuestion struct{ ID, Disk, URL string }

// SnapshotAnswer says whether the copy was sent, and how many bytes it has.
type SnapshotAnswer struct {
	Done bool
	Size int64
}

// Observer is what a service does with what it hears from hosts. The calls come
// one at a time for each host, and again if they return an error.
type Observer interface {
	// Reported takes a report about an object of one of the service's kinds, or
	// an event.
	Reported(ctx context.Context, r Report) error
	// Beat takes a host's heartbeat: every few seconds, and at once when the
	// agent starts.
	Beat(ctx context.Context, h HostBeat) error
	// Republish calls put with every object, tombstones included, that the host
	// should know. It is asked for when an agent starts or the bus was emptied.
	Republish(ctx context.Context, host string, put func(Object) error) error
}

// HostBeat says that a host is alive, and what it is.
type HostBeat struct {
	Host    string
	AgentID string // new with each start of the agent
	BootID  string // new with each boot of the host
	Zone    string // availability zone it wants to start in; empty: the default
	At      time.Time
	Hypervisor
	Abilities []string // of the hypervisor, by interface name
	Networks  []string // of the network driver
	Guests    []string // unknown guests that carry the cloud's label
}

// Hypervisor is what a host offers, as its heartbeat carries it.
type Hypervisor struct {
	Type, Arch, CPUModel, HostIP                                string
	Version, VCPUs, MemoryMiB, DiskGiB, FreeDiskGiB, RunningVMs int
	Formats                                                     []string

	CPUVendor   string             `json:",omitempty"`
	CPUFeatures []string           `json:",omitempty"` // as the processor names them: aes, avx2
	Traits      []string           `json:",omitempty"` // as the Placement API names them, sorted
	NUMA        []NUMACell         `json:",omitempty"`
	PCI         []PCIDevice        `json:",omitempty"` // that servers may be given
	Metrics     map[string]float64 `json:",omitempty"` // measurements by Nova's names
}
