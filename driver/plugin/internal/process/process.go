// Package process starts a plugin's program and keeps hold of it: the program
// is pinned by its checksum and run from the checked copy, it gets an
// environment, a user and limits of its own, it dies with this process, its
// end is noticed at once, and what it writes to its standard error becomes
// structured log lines of a bounded rate.
//
// It knows nothing of drivers or gRPC; package plugin connects the two.
package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/nephos-cloud/nephos"
)

// User is who a plugin runs as. To choose another user than one's own takes
// root.
type User struct{ UID, GID uint32 }

// Options say how to start a [Program].
type Options struct {
	Args []string // without the program's name
	Env  []string // all that it sees
	User *User    // nil: this process's own
	// Limits bound what it can use up.
	Limits Limits
	// Stderr is called with each piece of what it writes to its standard error,
	// Stdout with what follows the first line of its standard output; from one
	// goroutine each. They must not keep the bytes.
	Stderr, Stdout io.Writer
}

// Process is a running program.
type Process struct {
	name   string
	proc   *os.Process
	stdin  io.Closer
	stdout *os.File
	output *bufio.Reader // of stdout
	rest   io.Writer     // gets what follows the first line
	pump   sync.WaitGroup
	exited chan struct{}
	err    error // once exited is closed
	group  *cgroup
}

// Start starts the program. Its standard input is a pipe that ends when this
// process does.
func Start(prog *Program, o Options) (_ *Process, err error) {
	if err := o.Limits.check(); err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: prog.exec, Args: append([]string{prog.Path}, o.Args...), Env: o.Env}
	if prog.file != nil {
		cmd.ExtraFiles = []*os.File{prog.file} // descriptor 3 over there
	}
	p := &Process{name: filepath.Base(prog.Path), exited: make(chan struct{})}
	var theirs, ours []io.Closer
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		if err != nil {
			for _, f := range ours {
				f.Close()
			}
			p.group.remove()
		}
	}()
	pipe := func(write bool) (mine, their *os.File) {
		if err != nil {
			return nil, nil
		}
		var r, w *os.File
		if r, w, err = os.Pipe(); err != nil {
			return nil, nil
		}
		mine, their = r, w
		if write {
			mine, their = w, r
		}
		ours, theirs = append(ours, mine), append(theirs, their)
		return mine, their
	}
	stdin, in := pipe(true)
	stdout, out := pipe(false)
	stderr, errs := pipe(false)
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
	p.stdin, p.stdout = stdin, stdout
	cmd.SysProcAttr = attributes(o.User)
	if p.group, err = newCgroup(o.Limits, p.name, cmd.SysProcAttr); err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		// The kernel ends the program with the thread that started it, so the
		// thread is kept until the program's end.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		why := p.group.why(cmd.ProcessState)
		p.group.remove()
		// What it had written is still in the pipes; a child of its own may hold
		// them open for ever, though.
		_ = stderr.SetReadDeadline(time.Now().Add(drainFor))
		_ = stdout.SetReadDeadline(time.Now().Add(drainFor))
		p.err = ending(cmd.ProcessState, err, why)
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, startError(prog, err)
	}
	p.proc = cmd.Process
	if err := o.Limits.apply(p.PID()); err != nil {
		p.Kill()
		<-p.exited
		return nil, err
	}
	p.pump.Go(func() {
		defer stderr.Close()
		drain(stderr, o.Stderr)
	})
	p.output, p.rest = bufio.NewReaderSize(stdout, maxLine), o.Stdout
	return p, nil
}

// drainFor is how long the output of a program that ended is read on.
const drainFor = 50 * time.Millisecond

// drain reads to the end.
func drain(r io.Reader, w io.Writer) {
	if w == nil {
		w = io.Discard
	}
	_, _ = io.Copy(onlyWriter{w}, onlyReader{r})
}

// onlyReader hides all but Read.
type onlyReader struct{ io.Reader }

// onlyWriter hides all but Write.
type onlyWriter struct{ io.Writer }

// PID is the process's number.
func (p *Process) PID() int { return p.proc.Pid }

// Exited is closed once the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err tells how the process ended; nil while it runs. It is never nil
// afterwards.
func (p *Process) Err() error {
	select {
	case <-p.exited:
		return p.err
	default:
		return nil
	}
}

// Kill ends the process at once. It does not wait.
func (p *Process) Kill() { _ = p.proc.Kill() }

// KillGroup ends the process, and those of its children that began no process
// group of their own: for a program that turns out to be no plugin. One that was a
// plugin may have children that are to outlive it, such as guests.
func (p *Process) KillGroup() {
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // it leads its group
	p.Kill()
}

// Wait returns once the process has ended and its last words were read.
func (p *Process) Wait() error {
	<-p.exited
	p.stdin.Close()
	p.pump.Wait()
	p.stdout.Close()
	return p.err
}

func ending(state *os.ProcessState, err error, why string) error {
	if state == nil {
		return fmt.Errorf("it ended: %w", err)
	}
	return fmt.Errorf("it ended with %s%s", state, why)
}

// startError says in one line why the program did not start, and what to do.
func startError(prog *Program, err error) error {
	what := func(remedy string) error {
		return nephos.Errorf(nephos.ErrInvalid, "starting %s: %v: %s", prog.Path, root(err), remedy)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return what("check the path, and the interpreter in its #! line if it is a script")
	case errors.Is(err, fs.ErrPermission):
		return what("make it an executable file (chmod +x) that the plugin's user may reach")
	case errors.Is(err, syscall.ENOEXEC):
		return what("it is neither a program for this machine nor a script with a #! line")
	default:
		return fmt.Errorf("starting %s: %w", prog.Path, err)
	}
}

func root(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
