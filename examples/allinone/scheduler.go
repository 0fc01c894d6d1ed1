package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/nephos-cloud/nephos/driver/plugin"
	"github.com/nephos-cloud/nephos/scheduler"
	schedconfig "github.com/nephos-cloud/nephos/scheduler/config"
	"github.com/nephos-cloud/nephos/scheduler/extension"
)

// openScheduler makes the scheduler of a file, with the programs that filter and
// weigh for it; nil, which decides as Nova does, where there is none.
func openScheduler(ctx context.Context, path string, log *slog.Logger) (_ *scheduler.Scheduler, programs opened, err error) {
	if path == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("-scheduler: %w", err)
	}
	s, err := schedconfig.Open(ctx, text, func(ctx context.Context, e schedconfig.Extension) (extension.Extension, error) {
		d, err := plugin.Launch[extension.Extension](ctx, e.Path, plugin.LaunchOptions{Args: e.Args, Env: e.Env, SHA256: e.SHA256, Log: log})
		if err != nil {
			return nil, err
		}
		if p, ok := plugin.Of(d); ok {
			programs = append(programs, p.Close)
		}
		return d, nil
	})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("-scheduler: %s: %w", path, err), programs.close())
	}
	return s, programs, nil
}
