//go:build !linux

package file

import (
	"errors"
	"os"
)

func reflink(_, _ *os.File) error { return errors.ErrUnsupported }

func nextData(_ *os.File, off, size int64) (from, to int64, err error) { return off, size, nil }

func punch(f *os.File, off, n int64) error { return writeZeros(f, off, n) }

func diskSpace(string) (total, free float64, err error) { return -1, -1, nil }

func isTooBig(error) bool { return false }
