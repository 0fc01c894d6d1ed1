// Package durable writes files that are there whole or not at all, also when
// the process or the machine dies half-way. Drivers that keep their objects as
// files share it.
//
// A file is made under a temporary name in a directory of its own, locked for
// as long as its writer lives, and moved to its name by [Temp.Commit] when its
// content is on disk. What a dead writer left, and only that, [Clean] removes:
// several processes may use one directory.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Temp is a file on its way to its name. Use the embedded file to write it; do
// not close it.
type Temp struct {
	*os.File
	done bool
}

// Create makes an empty temporary file in dir, which must be on the file system
// of its later name.
func Create(dir string, perm os.FileMode) (*Temp, error) {
	for {
		f, err := os.OpenFile(filepath.Join(dir, rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if err != nil {
			return nil, fmt.Errorf("making a temporary file: %w", err)
		}
		alive, err := lock(f)
		if err == nil && alive {
			return &Temp{File: f}, nil
		}
		_ = f.Close()
		if err != nil {
			_ = os.Remove(f.Name())
			return nil, fmt.Errorf("locking a temporary file: %w", err)
		}
		// Somebody's Clean saw the file before it was locked: make another.
	}
}

// Abort removes the file. After Commit it does nothing, so it may be deferred.
func (t *Temp) Abort() {
	if t.done {
		return
	}
	t.done = true
	_ = os.Remove(t.Name())
	_ = t.Close()
}

// Commit puts the file's content on disk, moves it to path, replacing what was
// there, and puts that on disk too. After an error the file is gone, unless the
// very last step failed.
func (t *Temp) Commit(path string) error {
	defer t.Abort()
	if err := t.Sync(); err != nil {
		return fmt.Errorf("putting %s on disk: %w", filepath.Base(path), err)
	}
	if err := os.Rename(t.Name(), path); err != nil {
		return fmt.Errorf("naming %s: %w", filepath.Base(path), err)
	}
	t.done = true
	if err := t.Close(); err != nil {
		return fmt.Errorf("closing %s: %w", filepath.Base(path), err)
	}
	return SyncDir(filepath.Dir(path))
}

// Clean removes the temporary files in dir whose writers are dead, and returns
// how many there were.
func Clean(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("cleaning up temporary files: %w", err)
	}
	n := 0
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return n, fmt.Errorf("cleaning up temporary files: %w", err)
		}
		alive, err := lock(f) // fails while its writer lives
		if err == nil && alive {
			if err = os.Remove(path); err == nil {
				n++
			}
		}
		_ = f.Close()
		if err != nil && !errors.Is(err, errLocked) && !errors.Is(err, fs.ErrNotExist) {
			return n, fmt.Errorf("cleaning up temporary files: %w", err)
		}
	}
	return n, nil
}

var errLocked = errors.New("locked by another process")

// Remove removes the named file for good. That it is not there is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// WriteFile makes or replaces the file, by way of a temporary one in tmp.
func WriteFile(tmp, path string, content []byte, perm os.FileMode) error {
	t, err := Create(tmp, perm)
	if err != nil {
		return err
	}
	defer t.Abort()
	if _, err := t.Write(content); err != nil {
		return err
	}
	return t.Commit(path)
}

// MkdirAll makes the directories, each on disk before it returns.
func MkdirAll(path string, perm os.FileMode) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncDir(parent)
}

// SyncDir puts the names in a directory on disk.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("putting directory %s on disk: %w", filepath.Base(path), err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("putting directory %s on disk: %w", filepath.Base(path), err)
	}
	return nil
}
