// Package domain says what a guest is in libvirt's words: it turns a
// [hypervisor.Spec] into domain XML and reads back what it wrote. It speaks to
// no libvirt, so it builds and is tested without one.
//
// A [Platform] is what a connection offers, chosen from its capabilities. A
// [Record] is what we keep about a guest; it travels in the domain's <metadata>,
// in elements of our own, so that the hypervisor itself is the memory. [Build]
// makes the domain, and keeps of an older one what the guest must find again:
// its machine, its controllers and the addresses of its devices.
package domain
