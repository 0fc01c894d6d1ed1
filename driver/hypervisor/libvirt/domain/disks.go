package domain

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// OwnFile reports whether the driver keeps a file for the disk: it does for
// local ones, but for a CD, which is its base itself.
func OwnFile(d driver.Disk) bool { return d.Source.Type == "local" && !d.CDROM }

// DiskFormat is the format of local disks: containers mount theirs, which must
// be raw for that.
func (p Platform) DiskFormat() string {
	if p.Container() {
		return "raw"
	}
	return "qcow2"
}

// DiskPath is the file of a local disk.
func (p Platform) DiskPath(dir, id string) string {
	return filepath.Join(dir, "disk-"+id+"."+p.DiskFormat())
}

// CheckDisk refuses what no domain can have.
func CheckDisk(d driver.Disk) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("disk %s: %s: %w", d.ID, fmt.Sprintf(format, args...), nephos.ErrInvalid)
	}
	switch d.Source.Type {
	case "local":
		if d.CDROM && d.Base == nil {
			return bad("a CD needs a base")
		}
		if d.Base != nil && !filepath.IsAbs(d.Base.Path) {
			return bad("base path %q is not absolute", d.Base.Path)
		}
	case "file":
		if !filepath.IsAbs(d.Source.Path) {
			return bad("path %q is not absolute", d.Source.Path)
		}
	case "nbd", "rbd":
		if _, err := networkSource(d); err != nil {
			return err
		}
	default:
		return fmt.Errorf("disk %s: connections of type %q: %w", d.ID, d.Source.Type, errors.ErrUnsupported)
	}
	if e := d.Source.Encryption; e != nil {
		if e.Format != "luks" {
			return fmt.Errorf("disk %s: encryption %q: %w", d.ID, e.Format, errors.ErrUnsupported)
		}
		if d.Source.Type == "local" {
			return bad("a local disk is not encrypted")
		}
	}
	return nil
}

// limits are what bounds a disk; nil when nothing does.
func limits(l *driver.Limits) *libvirtxml.DomainDiskIOTune {
	if l == nil || l.IsZero() {
		return nil
	}
	u := func(n int64) uint64 { return uint64(max(n, 0)) }
	return &libvirtxml.DomainDiskIOTune{
		TotalBytesSec: u(l.TotalBytesSec), ReadBytesSec: u(l.ReadBytesSec), WriteBytesSec: u(l.WriteBytesSec),
		TotalIopsSec: u(l.TotalIOPS), ReadIopsSec: u(l.ReadIOPS), WriteIopsSec: u(l.WriteIOPS),
		TotalBytesSecMax: u(l.TotalBytesSecMax), ReadBytesSecMax: u(l.ReadBytesSecMax), WriteBytesSecMax: u(l.WriteBytesSecMax),
		TotalIopsSecMax: u(l.TotalIOPSMax), ReadIopsSecMax: u(l.ReadIOPSMax), WriteIopsSecMax: u(l.WriteIOPSMax),
		SizeIopsSec: u(l.SizeIOPS),
	}
}

// SameLimits reports whether a disk of a running domain has the limits already.
// What libvirt fills in by itself, such as the size of a burst, does not count.
func SameLimits(has *libvirtxml.DomainDiskIOTune, want *driver.Limits) bool {
	w := limits(want)
	if has == nil || w == nil {
		none := libvirtxml.DomainDiskIOTune{}
		return (has == nil || *has == none) && w == nil
	}
	return has.TotalBytesSec == w.TotalBytesSec && has.ReadBytesSec == w.ReadBytesSec && has.WriteBytesSec == w.WriteBytesSec &&
		has.TotalIopsSec == w.TotalIopsSec && has.ReadIopsSec == w.ReadIopsSec && has.WriteIopsSec == w.WriteIopsSec &&
		has.TotalBytesSecMax == w.TotalBytesSecMax && has.ReadBytesSecMax == w.ReadBytesSecMax && has.WriteBytesSecMax == w.WriteBytesSecMax &&
		has.TotalIopsSecMax == w.TotalIopsSecMax && has.ReadIopsSecMax == w.ReadIopsSecMax && has.WriteIopsSecMax == w.WriteIopsSecMax
}

