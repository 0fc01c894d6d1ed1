package main

import (
	"fmt"
	"io"
	"os"
)

// openRecord opens the file that the scheduler's decisions are recorded in; with
// no path nothing is recorded.
func openRecord(path string) (io.Writer, func() error, error) {
	if path == "" {
		return nil, func() error { return nil }, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("-record: %w", err)
	}
	return f, f.Close, nil
}
