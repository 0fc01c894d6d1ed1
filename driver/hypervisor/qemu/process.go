package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is a QEMU process by descriptor: whatever happens to its number, a
// signal reaches this process or none.
type process struct {
	pid   int
	ticks uint64
	fd    *os.File
}

// nameOf is the word on a guest's command line by which it is known as ours: it
// holds the directory's own token, so that another directory's guest of the same
// ID is not taken for ours.
func (d *Driver) nameOf(id string) string { return "nephos-" + d.token + "-" + id }

// openProcess opens a process if its command line has the name of a guest, and it started at the given ticks (zero: whenever).
func openProcess(pid int, ticks uint64, name string) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	p := &process{pid: pid, fd: os.NewFile(uintptr(fd), "pidfd")}
	started, state, err := startTicks(pid)
	if err == nil && state != 'Z' && (ticks == 0 || ticks == started) && named(pid, name) {
		p.ticks = started
		return p, nil
	}
	p.close()
	return nil, fmt.Errorf("open process %d: it is not %s: %w", pid, name, os.ErrProcessDone)
}

// openChild opens a process that we have just started and not waited for, so
// that its number is its own.
func openChild(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	p := &process{pid: pid, fd: os.NewFile(uintptr(fd), "pidfd")}
	if p.ticks, _, err = startTicks(pid); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// scanProcess searches all processes for one of the name.
func scanProcess(name string) (*process, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || !named(pid, name) {
			continue
		}
		if p, err := openProcess(pid, 0, name); err == nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("find the process %s: %w", name, os.ErrProcessDone)
}

func named(pid int, name string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(line, []byte("\x00-name\x00"+name+"\x00"))
}

// startTicks reads a process's start time and state.
func startTicks(pid int) (ticks uint64, state byte, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	return parseStat(string(data))
}

// parseStat reads /proc/PID/stat; the command in parentheses may hold anything.
func parseStat(stat string) (ticks uint64, state byte, err error) {
	after := stat[strings.LastIndexByte(stat, ')')+1:]
	fields := strings.Fields(after)
	if len(fields) < 20 || len(fields[0]) != 1 {
		return 0, 0, errors.New("parse /proc/PID/stat: too short")
	}
	ticks, err = strconv.ParseUint(fields[19], 10, 64)
	return ticks, fields[0][0], err
}

// wait returns nil once the process has ended, or the context's error.
func (p *process) wait(ctx context.Context) error {
	_ = p.fd.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = p.fd.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	ended := func(fd uintptr) bool {
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(set, 0)
		return err == nil && n == 1 && set[0].Revents != 0
	}
	if err := conn.Read(ended); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	// Reap it if it is our child; init does it otherwise.
	_ = unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOHANG, nil)
	return nil
}

// kill ends the process at once. One that has ended already is success.
func (p *process) kill() error {
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := conn.Control(func(fd uintptr) {
		serr = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0)
	}); err != nil {
		return err
	}
	if serr == unix.ESRCH {
		return nil
	}
	return serr
}

func (p *process) close() { _ = p.fd.Close() }
