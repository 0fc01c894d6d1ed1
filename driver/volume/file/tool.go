package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// qemuImg runs qemu-img on files of ours: with explicit formats, no shell, an
// empty environment, as the volumes' owner, and with limits on memory, processor
// time, and the size of what it writes. sizeGiB is that of the disk it works on.
// In args the files stand as %0 and %1.
func (d *Driver) qemuImg(ctx context.Context, sizeGiB int, files []*os.File, args ...string) error {
	path, err := exec.LookPath(d.cfg.QEMUImg)
	if err != nil {
		return fmt.Errorf("qemu-img is needed: %w: %w", nephos.ErrUnavailable, err)
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.ToolTimeout)
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
		d.cfg.Log.Warn("qemu-img runs without limits: there is no prlimit")
	}
	owned := d.cfg.UID > 0 || d.cfg.GID > 0
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
		d.asOwner(cmd)
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

// convert makes dst, which exists and is empty, of the image in src.
func (d *Driver) convert(ctx context.Context, srcFormat string, src *os.File, dstFormat string, dst *os.File, sizeGiB int) error {
	if srcFormat == volume.FormatQCOW2 {
		h, err := readHeader(src.Name())
		if err != nil {
			return err
		}
		if h.size > int64(sizeGiB)*gibibyte {
			return nephos.Errorf(nephos.ErrInvalid, "image of %d bytes does not fit a volume of %d GiB", h.size, sizeGiB).WithField("size")
		}
	}
	err := d.qemuImg(ctx, sizeGiB, []*os.File{src, dst}, "convert", "-f", srcFormat, "-O", dstFormat, "-S", "64k", "%0", "%1")
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil && exit.ExitCode() > 0 && srcFormat == volume.FormatQCOW2 && !strings.Contains(err.Error(), "No space left") {
		// The image passed for one at first sight, and is broken inside.
		return fmt.Errorf("%w: %w", nephos.ErrInvalid, err)
	}
	if err != nil && strings.Contains(err.Error(), "No space left") {
		return fmt.Errorf("%w: %w", nephos.ErrNoCapacity, err)
	}
	return err
}

func (d *Driver) blankQCOW2(ctx context.Context, t *durable.Temp, sizeGiB int) error {
	return d.qemuImg(ctx, sizeGiB, []*os.File{t.File}, "create", "-q", "-f", volume.FormatQCOW2, "%0", strconv.Itoa(sizeGiB)+"G")
}

func (d *Driver) resizeQCOW2(ctx context.Context, path string, sizeGiB int) error {
	if _, err := readHeader(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.qemuImg(ctx, sizeGiB, []*os.File{f}, "resize", "-q", "-f", volume.FormatQCOW2, "%0", strconv.Itoa(sizeGiB)+"G")
}
