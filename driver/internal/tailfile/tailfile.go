// Package tailfile reads the ends of logs that others append to, and bounds
// them.
package tailfile

import (
	"errors"
	"io"
	"os"
)

// Last returns the last bytes of a file; none when it is not there.
func Last(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(max(0, size-most), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// Bound empties a log that has grown past limit, and leaves its last keep bytes
// in the file old. Whoever appends goes on at the new end; what it writes
// between the copy and the cut is lost.
func Bound(path, old string, limit, keep int64) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() <= limit {
		return err
	}
	last, err := Last(path, keep)
	if err != nil {
		return err
	}
	if err := os.WriteFile(old+".new", last, 0o600); err != nil {
		return err
	}
	if err := os.Rename(old+".new", old); err != nil {
		return err
	}
	return os.Truncate(path, 0)
}
