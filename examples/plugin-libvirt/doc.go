// Command plugin-libvirt runs guests with libvirt, as a plugin: libvirt.so stays
// out of the host's agent. It is built with libvirt's headers at hand (Debian:
// libvirt-dev) and the tag libvirt:
//
//	go build -tags libvirt -o plugin-libvirt ./examples/plugin-libvirt
//	allinone -hypervisor ./plugin-libvirt,arg=-uri=qemu:///system
//
// Without a libvirtd on the host, -libvirtd starts one of the plugin's own, in
// the network namespace that holds the guests' taps:
//
//	allinone -hypervisor ./plugin-libvirt,arg=-libvirtd=/var/lib/nephos/libvirt,arg=-netns=/run/netns/nephos
//
// The daemon and its guests outlive the plugin, and the next one finds them.
package main
