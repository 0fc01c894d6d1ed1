//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
	"github.com/nephos-cloud/nephos/driver/internal/tailfile"
)

// A console log is cut when it has grown past maxLog; the last keepLog bytes
// are kept. Between two looks a guest can write more. Where virtlogd writes the
// logs it bounds them itself, below this, and rotates them to console.log.0.
const (
	maxLog   = 4 << 20
	keepLog  = 1 << 20
	tendTime = 5 * time.Second
)

// tendLogs bounds the console logs of guests that are on until the driver
// closes. libvirt announces no growth of a file, so this looks.
func (d *Driver) tendLogs() {
	for {
		select {
		case <-d.stop:
			return
		case <-d.clock.After(tendTime):
		}
		d.mu.Lock()
		var dirs []string
		for id, g := range d.guests {
			if g.state == hypervisor.Running {
				dirs = append(dirs, d.dir(id))
			}
		}
		d.mu.Unlock()
		for _, dir := range dirs {
			err := tailfile.Bound(filepath.Join(dir, domain.ConsoleLog), filepath.Join(dir, "console.old"), maxLog, keepLog)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				d.log.Warn("cannot bound a console log", "directory", dir, "error", err)
			}
		}
	}
}

// ConsoleLog implements hypervisor.ConsoleLogger.
func (d *Driver) ConsoleLog(ctx context.Context, id string, most int64) ([]byte, error) {
	return look(ctx, d, "read the console log of", id, func(w *work) ([]byte, error) {
		if most < 0 || most > maxLog {
			most = maxLog
		}
		var log []byte
		for _, name := range []string{domain.ConsoleLog, domain.ConsoleLog + ".0", "console.old"} {
			left := most - int64(len(log))
			if left <= 0 {
				break
			}
			part, err := tailfile.Last(filepath.Join(w.dir, name), left)
			if err != nil {
				return nil, err
			}
			log = slices.Concat(part, log)
		}
		return log, nil
	})
}
