// Package convert runs qemu-img on images that nobody vouches for: with explicit
// formats, no shell, an empty environment, a user of its own, and limits on
// memory, processor time, and the size of what it writes. An image that leads to
// other files is refused before the program sees it.
package convert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
)

// The formats.
const (
	Raw   = "raw"
	QCOW2 = "qcow2"
)

const gibibyte = 1 << 30

// Tool is qemu-img.
type Tool struct {
	// Path is the program; without a slash it is looked up.
	Path string
	// UID and GID, where positive, are what it runs as; that needs this process to
	// be privileged.
	UID, GID int
	// Timeout bounds one run.
	Timeout time.Duration
	Log     *slog.Logger
}

// Run runs the program on open files, which stand as %0 and %1 in args. sizeGiB
// is the size of the disk that it works on.
func (t Tool) Run(ctx context.Context, sizeGiB int, files []*os.File, args ...string) error {
	path, err := exec.LookPath(t.Path)
	if err != nil {
		return fmt.Errorf("qemu-img is needed: %w: %w", nephos.ErrUnavailable, err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	name := path
	limits := []string{
		"--as=" + strconv.Itoa(4*gibibyte),
		"--cpu=" + strconv.Itoa(60+30*sizeGiB),
		"--fsize=" + strconv.FormatInt(int64(sizeGiB)*(gibibyte+gibibyte/64)+64<<20, 10),
		"--core=0",
		"--nofile=64",
	}
	if prlimit, err := exec.LookPath("prlimit"); err == nil {
		name, args = prlimit, append(append(limits, "--", path), args...)
	} else {
		t.Log.Warn("qemu-img runs without limits: there is no prlimit")
	}
	owned := t.UID > 0 || t.GID > 0
	for i, f := range files {
		// The owner may not be allowed to search the directories above, but needs
		// not: the files come along open.
		path := f.Name()
		if owned {
			path = "/dev/fd/" + strconv.Itoa(3+i)
		}
		if at := slices.Index(args, "%"+strconv.Itoa(i)); at >= 0 {
			args[at] = path
		}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	if owned {
		cmd.ExtraFiles = files
		t.asOwner(cmd)
	}
	cmd.Env = []string{"LC_ALL=C", "MALLOC_ARENA_MAX=1", "PATH=" + os.Getenv("PATH")}
	cmd.Dir = "/"
	var stderr bytes.Buffer
	cmd.Stderr = &limited{&stderr}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("qemu-img: %w: %s", err, firstLine(stderr.String()))
	}
	return nil
}

// limited keeps the beginning of what a program says.
type limited struct{ b *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := 4096 - l.b.Len(); room > 0 {
		l.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// Convert makes dst, which exists and is empty, of the image in src, which is
// refused with ErrInvalid if it is broken or larger than sizeGiB.
func (t Tool) Convert(ctx context.Context, srcFormat string, src *os.File, dstFormat string, dst *os.File, sizeGiB int) error {
	if srcFormat == QCOW2 {
		h, err := ReadHeader(src.Name())
		if err != nil {
			return err
		}
		if h.Size > int64(sizeGiB)*gibibyte {
			return nephos.Errorf(nephos.ErrInvalid, "image of %d bytes does not fit a volume of %d GiB", h.Size, sizeGiB).WithField("size")
		}
	}
	err := t.Run(ctx, sizeGiB, []*os.File{src, dst}, "convert", "-f", srcFormat, "-O", dstFormat, "-S", "64k", "%0", "%1")
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil && exit.ExitCode() > 0 && srcFormat == QCOW2 && !strings.Contains(err.Error(), "No space left") {
		// The image passed for one at first sight, and is broken inside.
		return fmt.Errorf("%w: %w", nephos.ErrInvalid, err)
	}
	if err != nil && strings.Contains(err.Error(), "No space left") {
		return fmt.Errorf("%w: %w", nephos.ErrNoCapacity, err)
	}
	return err
}
