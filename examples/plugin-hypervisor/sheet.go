package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// sheet is all there is of a guest. Its spec carries the labels: the cloud, the
// revision, and whatever else the caller wants to find again.
type sheet struct {
	Spec    hypervisor.Spec
	State   hypervisor.State
	Started time.Time
}

func (p *Paper) path(id string) string { return filepath.Join(p.dir, id+".json") }

// read returns a guest's sheet, or an error that wraps ErrNotFound.
func (p *Paper) read(id string) (sheet, error) {
	var s sheet
	text, err := os.ReadFile(p.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nephos.NotFound("guest", id)
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	return s, err
}

// change reads a guest's sheet, or takes an empty one, and writes what f made of
// it. A reader sees the old sheet or the new one, never a half: also when the
// driver is killed in between.
func (p *Paper) change(ctx context.Context, id string, f func(*sheet) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.read(id)
	if err != nil && !errors.Is(err, nephos.ErrNotFound) {
		return err
	}
	if err := f(&s); err != nil {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	half := p.path(id) + ".half"
	if err := os.WriteFile(half, text, 0o600); err != nil {
		return err
	}
	return os.Rename(half, p.path(id))
}

// existing is change for a guest that must be there.
func (p *Paper) existing(ctx context.Context, what, id string, f func(*sheet) error) error {
	if err := hypervisor.CheckID(id); err != nil {
		return fmt.Errorf("%s guest %s: %w", what, id, err)
	}
	err := p.change(ctx, id, func(s *sheet) error {
		if s.State == "" {
			return nephos.NotFound("guest", id)
		}
		return f(s)
	})
	if err != nil {
		return fmt.Errorf("%s guest %s: %w", what, id, err)
	}
	return nil
}
