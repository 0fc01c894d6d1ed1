package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/volume"
)

var (
	_ volume.Retyper       = (*Driver)(nil)
	_ volume.Limiter       = (*Driver)(nil)
	_ volume.MultiAttacher = (*Driver)(nil)
)

// settings is settings/VOLUME.json: what a volume has that its file does not
// tell. A volume without has none.
type settings struct {
	Limits    *driver.Limits `json:"limits,omitempty"`
	Reference string         `json:"reference,omitempty"` // it was adopted by
}

func parseSettings(content []byte) (settings, error) {
	var s settings
	if err := json.Unmarshal(content, &s); err != nil {
		return settings{}, err
	}
	if s.Limits != nil {
		if err := s.Limits.Validate(); err != nil {
			return settings{}, err
		}
	}
	return s, nil
}

func (d *Driver) settings(id string) (settings, error) {
	content, err := os.ReadFile(d.dir("settings", id+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return settings{}, nil
	}
	var s settings
	if err == nil {
		s, err = parseSettings(content)
	}
	if err != nil {
		return settings{}, fmt.Errorf("reading the settings of volume %s: %w", id, err)
	}
	return s, nil
}

// set writes the settings of a volume. The caller has its lock.
func (d *Driver) set(id string, s settings) error {
	path := d.dir("settings", id+".json")
	if s.Limits != nil && s.Limits.IsZero() {
		s.Limits = nil
	}
	if s == (settings{}) {
		return durable.Remove(path)
	}
	content, err := json.Marshal(s)
	if err == nil {
		err = durable.MkdirAll(d.dir("settings"), 0o711)
	}
	if err == nil {
		err = durable.WriteFile(d.dir("tmp"), path, content, 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the settings of volume %s: %w", id, meaning(err))
	}
	return nil
}

// change runs f on a volume that is there, while nobody else changes it.
func (d *Driver) change(ctx context.Context, attempt, id string, f func(disk) error) error {
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return fmt.Errorf("%s volume %s: %w", attempt, id, err)
	}
	defer unlock()
	k, err := d.find(id)
	if err != nil {
		return err
	}
	if err := f(k); err != nil {
		return fmt.Errorf("%s volume %s: %w", attempt, id, err)
	}
	return nil
}

// SetLimits implements volume.Limiter: connections carry the limits.
func (d *Driver) SetLimits(ctx context.Context, id string, limits driver.Limits) error {
	if err := limits.Validate(); err != nil {
		return err
	}
	return d.change(ctx, "limiting", id, func(disk) error {
		s, err := d.settings(id)
		if err != nil {
			return err
		}
		s.Limits = &limits
		return d.set(id, s)
	})
}

// Retype implements volume.Retyper: limits change, extra specs mean nothing here,
// and encryption cannot be had.
func (d *Driver) Retype(ctx context.Context, id string, spec volume.Spec) error {
	if err := spec.Check(); err != nil {
		return err
	}
	return d.change(ctx, "retyping", id, func(k disk) error {
		if spec.Encryption != nil {
			return fmt.Errorf("its file would have to be encrypted: %w", errors.ErrUnsupported)
		}
		if spec.SizeGiB != k.sizeGiB() {
			return nephos.Errorf(nephos.ErrInvalid, "it has %d GiB, not %d", k.sizeGiB(), spec.SizeGiB)
		}
		s, err := d.settings(id)
		if err != nil {
			return err
		}
		s.Limits = spec.Limits
		return d.set(id, s)
	})
}

// MultiAttach implements volume.MultiAttacher. Several guests cannot have one
// file in qcow2, whose tables each of them would write. That other hosts mount
// the same directory is for whoever opens the driver to see to.
func (d *Driver) MultiAttach() (hosts int) {
	if d.cfg.Format == volume.FormatQCOW2 {
		return 0
	}
	return -1
}
