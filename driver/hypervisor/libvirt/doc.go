// Package libvirt runs guests through libvirt, wherever a connection URI leads
// on this host: qemu:///system, qemu:///session, test:///default, lxc:///system,
// xen:///system. It implements [hypervisor.Driver] and, by what the connection
// can do, the optional abilities; Abilities narrows them.
//
// It is built only with the tag libvirt, with libvirt's headers at hand (Debian:
// libvirt-dev), and links libvirt.so. Run it as a plugin, examples/plugin-libvirt,
// to keep that out of the host's agent:
//
//	go build -tags libvirt ./examples/plugin-libvirt
//
// or in process:
//
//	d, err := libvirt.Open(ctx, libvirt.Config{CloudID: "cloud", Dir: "/var/lib/nephos/guests"})
//
// # What is where
//
// A guest is a persistent domain named by the guest's ID. What we know of it is
// in the domain's <metadata>, in elements of our own namespace (package domain);
// the driver keeps nothing else. Domains without them, or with another cloud's,
// are left alone and not listed. Below Dir, guests/ID holds a guest's own files:
//
//	disk-ID.qcow2  local disks: overlays on the base image, formats always named
//	console.log    what it wrote to its serial port, bounded; console.old: what was before
//
// Secrets of connections, such as a Ceph key, become ephemeral secret objects of
// libvirt: in the memory of libvirtd only, so Ensure brings them again.
//
// # Where libvirtd must run
//
// libvirtd opens disks and taps itself, by the names it is given. So it must see
// the same files at the same paths as the driver, its QEMU user must be able to
// walk to Dir and to the image cache (libvirtd changes the owners of the files
// themselves while a guest runs, unless configured otherwise), and it must run
// in the network namespace that holds the taps of the network driver: cards are
// <interface type='ethernet'> on taps that are there before, and libvirt opens
// them where it is. A card whose tap is in a namespace other than
// Config.Namespace is refused. Package libvirtd starts such a daemon by itself.
//
// # Nothing is polled
//
// State changes, removed devices, finished block jobs and migrations are heard
// as libvirt's domain events. A connection that ends, as when libvirtd is
// restarted, is opened again; guests do not notice, calls meanwhile fail with
// nephos.ErrUnavailable, and what changed meanwhile is told as events afterwards.
//
// libvirt has one event loop for a process, registered once and for good, before
// the first connection: the one piece of package-level state. Its goroutine runs
// while drivers are open. A program that uses libvirt's default event loop
// itself must not run it at the same time.
package libvirt
