// Package qemuimg makes and copies disk images with qemu-img, the way that every
// hypervisor driver must: formats are always named and never probed, the tool
// gets no environment, and what an image's header says of other files is not
// believed.
package qemuimg

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos"
)

// Tool is qemu-img.
type Tool struct {
	Path string // of the program
}

// Base is the image below an overlay; the zero value is none.
type Base struct {
	Path   string // absolute
	Format string // raw or qcow2
}

// Create makes a qcow2 image of at least the size, and of its base's at least,
// for its owner alone. The base is not opened by the tool: its size is read from
// its header here.
func (t Tool) Create(ctx context.Context, path string, size int64, base Base) error {
	args := []string{"create", "-q", "-f", "qcow2"}
	if base != (Base{}) {
		least, err := VirtualSize(base.Path, base.Format)
		if err != nil {
			return err
		}
		size = max(size, least)
		args = append(args, "-u", "-F", base.Format, "-b", base.Path)
	}
	size = (size + 511) &^ 511
	if !filepath.IsAbs(path) || size <= 0 {
		return fmt.Errorf("make image %s of %d bytes: %w", path, size, nephos.ErrInvalid)
	}
	if err := t.run(ctx, append(args, path, strconv.FormatInt(size, 10))...); err != nil {
		return err
	}
	return os.Chmod(path, 0o600)
}

// Source is a disk to read: its data, with the formats that it has.
type Source struct {
	Format string // raw or qcow2
	// File describes where the bytes are, in the words of QEMU's blockdev options,
	// such as {"driver": "file", "filename": "/x"}.
	File map[string]any
	Base Base // below a qcow2 overlay
}

// Copy writes a whole, independent qcow2 image of the source.
func (t Tool) Copy(ctx context.Context, from Source, path string) error {
	return t.CopyTo(ctx, from, path, "qcow2")
}

// CopyTo writes a whole, independent image of the source, raw or qcow2.
func (t Tool) CopyTo(ctx context.Context, from Source, path, format string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("copy to image %q: the path is not absolute: %w", path, nephos.ErrInvalid)
	}
	node := map[string]any{"driver": from.Format, "file": from.File}
	if from.Format == "qcow2" {
		node["backing"] = nil
		if from.Base != (Base{}) {
			under := map[string]any{"driver": from.Base.Format, "file": map[string]any{"driver": "file", "filename": from.Base.Path}}
			if from.Base.Format == "qcow2" {
				under["backing"] = nil
			}
			node["backing"] = under
		}
	}
	spec, err := json.Marshal(node)
	if err != nil {
		return err
	}
	return t.run(ctx, "convert", "-q", "-O", format, "json:"+string(spec), path)
}

// Grow makes an image at least as large as size, with the format given.
func (t Tool) Grow(ctx context.Context, path, format string, size int64) error {
	size = (size + 511) &^ 511
	has, err := VirtualSize(path, format)
	if err != nil || has >= size {
		return err
	}
	return t.run(ctx, "resize", "-q", "-f", format, path, strconv.FormatInt(size, 10))
}

func (t Tool) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, t.Path, args...)
	cmd.Env = []string{}
	var says bytes.Buffer
	cmd.Stderr = &says
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("qemu-img %s: %w: %.500s", args[0], err, says.String())
	}
	return nil
}

// VirtualSize returns the size that an image shows to its guest, from its
// header.
func VirtualSize(path, format string) (int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("open image: %w: %w", nephos.ErrUnavailable, err)
	}
	if err != nil {
		return 0, fmt.Errorf("open image: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.IsDir() || info.Mode()&fs.ModeCharDevice != 0 {
		return 0, fmt.Errorf("open image %s: it is neither a file nor a block device: %w", path, nephos.ErrInvalid)
	}
	if format == "raw" {
		return f.Seek(0, io.SeekEnd)
	}
	header := make([]byte, headerSize)
	if n, err := io.ReadFull(f, header); err != nil && n < 32 {
		return 0, fmt.Errorf("read the header of image %s: %w", path, err)
	}
	return SizeOfHeader(header)
}

// headerSize is how much of a qcow2 image is looked at.
const headerSize = 104

// SizeOfHeader reads the virtual size from the first bytes of a qcow2 image, at
// least 32. An image that keeps its data in another file is refused: whoever
// opens it would open whatever file it names.
func SizeOfHeader(header []byte) (int64, error) {
	if len(header) < 32 || string(header[:4]) != "QFI\xfb" {
		return 0, fmt.Errorf("read qcow2 header: it is none: %w", nephos.ErrInvalid)
	}
	if version := binary.BigEndian.Uint32(header[4:]); version >= 3 && len(header) >= 80 {
		if binary.BigEndian.Uint64(header[72:])&4 != 0 {
			return 0, fmt.Errorf("read qcow2 header: its data is in another file: %w", nephos.ErrInvalid)
		}
	}
	size := binary.BigEndian.Uint64(header[24:])
	if size > 1<<56 {
		return 0, fmt.Errorf("read qcow2 header: size %d: %w", size, nephos.ErrInvalid)
	}
	return int64(size), nil
}
