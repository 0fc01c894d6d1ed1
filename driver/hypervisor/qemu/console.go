package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/internal/qmp"
	"github.com/nephos-cloud/nephos/driver/internal/tailfile"
)

// A console log is cut when it has grown past maxLog; the last keepLog bytes
// are kept. Between two looks a guest can write more.
const (
	maxLog   = 4 << 20
	keepLog  = 1 << 20
	tendTime = 5 * time.Second
)

// tendLogs bounds the console logs of all guests until the driver closes.
func (d *Driver) tendLogs() {
	for {
		select {
		case <-d.stop:
			return
		case <-d.clock.After(tendTime):
		}
		d.mu.Lock()
		var dirs []string
		for _, g := range d.guests {
			if g.vm != nil {
				dirs = append(dirs, g.dir)
			}
		}
		d.mu.Unlock()
		for _, dir := range dirs {
			if err := boundLog(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				d.log.Warn("cannot bound a console log", "directory", dir, "error", err)
			}
		}
	}
}

// boundLog cuts logs that have grown too large: of what QEMU itself says nothing
// is kept.
func boundLog(dir string) error {
	says := filepath.Join(dir, "qemu.log")
	if info, err := os.Stat(says); err == nil && info.Size() > keepLog {
		if err := os.Truncate(says, 0); err != nil {
			return err
		}
	}
	return tailfile.Bound(filepath.Join(dir, "console.log"), filepath.Join(dir, "console.old"), maxLog, keepLog)
}

// ConsoleLog implements hypervisor.ConsoleLogger.
func (d *Driver) ConsoleLog(ctx context.Context, id string, most int64) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("read the console log of guest %s: %w", id, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	g, err := d.lookup(id)
	if err != nil {
		return fail(err)
	}
	if most < 0 || most > maxLog {
		most = maxLog
	}
	log, err := tailfile.Last(filepath.Join(g.dir, "console.log"), most)
	if err != nil {
		return fail(err)
	}
	if left := most - int64(len(log)); left > 0 {
		old, err := tailfile.Last(filepath.Join(g.dir, "console.old"), left)
		if err != nil {
			return fail(err)
		}
		log = slices.Concat(old, log)
	}
	return log, nil
}

// Console implements hypervisor.Consoler. Any number of VNC streams show the
// same screen. The serial port serves one stream at a time: a further one waits
// until those before it are closed.
func (d *Driver) Console(ctx context.Context, id string, kind hypervisor.ConsoleKind) (io.ReadWriteCloser, error) {
	stream, err := d.console(ctx, id, kind)
	if err != nil {
		return nil, fmt.Errorf("open the %s console of guest %s: %w", kind, id, err)
	}
	return stream, nil
}

func (d *Driver) console(ctx context.Context, id string, kind hypervisor.ConsoleKind) (io.ReadWriteCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g, err := d.lookup(id)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	v, state := g.vm, g.state()
	d.mu.Unlock()
	if v == nil || state == hypervisor.Stopped {
		return nil, fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
	}
	switch kind {
	case hypervisor.Serial:
		conn, err := qmp.Dial(ctx, g.dir, "vm.ser")
		if err != nil {
			return nil, err
		}
		return stream{conn}, nil
	case hypervisor.VNC:
		return v.vnc(ctx)
	}
	return nil, fmt.Errorf("kind %.20q: %w", string(kind), errors.ErrUnsupported)
}

// stream is a console whose end is always io.EOF: the kernel says "connection
// reset" when QEMU ended before it had read all.
type stream struct{ net.Conn }

func (s stream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if errors.Is(err, unix.ECONNRESET) {
		err = io.EOF
	}
	return n, err
}

// vnc gives QEMU's VNC server one end of a fresh pair of sockets; it listens
// nowhere.
func (v *vm) vnc(ctx context.Context) (io.ReadWriteCloser, error) {
	keep, give, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer give.Close()
	c, err := v.client()
	if err == nil {
		name := "vnc-" + nephos.IDs{}.Hex()
		if err = c.ExecuteFile(ctx, "getfd", map[string]any{"fdname": name}, nil, give); err == nil {
			err = v.execute(ctx, "add_client", map[string]any{"protocol": "vnc", "fdname": name, "skipauth": true}, nil)
		}
	}
	if err != nil {
		_ = keep.Close()
		return nil, err
	}
	return stream{keep}, nil
}
