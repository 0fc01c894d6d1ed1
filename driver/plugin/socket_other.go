//go:build !linux

package plugin

import "os"

func socketName(f *os.File) string { return f.Name() }
