//go:build !linux

package durable

import "os"

// lock does nothing here: one process at a time may use a directory.
func lock(*os.File) (bool, error) { return true, nil }

// Preallocate does nothing here.
func Preallocate(*os.File, int64) error { return nil }

// StartWriteback does nothing here.
func StartWriteback(*os.File, int64, int64) {}

// IsFull reports whether the error says that there is no room left.
func IsFull(error) bool { return false }
