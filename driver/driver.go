package driver

import (
	"encoding/json"
	"time"
)

// Object is one piece of a host's desired state: whole, with a revision. It is
// what travels to an agent. An agent refuses an object with an older epoch, or
// the same epoch and an older revision, than it has; only Deleted destroys.
type Object struct {
	Kind     Kind
	ID       string
	Epoch    int64 // of the controller's lease; a stalled controller has an older one
	Revision int64
	Deleted  bool            // a tombstone; Spec is empty
	Spec     json.RawMessage // hypervisor.Server, network.Network, network.Port …
	// Trace is the W3C traceparent of the request that caused the change.
	Trace string `json:",omitempty"`
}

// Kind names the type of an [Object].
type Kind string

// The kinds of object a host can be asked to carry.
const (
	KindServer        Kind = "server"
	KindNetwork       Kind = "network"
	KindPort          Kind = "port"
	KindRouter        Kind = "router"
	KindSecurityGroup Kind = "security-group"
)

// Report is what an agent says of an object, or of its host when Kind is empty.
type Report struct {
	Host     string
	Kind     Kind   `json:",omitempty"`
	ID       string `json:",omitempty"`
	Epoch    int64  `json:",omitempty"` // of the object
	Revision int64  `json:",omitempty"` // the newest revision carried out, or tried
	Deleted  bool   `json:",omitempty"` // the tombstone has been carried out
	State    string `json:",omitempty"` // a server's: running, paused, stopped, crashed; a port's: up, down
	Error    string `json:",omitempty"` // why the revision could not be carried out
	Fatal    bool   `json:",omitempty"` // a retry cannot help
	// Moments are what happened on the way and is worth keeping: image, network,
	// volume, defined, running, dhcp, metadata, password.
	Moments []Moment        `json:",omitempty"`
	Data    json.RawMessage `json:",omitempty"` // of the moment password: what the guest posted
	At      time.Time
}

// Moment is a named point in time of a server's life on its host.
type Moment struct {
	Name string
	At   time.Time
}

// Connection says how a host reaches a disk. Type decides which options count:
//
//	file   Path is a file on this host
//	local  the hypervisor driver keeps the disk itself, made from Disk.Base
//	rbd, nbd, iscsi   by Options; see the volume driver that makes them
type Connection struct {
	Type    string
	Path    string            `json:",omitempty"`
	Options map[string]string `json:",omitempty"`
	Secrets map[string]string `json:",omitempty"` // never logged
	// Limits bound the disk's traffic, and are honoured by hypervisors that are
	// DiskThrottlers; nil where there are none, or the pool itself keeps them.
	Limits *Limits `json:",omitempty"`
	// Shared says that other guests may have the disk at the same time: nobody
	// locks it, and its format must be raw.
	Shared bool `json:",omitempty"`
	// Encryption says that the bytes are encrypted and the hypervisor, a
	// DiskDecrypter, is to decrypt them with Secrets["passphrase"]; nil where they
	// are not, or the pool itself does it.
	Encryption *Encryption `json:",omitempty"`
}

// Image is a base image in the host's cache: a regular file that nobody
// changes, inspected and free of outside references.
type Image struct {
	Path   string
	Format string // raw or qcow2
	Digest string // sha512 in hex
}

// Disk is a disk of a guest.
type Disk struct {
	ID     string // volume ID, or "root", "ephemeral0", "swap", "config"
	Source Connection
	Format string // raw or qcow2, recorded and never probed
	// Base and SizeBytes describe a local disk: an overlay on Base, or blank
	// when Base is nil, of at least SizeBytes.
	Base      *Image `json:",omitempty"`
	SizeBytes int64  `json:",omitempty"`
	ReadOnly  bool   `json:",omitempty"`
	Bus       string `json:",omitempty"` // virtio (default), scsi, ide, sata
	CDROM     bool   `json:",omitempty"`
	BootIndex int    // 0 boots first; -1 never
	Serial    string `json:",omitempty"` // what the guest sees, at most 20 bytes
	Device    string `json:",omitempty"` // the name the API shows, such as /dev/vdb; a hint only
}

// NIC is a network card of a guest.
type NIC struct {
	ID        string // port ID
	MAC       string
	MTU       int    `json:",omitempty"`
	Device    string // the tap made by the network driver
	Namespace string `json:",omitempty"` // path of the network namespace that holds the device
	Model     string `json:",omitempty"` // virtio (default), e1000
}
