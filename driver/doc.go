// Package driver holds what the kinds of driver share, and is the guide for
// somebody who writes one.
//
// # Kinds
//
// There are four kinds, each a package below this one with a small required
// interface named Driver: hypervisor (guests on one host), network (networks,
// ports and routers on one host), volume (a pool of block storage) and blob
// (objects, such as image bytes). A driver implements the interface of its
// kind; users hold the kind's concrete type (hypervisor.Node, network.Node,
// volume.Pool, blob.Store), which asks for abilities once and keeps deadlines
// in one place.
//
// Two kinds have two halves. A network back end that is told once for all hosts
// is a network.Controller beside its hosts' Drivers. A pool whose connections no
// hypervisor understands has a host half, volume.Attacher, in a driver opened on
// each host.
//
// # How to write one
//
// Implement the required interface and run the kind's suite from a test:
//
//	func TestDriver(t *testing.T) {
//		volumetest.Run(t, func(t drivertest.T, dir string) volume.Driver {
//			return open(t, dir)
//		}, volumetest.Options{})
//	}
//
// Then add abilities one at a time; the suite tests each from the moment that
// it is offered. The drivers named fake (mem for blobs) are the shortest that
// have all of them. To run out of process, call plugin.Serve in your main: the
// interface is the same. driver/plugin/certify runs the suites against such a
// program, whatever language it is written in.
//
// # Duties
//
// Every call takes ctx first and honours its cancellation; takes our ID, never
// one of the driver's own; and is idempotent: Ensure converges whatever it
// finds (nothing, half of it, an older revision, exactly it) to the whole spec
// it is given, and Delete of what is not there succeeds. Calls with different
// IDs run concurrently; calls with the same ID are serialised by the caller,
// but a driver must not lose data if they are not.
//
// A call whose context is done before it begins does nothing and returns the
// context's error. A call that is cut short may have done some of its work: it
// is made again, or its object is deleted. What makes something whole (Put,
// CreateFromImage, ImportDisk, Snapshot) leaves all of it or nothing.
//
// Arguments are plain data, and their caller may change them after the call: copy
// what you keep. Results are the caller's to change: hand out copies. Streams are io.Reader and io.ReadCloser; a reader given as an
// argument is not read after the call has returned, one that is returned lives
// until it is closed or the call's context ends. Channels of events close when
// the context ends or the driver is closed.
//
// Identifiers are checked by the concrete types, and a driver checks them again
// with the kind's CheckID, in every call, Delete's too: they become names of files
// and devices. What is no identifier is ErrInvalid.
//
// Passphrases and keys travel in fields named Secrets, and passwords in
// arguments: none is logged, written down or put into an error.
//
// # Units
//
// Sizes are bytes (int64) unless the name says GiB or MiB; rates are bytes,
// operations or kilobits a second as named; times are time.Duration and
// time.Time. Zero is "not given", -1 "not known".
//
// # What survives a crash
//
// A driver keeps no database. What it made carries our labels (cloud ID and
// object ID), so that List after a restart, or after kill -9 at any moment,
// tells what is there. Nothing is destroyed because it is unknown. In detail:
//
//   - Guests run on without their driver, and are found again with the same
//     labels, state, disks and cards; so do suspended and rescued ones, disks
//     that were imported, and live migrations under way.
//   - Packets flow on without their driver; filters, limits and addresses hold.
//     DHCP, metadata and names pause until the next driver has been told of its
//     networks again: whoever opens a driver tells it everything.
//   - Volumes, snapshots, attachments (on both halves) and limits stay.
//   - Objects and parts of uploads stay whose call had returned; of others
//     nothing is left but rubbish, which the next Open removes.
//
// A plugin that ends is ended alone: processes that it started run on, as guests
// must. What is not to outlive it watches its own standard input, or is ended by
// the next Open.
//
// # Abilities
//
// What not every driver can do is a further small interface of the kind's
// package (Pauser, Snapshotter and so on). Implementing one offers it. A driver
// whose method set cannot vary, such as a proxy, implements Abilities to narrow
// the offer. Calling an absent ability gives an error that wraps
// errors.ErrUnsupported. New abilities come as new interfaces only: a driver
// that was good stays good.
//
// Some data in a spec asks for an ability: a port's QoS for QoSDriver, a
// volume's Limits for Limiter. The concrete types refuse such a spec for drivers
// that would not honour it.
//
// The abilities of a hypervisor.Driver, and what makes Nephos call them:
//
//	HotPlugger       volumes and interfaces attached to a running server
//	Rebooter         reboot, soft and hard
//	Pauser           pause, unpause
//	Suspender        suspend, resume
//	Snapshotter      create image of a server, running or not; backups; shelve
//	DiskResizer      a volume in use was extended; resize to a larger root disk
//	DiskThrottler    a volume type's front-end limits; Connection.Limits
//	DiskDecrypter    encrypted volume types; Connection.Encryption
//	DiskExporter     cold migration and resize to another host, on the source
//	DiskImporter     the same, on the destination
//	LiveMigrator     live migration, on both hosts
//	Rescuer          rescue, unrescue
//	ConsoleLogger    the console's log
//	Consoler         consoles: VNC, serial port, SPICE
//	Eventer          a guest that stops by itself is known at once
//	Diagnoser        diagnostics, in the Compute API's names
//	Statistician     metering
//	PasswordSetter   change the administrator's password
//	ImageCacher      base images, where they do not lie on the host itself
//	Placer           dedicated CPUs, NUMA cells, huge pages; Spec.NUMA
//	DevicePasser     PCI devices of the host; Spec.PCI
//
// Of a network.Driver, and those marked * of a network.Controller too:
//
//	RouterDriver*    routers, their gateways, floating IPs
//	MetadataServer   169.254.169.254 inside networks
//	Eventer*         an address was leased; a port came up
//	Statistician     metering
//	QoSDriver*       QoS policies of ports and networks
//	TrunkDriver*     trunks
//	NameServer*      internal DNS
//
// Of a volume.Driver:
//
//	Snapshotter      snapshots, and volumes made of them
//	Cloner           volumes made of volumes
//	ImageWriter      volumes made of images, streamed
//	ImageCloner      the same, where the image's store names a place that the pool
//	                 can clone from (blob.Locator); else it is streamed
//	ImageReader      upload to image; backups; moves to pools out of reach
//	Extender         extend; in use where the format can (else ErrConflict)
//	Reverter         revert to snapshot
//	Retyper          retype without migration
//	Migrator         migration and retype to a pool within reach; else copied
//	Grouper          snapshots of groups
//	Adopter          manage, unmanage, list manageable
//	MultiAttacher    volumes of types with multiattach; live migration
//	Limiter          volume types with QoS specs
//	Encrypter        encrypted volume types
//	DiffExporter     incremental backups
//	DiffImporter     restoring them
//	Attacher         connecting on the host, before the hypervisor sees the disk
//
// Of a blob.Driver:
//
//	Copier           an image copied inside its store
//	Locator          image hand-off to ImageCloner
//	Multiparter      large uploads, in parallel, and resumed after a crash
//
// # Errors
//
// Errors wrap the sentinels of package nephos, and keep their meaning out of
// process too:
//
//	ErrNotFound      the ID, or the disk, snapshot or part named, does not exist
//	ErrInvalid       the arguments can never work; nothing was done
//	ErrConflict      the state forbids it now: in use, running, not there yet
//	ErrNoCapacity    the host or pool is full
//	ErrUnavailable   a retry may cure it: something does not answer
//	ErrRange         a range outside an object
//	ErrUnsupported   (of package errors) never, with this driver or this data:
//	                 the caller takes another way
//	the context's    the call was cut short
//
// Anything else is taken as a failure worth retrying until the operation's
// deadline passes. An error says what was attempted, on which ID, and where it
// can, the remedy.
//
// # A guest's life, call by call
//
// Before, the network driver was told of the guest's networks, security groups
// and ports (EnsurePort returned the taps), the pool connected its volumes, and
// the base image lies in the cache. Then:
//
//	Ensure            the guest, its local disks and devices; it is Stopped
//	Start             Running; Events tells so
//	Ensure            with more disks or cards: plugged, if a HotPlugger
//	Snapshot, Console, Pause, Reboot …
//	Stop              with a grace: the guest is asked first
//	Ensure            with another flavor: processors, memory, a larger disk
//	Start
//	Destroy           with its local disks; then ports and volumes are let go
//
// A guest that powers itself off is told by Events as Stopped, with Guest set,
// and left alone. After the host's boot every guest is Stopped, and those that
// should run are ensured and started again. A cold migration is described at
// hypervisor.DiskExporter, a live one at hypervisor.LiveMigrator.
//
// # A port's life
//
//	EnsureNetwork         its segment, subnets, DHCP
//	EnsureSecurityGroup   at any time: a group that is not there lets nothing in
//	EnsurePort            the tap; filters hold before it returns
//	EnsurePort            again at every change; the tap stays the same
//	EnsureRouter          when a router has a foot in the network
//	DeletePort            after the guest has let go of the tap
//	DeleteNetwork         once no port or router is on it (ErrConflict before)
//
// With a Controller, EnsureNetwork, EnsurePort and the rest go to it when the
// API is called; Bind when the guest is placed; and the host's driver gets its
// EnsurePort as ever. At a live migration the port is bound with MigratingTo,
// and bound to the destination alone once the guest is there.
//
// # A volume's life
//
//	Create                or CreateFromImage, CloneImage, Clone, CreateFromSnapshot
//	Connect               for an attachment: how the host reaches it
//	Attach                on the host, if the pool has a host half
//	                      the hypervisor's Ensure plugs the disk
//	CreateSnapshot        at any time, in use or not
//	Extend                then the hypervisor's ResizeDisk, if it is in use
//	Detach, Disconnect    after the hypervisor's Ensure without the disk
//	Delete                once nobody is connected, and no snapshot needs it
//
// # An object's life
//
//	Put                   or BeginParts, PutPart at will, CompleteParts
//	Get                   ranges, from many readers at once
//	Location              when a pool on the same storage may clone it
//	Delete                readers that have it open read on
//
// Objects are never changed in place: Put replaces one whole.
package driver
