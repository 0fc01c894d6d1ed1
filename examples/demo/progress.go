package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// step shows what is going on, and how long it took. f returns what a person
// wants to know of the outcome.
func step(ctx context.Context, what string, f func(context.Context) (string, error)) error {
	start := time.Now()
	done := make(chan struct{})
	gone := make(chan struct{})
	terminal := isTerminal(os.Stdout)
	go func() {
		defer close(gone)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		lines := 0
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				since := time.Since(start)
				if terminal {
					fmt.Printf("\r  %-22s %s", what, since.Round(100*time.Millisecond))
				} else if n := int(since / (5 * time.Second)); n > lines {
					lines = n
					fmt.Printf("  %-22s … %s\n", what, since.Round(time.Second))
				}
			}
		}
	}()
	note, err := f(ctx)
	close(done)
	<-gone
	mark := "✓"
	if err != nil {
		mark, note = "✗", "failed"
	}
	if terminal {
		fmt.Print("\r\033[K")
	}
	fmt.Printf("%s %-22s %8s  %s\n", mark, what, time.Since(start).Round(time.Millisecond), note)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// poll asks until f says yes, an error, or the context or time ends.
func poll(ctx context.Context, limit time.Duration, what string, f func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		ok, err := f()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not happen within %s", what, limit)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
