package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/nephos-cloud/nephos/driver/plugin"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/scheduler"
	schedconfig "github.com/nephos-cloud/nephos/scheduler/config"
	"github.com/nephos-cloud/nephos/scheduler/extension"
)

// schedulers choose hosts and pools; nil decides as Nova and Cinder do.
type schedulers struct{ hosts, pools *scheduler.Scheduler }

// placements reads what the scheduler's file says of pools of volumes.
func placements(path string) (map[string]volume.Placement, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("-scheduler: %w", err)
	}
	pools, err := schedconfig.EachPool(text)
	if err != nil {
		return nil, fmt.Errorf("-scheduler: %s: %w", path, err)
	}
	out := map[string]volume.Placement{}
	for name, p := range pools {
		out[name] = volume.Placement{
			Filter: p.Filter, Goodness: p.Goodness, ReservedPercentage: p.ReservedPercentage, MaxOverSubscription: p.MaxOverSubscription,
		}
	}
	return out, nil
}

// openScheduler makes the schedulers of a file, with the programs that filter and
// weigh for them.
func openScheduler(ctx context.Context, path string, log *slog.Logger) (s schedulers, programs opened, err error) {
	if path == "" {
		return s, nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return s, nil, fmt.Errorf("-scheduler: %w", err)
	}
	if s.pools, err = schedconfig.Pools(text); err != nil {
		return s, nil, fmt.Errorf("-scheduler: %s: %w", path, err)
	}
	s.hosts, err = schedconfig.Open(ctx, text, func(ctx context.Context, e schedconfig.Extension) (extension.Extension, error) {
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
		return s, nil, errors.Join(fmt.Errorf("-scheduler: %s: %w", path, err), programs.close())
	}
	return s, programs, nil
}
