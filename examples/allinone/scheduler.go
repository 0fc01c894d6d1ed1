package main

import (
	"fmt"
	"os"

	"github.com/nephos-cloud/nephos/scheduler"
	schedconfig "github.com/nephos-cloud/nephos/scheduler/config"
)

// openScheduler makes the scheduler of a file; nil, which decides as Nova does,
// where there is none.
func openScheduler(path string) (*scheduler.Scheduler, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("-scheduler: %w", err)
	}
	s, err := schedconfig.Load(text)
	if err != nil {
		return nil, fmt.Errorf("-scheduler: %s: %w", path, err)
	}
	return s, nil
}