// networkSource describes a disk that a server has. The options are
//
//	nbd  host and port, or socket; export (the export's name); tls (yes or no)
//	     and tls_hostname, with the certificates that qemu.conf names (nbd_tls)
//	rbd  pool, image, hosts ("a:6789,[::1]:6789"), user, config (a ceph.conf);
//	     secret key: the user's key, in base64 as Ceph prints it
func networkSource(d driver.Disk) (*libvirtxml.DomainDiskSourceNetwork, error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("disk %s: %s: %w", d.ID, fmt.Sprintf(format, args...), nephos.ErrInvalid)
	}
	o := d.Source.Options
	switch d.Source.Type {
	case "nbd":
		n := &libvirtxml.DomainDiskSourceNetwork{Protocol: "nbd", Name: o["export"]}
		socket := o["socket"]
		switch {
		case socket != "" && filepath.IsAbs(socket):
			n.Hosts = []libvirtxml.DomainDiskSourceHost{{Transport: "unix", Socket: socket}}
		case socket != "":
			return nil, bad("option socket %q is not absolute", socket)
		case o["host"] == "":
			return nil, bad("an nbd connection needs option host or socket")
		default:
			n.Hosts = []libvirtxml.DomainDiskSourceHost{{Name: o["host"], Port: cmp.Or(o["port"], "10809")}}
		}
		if tls := o["tls"]; tls != "" && tls != "no" {
			n.TLS, n.TLSHostname = "yes", o["tls_hostname"]
		}
		n.Reconnect = &libvirtxml.DomainDiskSourceNetworkReconnect{Delay: "30"}
		return n, nil
	case "rbd":
		if o["pool"] == "" || o["image"] == "" {
			return nil, bad("an rbd connection needs options pool and image")
		}
		name := o["pool"] + "/" + o["image"]
		if o["namespace"] != "" {
			name = o["pool"] + "/" + o["namespace"] + "/" + o["image"]
		}
		n := &libvirtxml.DomainDiskSourceNetwork{Protocol: "rbd", Name: name}
		for _, host := range strings.FieldsFunc(o["hosts"], func(r rune) bool { return r == ',' || r == ' ' }) {
			at := libvirtxml.DomainDiskSourceHost{Name: host}
			if name, port, err := net.SplitHostPort(host); err == nil {
				at.Name, at.Port = name, port
			}
			n.Hosts = append(n.Hosts, at)
		}
		if conf := o["config"]; conf != "" {
			if !filepath.IsAbs(conf) {
				return nil, bad("option config %q is not absolute", conf)
			}
			n.Config = &libvirtxml.DomainDiskSourceNetworkConfig{File: conf}
		}
		if len(n.Hosts) == 0 && n.Config == nil {
			return nil, bad("an rbd connection needs option hosts or config")
		}
		return n, nil
	}
	return nil, fmt.Errorf("disk %s: connections of type %q: %w", d.ID, d.Source.Type, errors.ErrUnsupported)
}

// SecretUUID is the secret object that holds the key to a disk's server.
func SecretUUID(id, disk string) string { return UUID("secret " + id + " " + disk) }

// PassphraseUUID is the secret object that holds the passphrase of a disk.
func PassphraseUUID(id, disk string) string { return UUID("passphrase " + id + " " + disk) }

// Secret is something that libvirtd must know to open a disk.
type Secret struct {
	UUID, XML string
	Value     []byte
}

