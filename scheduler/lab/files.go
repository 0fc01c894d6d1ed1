package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/config"
	"github.com/nephos-cloud/nephos/scheduler/lab/plot"
	"github.com/nephos-cloud/nephos/scheduler/trace"
)

// open opens a file: - is standard input, example the built-in trace, and what
// ends in .gz is unpacked.
func (l *lab) open(name string) (io.ReadCloser, error) {
	switch name {
	case "-":
		return io.NopCloser(l.in), nil
	case "example":
		return example.Open("testdata/example.jsonl")
	}
	f, err := os.Open(name)
	if err != nil || !strings.HasSuffix(name, ".gz") {
		return f, err
	}
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("unpacking %s: %w", name, err), f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

func (l *lab) events(name string) ([]trace.Event, error) {
	f, err := l.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := l.progress("reading "+name, 0)
	var all []trace.Event
	for e, err := range trace.Read(f) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, e)
	}
	p.end()
	return all, nil
}

// workload reads events to play, which want hosts.
func (l *lab) workload(name string) ([]trace.Event, error) {
	events, err := l.events(name)
	if err == nil && !slices.ContainsFunc(events, func(e trace.Event) bool { return e.Host != nil }) {
		return nil, nephos.Errorf(nephos.ErrInvalid, "%s: the trace has no host: put those that generate or export write before it", name)
	}
	return events, err
}

// policy makes the scheduler of a preset's name or a configuration file.
func policy(name string) (*scheduler.Scheduler, error) {
	if c, err := scheduler.Preset(name); err == nil {
		return scheduler.New(c)
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nephos.Errorf(nephos.ErrInvalid, "there is no policy %s: use one of %s, or a file as package scheduler/config has them",
			name, strings.Join(scheduler.Presets(), ", "))
	}
	if err != nil {
		return nil, err
	}
	return config.Load(text)
}

// save writes a file whole or not at all.
func save(path string, write func(w io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".lab-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := errors.Join(write(f), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// plots writes charts into a folder, by file name.
func (l *lab) plots(dir string, charts map[string]plot.Chart) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, c := range charts {
		if err := save(filepath.Join(dir, name), c.Write); err != nil {
			return err
		}
	}
	return nil
}
