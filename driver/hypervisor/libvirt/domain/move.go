package domain

import (
	"errors"
	"fmt"

	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
)

// Move describes a domain as it is to be on another host: what the guest sees is
// from's, and what only a host knows (its processors and cells, the places of disks,
// the names of taps, of sockets and logs) is to's, which was built there. Both are of the same guest.
func Move(from, to *libvirtxml.Domain, fromRec, toRec Record) (*libvirtxml.Domain, error) {
	moved := new(libvirtxml.Domain)
	text, err := from.Marshal()
	if err == nil {
		err = moved.Unmarshal(text)
	}
	if err != nil {
		return nil, fmt.Errorf("describe the domain on the other host: %w", err)
	}
	if moved.Devices == nil || to.Devices == nil {
		return nil, errors.New("describe the domain on the other host: it has no devices")
	}
	moved.CPUTune, moved.NUMATune, moved.MemoryBacking = to.CPUTune, to.NUMATune, to.MemoryBacking
	there := make(map[string]libvirtxml.DomainDisk)
	for i, x := range to.Devices.Disks {
		for id, target := range toRec.Targets {
			if x.Target != nil && x.Target.Dev == target {
				there[id] = to.Devices.Disks[i]
			}
		}
	}
	for i := range moved.Devices.Disks {
		x := &moved.Devices.Disks[i]
		id := ""
		for one, target := range fromRec.Targets {
			if x.Target != nil && x.Target.Dev == target {
				id = one
			}
		}
		if id == "" {
			continue
		}
		other, ok := there[id]
		if !ok {
			return nil, fmt.Errorf("describe the domain on the other host: it has no disk %s there: %w", id, nephos.ErrConflict)
		}
		x.Source, x.BackingStore, x.Auth = other.Source, other.BackingStore, other.Auth
		x.Mirror = nil
	}
	taps := make(map[string]libvirtxml.DomainInterface)
	for _, x := range to.Devices.Interfaces {
		if x.MAC != nil {
			taps[x.MAC.Address] = x
		}
	}
	for i := range moved.Devices.Interfaces {
		x := &moved.Devices.Interfaces[i]
		if x.MAC == nil {
			continue
		}
		other, ok := taps[x.MAC.Address]
		if !ok {
			return nil, fmt.Errorf("describe the domain on the other host: it has no card %s there: %w", x.MAC.Address, nephos.ErrConflict)
		}
		x.Source, x.Target = other.Source, other.Target
	}
	for i := range moved.Devices.Serials {
		if i < len(to.Devices.Serials) {
			moved.Devices.Serials[i].Source, moved.Devices.Serials[i].Log = to.Devices.Serials[i].Source, to.Devices.Serials[i].Log
		}
	}
	for i := range moved.Devices.Consoles {
		// The first of them is the first serial port by another name.
		if i < len(to.Devices.Serials) {
			moved.Devices.Consoles[i].Source, moved.Devices.Consoles[i].Log = to.Devices.Serials[i].Source, to.Devices.Serials[i].Log
		}
	}
	for i := range moved.Devices.Channels {
		// libvirt names the sockets of channels itself, on each host.
		if src := moved.Devices.Channels[i].Source; src != nil && src.UNIX != nil {
			moved.Devices.Channels[i].Source = &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{}}
		}
	}
	for i := range moved.Devices.Graphics {
		g := &moved.Devices.Graphics[i]
		socket := []libvirtxml.DomainGraphicListener{{Socket: &libvirtxml.DomainGraphicListenerSocket{}}}
		if g.VNC != nil {
			g.VNC.Socket, g.VNC.Listeners = "", socket
		}
		if g.Spice != nil {
			g.Spice.Listeners = socket
		}
	}
	return moved, nil
}

// WithMetadata gives a domain another record and run.
func WithMetadata(d *libvirtxml.Domain, rec Record, run Run) error {
	old := ""
	if d.Metadata != nil {
		old = d.Metadata.XML
	}
	text, err := metadata(old, rec, run)
	if err != nil {
		return err
	}
	d.Metadata = &libvirtxml.DomainMetadata{XML: text}
	return nil
}
