package hypervisor

import (
	"strings"
	"time"

	"github.com/nephos-cloud/nephos/driver"
)

// Server is the desired state of a server on its host: the spec of an [driver.Object]
// of kind server. It is complete: the agent asks nobody anything to carry
// it out.
type Server struct {
	Spec  Spec
	Power Power
	// Image is the source of the root disk, when Spec has a local disk "root"
	// without a base: the agent fetches it into its cache and sets the base.
	Image *ImageSource `json:",omitempty"`
	// Ports are the IDs of ports that must be plugged before the start, in the
	// order of the cards. The agent fills Spec.NICs from them.
	Ports []PortRef `json:",omitempty"`
	// Files are the guest's metadata by path, such as
	// "openstack/latest/meta_data.json": served at 169.254.169.254 and, with
	// ConfigDrive, written to a disk labelled config-2.
	Files map[string][]byte `json:",omitempty"`
	// Aliases are further names of folders of Files: "openstack/2012-08-10" is
	// "openstack/latest". See [Server.AllFiles].
	Aliases     map[string]string `json:",omitempty"`
	ConfigDrive bool              `json:",omitempty"`
	// Generation counts the decisions about power. An agent carries out each
	// once: it converges to Power, or, when Reboot is set and the guest runs,
	// reboots it. A guest that stops by itself afterwards is reported and left.
	Generation int64
	Reboot     string        `json:",omitempty"` // "", soft or hard
	Grace      time.Duration `json:",omitempty"` // of a stop or a soft reboot
}

// Power is the wanted power state.
type Power string

// The wanted power states.
const (
	PowerOn     Power = "on"
	PowerOff    Power = "off"
	PowerPaused Power = "paused"
	// PowerSuspended is off with its memory kept, for PowerOn to go on with.
	PowerSuspended Power = "suspended"
)

// ImageSource says where an agent gets an image.
type ImageSource struct {
	ID     string
	URL    string // short-lived and signed
	Format string // raw or qcow2 (iso boots as a CD)
	Digest string // sha512 in hex, checked while fetching
	Size   int64
}

// PortRef is a card of a server.
type PortRef struct {
	ID  string
	MAC string
	MTU int
}

// AllFiles returns Files under all their names, sharing the bytes.
func (s *Server) AllFiles() map[string][]byte {
	all := make(map[string][]byte, len(s.Files)*(1+len(s.Aliases)))
	for name, data := range s.Files {
		all[name] = data
	}
	for alias, folder := range s.Aliases {
		for name, data := range s.Files {
			if rest, ok := strings.CutPrefix(name, folder+"/"); ok {
				all[alias+"/"+rest] = data
			}
		}
	}
	return all
}

// RootDisk returns the disk "root" of the spec, or nil.
func (s *Server) RootDisk() *driver.Disk {
	for i := range s.Spec.Disks {
		if s.Spec.Disks[i].ID == "root" {
			return &s.Spec.Disks[i]
		}
	}
	return nil
}