// Secrets are those of a disk of the guest id. libvirtd forgets them when it
// ends, and nobody can read them back.
func Secrets(id string, d driver.Disk) ([]Secret, error) {
	var all []Secret
	add := func(uuid, what string, usage *libvirtxml.SecretUsage, value []byte) error {
		x := libvirtxml.Secret{Ephemeral: "yes", Private: "yes", UUID: uuid, Description: what + " of disk " + d.ID + " of guest " + id, Usage: usage}
		text, err := x.Marshal()
		if err != nil {
			return err
		}
		all = append(all, Secret{UUID: uuid, XML: text, Value: value})
		return nil
	}
	if key := d.Source.Secrets["key"]; d.Source.Type == "rbd" && key != "" {
		value, err := base64.StdEncoding.DecodeString(key)
		if err != nil {
			return nil, fmt.Errorf("disk %s: its secret key is not base64: %w", d.ID, nephos.ErrInvalid)
		}
		if err := add(SecretUUID(id, d.ID), "key", &libvirtxml.SecretUsage{Type: "ceph", Name: "nephos " + id + " " + d.ID}, value); err != nil {
			return nil, err
		}
	}
	if phrase := d.Source.Secrets["passphrase"]; d.Source.Encryption != nil && phrase != "" {
		if err := add(PassphraseUUID(id, d.ID), "passphrase", nil, []byte(phrase)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Disk describes a disk of the guest id, whose own files lie in dir.
func Disk(p Platform, id, dir string, d driver.Disk, target string) (libvirtxml.DomainDisk, error) {
	if err := CheckDisk(d); err != nil {
		return libvirtxml.DomainDisk{}, err
	}
	bus, err := p.bus(d.Bus, d.CDROM)
	if err != nil {
		return libvirtxml.DomainDisk{}, err
	}
	x := libvirtxml.DomainDisk{
		Device: "disk", Target: &libvirtxml.DomainDiskTarget{Dev: target, Bus: bus}, Serial: d.Serial,
		Alias: &libvirtxml.DomainAlias{Name: DiskAlias(d.ID)},
	}
	if d.CDROM {
		x.Device = "cdrom"
	}
	if d.ReadOnly || d.CDROM {
		x.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	}
	format, discard := d.Format, "unmap"
	file := func(path string) *libvirtxml.DomainDiskSource {
		return &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}}
	}
	x.BackingStore = &libvirtxml.DomainDiskBackingStore{} // nothing below, whatever the header says
	switch {
	case OwnFile(d):
		format, x.Source = p.DiskFormat(), file(p.DiskPath(dir, d.ID))
		if d.Base != nil && format == "qcow2" {
			x.BackingStore = &libvirtxml.DomainDiskBackingStore{
				Format: &libvirtxml.DomainDiskFormat{Type: d.Base.Format}, Source: file(d.Base.Path),
				BackingStore: &libvirtxml.DomainDiskBackingStore{},
			}
		}
	case d.Source.Type == "local":
		format, x.Source = d.Base.Format, file(d.Base.Path)
	case d.Source.Type == "file" && isDevice(d.Source.Path):
		x.Source = &libvirtxml.DomainDiskSource{Block: &libvirtxml.DomainDiskSourceBlock{Dev: d.Source.Path}}
	case d.Source.Type == "file":
		x.Source = file(d.Source.Path)
	default:
		n, err := networkSource(d)
		if err != nil {
			return x, err
		}
		x.Source = &libvirtxml.DomainDiskSource{Network: n}
		if d.Source.Type == "nbd" {
			format = "raw" // what is served is the disk, whatever it is kept as
		}
		if user := d.Source.Options["user"]; d.Source.Type == "rbd" && user != "" {
			n.Auth = &libvirtxml.DomainDiskAuth{
				Username: user, Secret: &libvirtxml.DomainDiskSecret{Type: "ceph", UUID: SecretUUID(id, d.ID)},
			}
		}
	}
	x.Driver = &libvirtxml.DomainDiskDriver{Name: "qemu", Type: format, Discard: discard}
	if d.CDROM {
		x.Driver.Discard = ""
	}
	x.IOTune = limits(d.Source.Limits)
	if d.Source.Shared {
		x.Shareable = &libvirtxml.DomainDiskShareable{}
	}
	if e := d.Source.Encryption; e != nil {
		x.Source.Encryption = &libvirtxml.DomainDiskEncryption{
			Format:  e.Format,
			Secrets: []libvirtxml.DomainDiskSecret{{Type: "passphrase", UUID: PassphraseUUID(id, d.ID)}},
		}
	}
	if p.Type == "xen" {
		x.Driver, x.BackingStore, x.Alias = &libvirtxml.DomainDiskDriver{Name: "qemu", Type: format}, nil, nil
	}
	return x, nil
}

// isDevice reports whether a path is a block device's, by its place: the file
// itself may not be there yet.
func isDevice(path string) bool { return strings.HasPrefix(filepath.Clean(path), "/dev/") }

// prefixes of the targets' names, by bus.
var prefixes = map[string]string{"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd", "xen": "xvd", "usb": "sd"}

// AssignTargets names the target of every disk: the name it had, else the one
// that the API shows, else the first one free. taken are names that are in use
// beyond those.
func AssignTargets(p Platform, had map[string]string, disks []driver.Disk, taken map[string]bool) (map[string]string, error) {
	targets, used := make(map[string]string, len(disks)), make(map[string]bool)
	for name := range taken {
		used[name] = true
	}
	var fresh []driver.Disk
	for _, d := range disks {
		bus, err := p.bus(d.Bus, d.CDROM)
		if err != nil {
			return nil, err
		}
		if name := had[d.ID]; name != "" && strings.HasPrefix(name, prefixes[bus]) {
			targets[d.ID] = name
			used[name] = true
		} else {
			fresh = append(fresh, d)
		}
	}
	// Those that boot come first, so that the root disk is vda.
	slices.SortStableFunc(fresh, func(a, b driver.Disk) int { return cmp.Compare(bootRank(a), bootRank(b)) })
	for _, d := range fresh {
		bus, _ := p.bus(d.Bus, d.CDROM)
		prefix, ok := prefixes[bus]
		if !ok {
			return nil, fmt.Errorf("disk %s: bus %q: %w", d.ID, bus, errors.ErrUnsupported)
		}
		name := strings.TrimPrefix(d.Device, "/dev/")
		if !targetName(name, prefix) || used[name] {
			for i := 0; ; i++ {
				if name = prefix + letters(i); !used[name] {
					break
				}
			}
		}
		targets[d.ID] = name
		used[name] = true
	}
	return targets, nil
}

func bootRank(d driver.Disk) int {
	if d.BootIndex < 0 {
		return 1 << 30
	}
	return d.BootIndex
}

func targetName(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && len(rest) >= 1 && len(rest) <= 2 && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz") == ""
}

// letters counts a, b … z, aa, ab …
func letters(i int) string {
	s := string(rune('a' + i%26))
	if i >= 26 {
		s = letters(i/26-1) + s
	}
	return s
}

// bootOrder numbers the bootable disks from 1: by BootIndex, then as listed.
func bootOrder(disks []driver.Disk) map[string]uint {
	var bootable []driver.Disk
	for _, d := range disks {
		if d.BootIndex >= 0 {
			bootable = append(bootable, d)
		}
	}
	slices.SortStableFunc(bootable, func(a, b driver.Disk) int { return cmp.Compare(a.BootIndex, b.BootIndex) })
	order := make(map[string]uint, len(bootable))
	for i, d := range bootable {
		order[d.ID] = uint(i + 1)
	}
	return order
}
