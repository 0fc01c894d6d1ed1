// Package qemu runs guests with QEMU and nothing else: no libvirt, no daemon.
// It implements [hypervisor.Driver] on Linux, for x86-64 guests.
//
//	d, err := qemu.Open(ctx, qemu.Config{CloudID: "cloud", Dir: "/var/lib/nephos/guests", UID: 64055, GID: 64055})
//
// # Guests outlive the driver
//
// A guest is a QEMU process in a session of its own, and a directory below Dir
// named by the guest's ID:
//
//	spec.json     the spec, with labels; written whole or not at all, no secrets
//	run.json      which process it is, or how the last one ended
//	lock          held by the process as long as it lives
//	disk-ID.qcow2 local disks
//	memory        of a suspended guest
//	console.log, console.old   what the guest wrote to its serial port, bounded
//	qemu.log      what QEMU said
//	vm.qmp, vm.ser   sockets: QEMU's machine protocol, the serial port
//
// A driver that is opened after any kind of death of the one before finds the
// running guests by lock, process ID, start time and command line, and talks to
// them again. No process is signalled that was not found to be ours.
//
// QEMU keeps a guest that powers itself off until the driver has seen it, so
// that a poweroff is told from a crash even when nobody was watching.
//
// # QEMU is not trusted
//
// QEMU runs with its own user, QEMU's own seccomp sandbox, no environment, and
// resource limits. It opens no path of ours: disks, taps, logs and sockets are
// opened by the driver and passed as descriptors, so that images, volumes and
// directories stay readable to the driver alone, and a QEMU that was taken over
// reaches only what its guest already has. Image formats are always given and
// backing files named by the driver, never believed from an image's header.
//
// KVM is used only after a probe in which it boots something; else TCG.
package qemu
