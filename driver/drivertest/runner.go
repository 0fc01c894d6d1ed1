package drivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// Runner runs tests outside of go test, one after the other. The zero value is
// ready to use.
type Runner struct {
	// Out gets a line for each test when it ends, and the log of each that
	// failed; nil is silence.
	Out io.Writer
	// Verbose writes the log of every test.
	Verbose bool
	// Dir is where directories of tests are made; empty is the system's.
	Dir string
	// Timeout bounds each test: its Context ends then. Zero is without bound.
	Timeout time.Duration
	// Prefix stands before the tests' names, as in "Volume/"; may be empty.
	Prefix string
}

// Result counts how tests ended.
type Result struct {
	Passed, Failed, Skipped int
	Outcomes                []Outcome // one for each test, in their order
}

// Outcome is how one test ended.
type Outcome struct {
	Name            string
	Failed, Skipped bool
	Log             string // what the test said, a line each
	Took            time.Duration
}

// Add adds the other's counts and outcomes.
func (r *Result) Add(other Result) {
	r.Passed += other.Passed
	r.Failed += other.Failed
	r.Skipped += other.Skipped
	r.Outcomes = append(r.Outcomes, other.Outcomes...)
}

// lateness is how long a test, or what clears up after it, may go on after its
// Context has ended. Then it has failed, and is left to itself.
var lateness = time.Minute

// Run runs the tests. When ctx ends, the test under way has its Context
// cancelled, and those after it fail without being run. A test that goes on for a
// minute after its Context has ended is given up.
func (r Runner) Run(ctx context.Context, tests []Test) Result {
	var all Result
	for _, test := range tests {
		one := r.run(ctx, test)
		verdict := "PASS"
		switch {
		case one.Failed:
			verdict = "FAIL"
			all.Failed++
		case one.Skipped:
			verdict = "SKIP"
			all.Skipped++
		default:
			all.Passed++
		}
		all.Outcomes = append(all.Outcomes, one)
		if r.Out == nil {
			continue
		}
		fmt.Fprintf(r.Out, "%s %s (%.2fs)\n", verdict, one.Name, one.Took.Seconds())
		if one.Failed || r.Verbose || one.Skipped {
			for line := range bytes.Lines([]byte(one.Log)) {
				fmt.Fprintf(r.Out, "    %s\n", bytes.TrimRight(line, "\n"))
			}
		}
	}
	return all
}

func (r Runner) run(ctx context.Context, test Test) Outcome {
	t := &run{name: r.Prefix + test.Name, dir: r.Dir}
	start := time.Now()
	if err := context.Cause(ctx); err != nil {
		t.Errorf("not run: %v", err)
	} else {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if r.Timeout > 0 {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("the test took longer than %v", r.Timeout))
			defer stop()
		}
		t.ctx = ctx
		t.protect(func() { test.Run(t) })
		cancel()
		t.clean()
	}
	if t.ctx != nil && errors.Is(t.ctx.Err(), context.DeadlineExceeded) && t.Failed() {
		t.Log(context.Cause(t.ctx))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return Outcome{Name: t.name, Failed: t.failed, Skipped: t.skipped && !t.failed, Log: t.log.String(), Took: time.Since(start)}
}

// run is a test that a Runner runs.
type run struct {
	name string
	dir  string
	ctx  context.Context

	mu              sync.Mutex
	log             bytes.Buffer
	failed, skipped bool
	cleanups        []func()
}

// protect calls f in a goroutine of its own, which FailNow and Skip may end. A
// panic is a failure.
func (t *run) protect(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended := false
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("panic: %v\n%s", p, debug.Stack())
			} else if !ended && !t.Failed() && !t.Skipped() {
				t.Error("the test ended its goroutine without a verdict")
			}
		}()
		f()
		ended = true
	}()
	select {
	case <-done:
		return
	case <-t.ctx.Done():
	}
	select {
	case <-done:
	case <-time.After(lateness):
		t.Errorf("the test went on for %v after its time (%v), and was given up", lateness, context.Cause(t.ctx))
	}
}

func (t *run) clean() {
	for {
		t.mu.Lock()
		n := len(t.cleanups)
		if n == 0 {
			t.mu.Unlock()
			return
		}
		f := t.cleanups[n-1]
		t.cleanups = t.cleanups[:n-1]
		t.mu.Unlock()
		t.protect(f)
	}
}

func (t *run) Name() string             { return t.name }
func (t *run) Context() context.Context { return t.ctx }
func (t *run) Helper()                  {}

func (t *run) TempDir() string {
	dir, err := os.MkdirTemp(t.dir, "nephos-drivertest")
	if err != nil {
		t.Fatalf("making a directory for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(errors.Join(errors.New("removing the test's directory"), err))
		}
	})
	return dir
}

func (t *run) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

func (t *run) Log(args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(&t.log, args...)
}

func (t *run) Logf(format string, args ...any) { t.Log(fmt.Sprintf(format, args...)) }

func (t *run) mark(failed, skipped bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed, t.skipped = t.failed || failed, t.skipped || skipped
}

func (t *run) Error(args ...any)                 { t.Log(args...); t.mark(true, false) }
func (t *run) Errorf(format string, args ...any) { t.Error(fmt.Sprintf(format, args...)) }
func (t *run) FailNow()                          { t.mark(true, false); runtime.Goexit() }
func (t *run) Fatal(args ...any)                 { t.Error(args...); runtime.Goexit() }
func (t *run) Fatalf(format string, args ...any) { t.Fatal(fmt.Sprintf(format, args...)) }
func (t *run) Skip(args ...any)                  { t.Log(args...); t.mark(false, true); runtime.Goexit() }
func (t *run) Skipf(format string, args ...any)  { t.Skip(fmt.Sprintf(format, args...)) }

func (t *run) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

func (t *run) Skipped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.skipped
}
