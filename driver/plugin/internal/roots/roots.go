// Package roots checks the paths that a plugin names. A plugin is not trusted
// with the host: what it names must lie below a directory that was declared for
// it, and no link on the way there is followed.
package roots

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Roots are the directories that a plugin may name paths below.
type Roots []string

// Check returns the roots, or an error that wraps ErrInvalid if one is no clean
// absolute path of a directory.
func Check(dirs []string) (Roots, error) {
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || dir == "/" {
			return nil, nephos.Errorf(nephos.ErrInvalid, "root %q: name a directory by its absolute path without . and .., and not /", dir)
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, nephos.Errorf(nephos.ErrInvalid, "root %q is no directory: make it first", dir)
		}
	}
	return dirs, nil
}

// Open opens the file at the path, only to refer to it: what cannot be opened
// below a root without following a link gives an error that wraps ErrForbidden.
// what says what the path is, such as "the volume's file".
func (r Roots) Open(what, path string) (*os.File, error) {
	refuse := func(format string, args ...any) error {
		return nephos.Errorf(nephos.ErrForbidden, "%s: the plugin named the path %.200q, %s", what, path, fmt.Sprintf(format, args...))
	}
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return nil, refuse("which is not absolute and clean")
	}
	for _, root := range r {
		rest, below := strings.CutPrefix(path, root+"/")
		if !below {
			continue
		}
		f, err := openBeneath(root, rest)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, fs.ErrNotExist):
			return nil, refuse("where nothing is")
		default:
			return nil, refuse("which is reached through a link or cannot be opened below %s: %v", root, err)
		}
	}
	if len(r) == 0 {
		return nil, refuse("but no root was declared for it: declare the directories that it may use")
	}
	return nil, refuse("outside its roots %s: if it may use it, declare its directory as a root", strings.Join(r, ", "))
}

// Allow is [Roots.Open] without keeping the file.
func (r Roots) Allow(what, path string) error {
	f, err := r.Open(what, path)
	if err != nil {
		return err
	}
	return f.Close()
}
