//go:build !libvirt

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "plugin-libvirt: built without libvirt; install its headers (Debian: libvirt-dev) and build with -tags libvirt")
	os.Exit(1)
}
