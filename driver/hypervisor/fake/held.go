package fake

import (
	"maps"
	"slices"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// held is what a guest has beyond its spec.
type held struct {
	sizes     map[string]int64 // of disks that were grown, in bytes
	limits    map[string]driver.Limits
	content   map[string]content // of disks that were imported
	rescue    *driver.Disk
	passwords map[string]string
	migration *migration
}

// content is a disk's content as it came.
type content struct {
	image hypervisor.DiskImage
	bytes []byte
}

// disks are the guest's, the rescue disk first.
func (g *guest) disks() []driver.Disk {
	if g.held.rescue == nil {
		return g.spec.Disks
	}
	return append([]driver.Disk{*g.held.rescue}, g.spec.Disks...)
}

// size is how large a disk is, in bytes.
func (g *guest) size(d driver.Disk) int64 {
	return max(d.SizeBytes, g.held.sizes[d.ID], g.held.content[d.ID].image.VirtualSize)
}

// forget drops what belongs to disks that the guest does not have any more.
func (g *guest) forget() {
	gone := func(id string) bool { return findDisk(g.spec.Disks, id) == nil }
	maps.DeleteFunc(g.held.sizes, func(id string, _ int64) bool { return gone(id) })
	maps.DeleteFunc(g.held.limits, func(id string, _ driver.Limits) bool { return gone(id) })
	maps.DeleteFunc(g.held.content, func(id string, _ content) bool { return gone(id) })
}

// put sets a key of a map that may not be there yet.
func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = make(map[K]V)
	}
	(*m)[k] = v
}

// Password returns what SetPassword set last for a user of the guest.
func (s *State) Password(id, user string) (password string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.guests[id]; g != nil {
		password, ok = g.held.passwords[user]
	}
	return password, ok
}

// Limits returns the limits of a guest's disk, by ThrottleDisk or its spec.
func (s *State) Limits(id, diskID string) driver.Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.guests[id]
	if g == nil {
		return driver.Limits{}
	}
	if l, ok := g.held.limits[diskID]; ok {
		return l
	}
	if d := findDisk(g.spec.Disks, diskID); d != nil && d.Source.Limits != nil {
		return *d.Source.Limits
	}
	return driver.Limits{}
}

// ids returns the IDs of the disks.
func ids(disks []driver.Disk) []string {
	out := make([]string, 0, len(disks))
	for _, d := range disks {
		out = append(out, d.ID)
	}
	return slices.Clip(out)
}
