package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos"
)

// cgroup is a control group (version 2) of one process and of what it starts.
// Its folder is locked as long as this process has an eye on it.
type cgroup struct {
	path   string
	dir    *os.File
	memory uint64 // bytes that it may use; 0 is any number
}

// newCgroup makes a group below the one that the limits name, if they do, and
// arranges for the child to be born in it.
func newCgroup(l Limits, name string, a *syscall.SysProcAttr) (_ *cgroup, err error) {
	if l.Cgroup == "" {
		return nil, nil
	}
	g := &cgroup{memory: l.Memory}
	defer func() {
		if err != nil {
			g.remove()
			err = fmt.Errorf("limiting the plugin by a control group below %s: %w", l.Cgroup, err)
		}
	}()
	settings := l.settings()
	if err := handOn(l.Cgroup, settings); err != nil {
		return nil, err
	}
	sweep(l.Cgroup, name)
	if err := g.make(l.Cgroup, name); err != nil {
		return nil, err
	}
	for _, s := range settings {
		err := set(filepath.Join(g.path, s.file), s.value)
		if err != nil && !(s.optional && errors.Is(err, fs.ErrNotExist)) {
			return nil, fmt.Errorf("setting %s to %s: %w", s.file, s.value, err)
		}
	}
	a.UseCgroupFD, a.CgroupFD = true, int(g.dir.Fd())
	return g, nil
}

// setting is a file of a control group, and what goes into it.
type setting struct {
	controller, file, value string
	optional                bool // kernels may be built without it
}

func (l Limits) settings() []setting {
	var all []setting
	if l.Memory > 0 {
		all = append(all, setting{"memory", "memory.max", strconv.FormatUint(l.Memory, 10), false},
			setting{"memory", "memory.swap.max", "0", true}) // else it swaps, and only others wait
	}
	if l.Processes > 0 {
		all = append(all, setting{"pids", "pids.max", strconv.FormatUint(l.Processes, 10), false})
	}
	if l.CPUs > 0 {
		all = append(all, setting{"cpu", "cpu.max", fmt.Sprintf("%d 100000", int64(l.CPUs*100000)), false})
	}
	return all
}

// set writes to a file that the kernel has made.
func set(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// handOn has the groups below parent get the controllers of the settings.
func handOn(parent string, settings []setting) error {
	words := func(file string) ([]string, error) {
		text, err := os.ReadFile(filepath.Join(parent, file))
		return strings.Fields(string(text)), err
	}
	has, err := words("cgroup.controllers")
	if err != nil {
		return fmt.Errorf("%w: name a folder of cgroup2 that is delegated to this process", err)
	}
	given, err := words("cgroup.subtree_control")
	if err != nil {
		return err
	}
	for _, s := range settings {
		if slices.Contains(given, s.controller) {
			continue
		}
		if !slices.Contains(has, s.controller) {
			return nephos.Errorf(nephos.ErrInvalid, "it has not the controller %s, but %q: delegate that too, or do without the limit", s.controller, has)
		}
		err := set(filepath.Join(parent, "cgroup.subtree_control"), "+"+s.controller)
		if errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("handing on the controller %s: %w: processes are in it: delegate a folder that has none (systemd: Delegate=yes, DelegateSubgroup=)", s.controller, err)
		}
		if err != nil {
			return fmt.Errorf("handing on the controller %s: %w: the folder must be delegated to this process", s.controller, err)
		}
		given = append(given, s.controller)
	}
	return nil
}

// sweep removes groups of former processes of that name that are empty: those of
// hosts that were killed, and those that processes' children kept.
func sweep(parent, name string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), name+"-") {
			continue
		}
		path := filepath.Join(parent, e.Name())
		dir, err := os.Open(path)
		if err != nil {
			continue
		}
		if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.Remove(path) // the kernel keeps one that has processes
		}
		dir.Close()
	}
}

// make makes the folder and locks it.
func (g *cgroup) make(parent, name string) error {
	for {
		path, err := os.MkdirTemp(parent, name+"-")
		if err != nil {
			return err
		}
		dir, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) { // swept away before we had it
			continue
		}
		if err == nil {
			err = unix.Flock(int(dir.Fd()), unix.LOCK_SH)
		}
		if err != nil {
			_ = os.Remove(path)
			return err
		}
		if _, err := os.Stat(path); err != nil {
			dir.Close()
			continue
		}
		g.path, g.dir = path, dir
		return nil
	}
}

// why tells what the group has to do with its process's end; empty is nothing.
func (g *cgroup) why(state *os.ProcessState) string {
	if g == nil || g.memory == 0 || state == nil {
		return ""
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		return ""
	}
	events, err := os.ReadFile(filepath.Join(g.path, "memory.events"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(events)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok && n != "0" {
			return fmt.Sprintf(": it wanted more than the %d bytes of memory that its limits allow", g.memory)
		}
	}
	return ""
}

// remove removes the group once it is empty; guests that the plugin started and
// that outlive it keep it, until a later start sweeps it away.
func (g *cgroup) remove() {
	if g == nil || g.dir == nil {
		return
	}
	_ = os.Remove(g.path)
	g.dir.Close()
	g.dir = nil
}
