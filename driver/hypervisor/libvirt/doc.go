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
// and s/ sockets of serial ports, whose paths must be short: with a Dir of more
// than about 90 bytes the serial ports are terminals.
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
// # Containers
//
// On lxc:///system guests share the host's kernel. Their disks are raw files
// that libvirt mounts (the root disk's /sbin/init is what runs); blank ones get
// a file system. They have no cards: a container cannot read a tap.
//
// # Moving guests
//
// A live migration is libvirtd talking to libvirtd, at Config.MigrationURI; local
// disks travel too, above base images that both hosts have. QEMU listens at the
// address of PrepareOptions, unencrypted unless libvirt's own configuration says
// otherwise. Drivers may be killed meanwhile. Post-copy begins after the first
// pass over the memory, if some of it has changed since.
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
