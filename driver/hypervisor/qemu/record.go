package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// record is spec.json: what a guest is.
type record struct {
	ID   string
	Spec hypervisor.Spec
	// Made tells of each local disk that has a file what it was made on.
	Made map[string]madeDisk
	// Slots are the PCI slots of disks and cards, by device.
	Slots map[string]int
	// Sizes are what disks were grown to, in bytes; Limits what ThrottleDisk said
	// since the last Ensure; Rescue the disk that the guest is rescued with.
	Sizes  map[string]int64         `json:",omitempty"`
	Limits map[string]driver.Limits `json:",omitempty"`
	Rescue *driver.Disk             `json:",omitempty"`
	Move   *move                    `json:",omitempty"`
}

// madeDisk is a local disk's origin.
type madeDisk struct {
	Base *driver.Image `json:",omitempty"`
	// Whole says that the disk was imported: it is for that base, and not on it.
	Whole bool `json:",omitempty"`
}

// runRecord is run.json: the guest's last or present power-on.
type runRecord struct {
	PID     int
	Ticks   uint64 // the process's start time, in clock ticks since the host's boot
	BootID  string // of the host
	Started time.Time
	shape                    // what this power-on has: the spec may have changed
	Ended   hypervisor.State `json:",omitempty"` // how it ended; empty while it may run
}

// withoutSecrets copies a spec for the disk and for memory.
func withoutSecrets(s hypervisor.Spec) hypervisor.Spec {
	s.Disks, s.NICs, s.Labels = slices.Clone(s.Disks), slices.Clone(s.NICs), maps.Clone(s.Labels)
	for i := range s.Disks {
		s.Disks[i].Source.Secrets = nil
		s.Disks[i].Source.Options = maps.Clone(s.Disks[i].Source.Options)
		if b := s.Disks[i].Base; b != nil {
			base := *b
			s.Disks[i].Base = &base
		}
	}
	return s
}

// writeJSON replaces a file whole, so that a power cut leaves the old or the
// new one.
func writeJSON(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readJSON reads a file of ours; false when it is not there.
func readJSON(path string, value any) (bool, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, value)
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	return true, nil
}
