package process

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Program is an executable file: a binary, or a script with a #! line.
type Program struct {
	// Path is where it was found.
	Path string
	exec string   // what to execute
	file *os.File // the checked copy, if it is pinned
}

// Open finds the program. With a checksum, 64 hexadecimal digits of SHA-256,
// the file is read once into a sealed copy in memory, which is checked, kept,
// and run each time: what happens to the file afterwards, between the check and
// the start or later, changes nothing. Without one, whatever is at the path
// when it is started runs.
//
// The pin of a script covers the script, not its interpreter or the modules
// that it loads.
func Open(path, checksum string) (*Program, error) {
	// A file of another type is no program, and reading one might not end.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		what := "no regular file"
		if info.IsDir() {
			what = "a directory"
		}
		return nil, nephos.Errorf(nephos.ErrInvalid, "starting %s: it is %s: name the plugin's executable file", path, what)
	}
	if checksum == "" {
		return &Program{Path: path, exec: path}, nil
	}
	want, err := hex.DecodeString(strings.ToLower(checksum))
	if err != nil || len(want) != sha256.Size {
		return nil, nephos.Errorf(nephos.ErrInvalid, "pinning %s: the checksum %.80q is no SHA-256 in 64 hexadecimal digits: take it from sha256sum", path, checksum)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nephos.Errorf(nephos.ErrInvalid, "pinning %s: %v: check the path", path, root(err))
	}
	defer f.Close()
	hash := sha256.New()
	file, exec, err := sealed(path, io.TeeReader(f, hash))
	if err != nil {
		return nil, fmt.Errorf("pinning %s: %w", path, err)
	}
	if got := hash.Sum(nil); string(got) != string(want) {
		file.Close()
		return nil, nephos.Errorf(nephos.ErrForbidden,
			"pinning %s: its SHA-256 is %x, not the pinned %x: it is another program; if you trust it, pin its own checksum", path, got, want)
	}
	return &Program{Path: path, exec: exec, file: file}, nil
}

// Close lets go of the checked copy.
func (p *Program) Close() error {
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}
