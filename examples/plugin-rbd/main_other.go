//go:build !ceph

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "plugin-rbd: built without librbd; build it with -tags ceph,pacific (see its package comment)")
	os.Exit(1)
}
