package policy

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/nephos-cloud/nephos"
)

// pollInterval is how often Watch looks at the file.
const pollInterval = 2 * time.Second

// Watch loads the file, and again whenever it changes, until the context ends.
// It looks every two seconds by the clock. What goes wrong is logged as an
// error, once for each change of the file, and leaves the rules in force; so
// does removing the file. A file that is not there at first means the defaults.
// A nil clock is the wall's; a nil log is silent.
func (e *Enforcer) Watch(ctx context.Context, path string, clock nephos.Clock, log *slog.Logger) {
	if clock == nil {
		clock = nephos.WallClock{}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("path", path)
	w := watched{path: path}
	for {
		// The look comes before the load: what is written meanwhile shows as a
		// change next time.
		if changed, err := w.look(); changed {
			e.reload(path, err, w.loaded, log)
			w.loaded = w.loaded || err == nil
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.After(pollInterval):
		}
	}
}

func (e *Enforcer) reload(path string, err error, loaded bool, log *slog.Logger) {
	switch {
	case errors.Is(err, fs.ErrNotExist) && !loaded:
		log.Info("there is no policy file: the default rules are in force")
		return
	case err == nil:
		err = e.LoadFile(path)
	}
	if err != nil {
		log.Error("policy file refused: the rules in force stay as they were", "error", err)
		return
	}
	log.Info("policy file loaded")
	for _, p := range e.Problems() {
		log.Warn("policy file looks wrong", "problem", p)
	}
}

// watched is what a file looked like last.
type watched struct {
	path   string
	looked bool
	loaded bool // there was a file once
	info   os.FileInfo
	err    string
}

// look reports whether the file changed since the last look; always at first.
func (w *watched) look() (bool, error) {
	info, err := os.Stat(w.path)
	was := *w
	w.looked, w.info, w.err = true, info, ""
	if err != nil {
		w.info, w.err = nil, err.Error()
	}
	switch {
	case !was.looked, w.err != was.err, (w.info == nil) != (was.info == nil):
		return true, err
	case w.info == nil:
		return false, err
	}
	return !os.SameFile(info, was.info) || info.Size() != was.info.Size() || !info.ModTime().Equal(was.info.ModTime()), nil
}
