// Package guest makes a small Linux guest image to try a cloud with: it boots
// in seconds, in 96 MiB of memory, and says on its serial console how far it
// got, so that a test can wait for it.
//
// The package has no Go code to import. The script build makes the image out of
// Debian's packages and of the files below root and initramfs; README.md tells
// what the guest does and which lines it writes. The tests build the image and
// boot it under QEMU; they need root, Debian, QEMU and NEPHOS_E2E=1.
package guest
