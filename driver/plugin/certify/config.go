package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

// config is what the flags say.
type config struct {
	path    string
	args    []string
	env     []string
	roots   []string
	dir     string
	sha256  string
	user    *plugin.User
	limits  plugin.Limits
	run     *regexp.Regexp
	timeout time.Duration
	each    time.Duration // bound of each test
	verbose bool
	log     *slog.Logger

	cloud             string
	peer              bool
	alive, guestAgent bool
	bootText          string
	base              *driver.Image
	guests, ports     int
	wait, grace       time.Duration
	segment, external network.Segment
	rawFiles          bool
}

type words []string

func (w *words) String() string     { return strings.Join(*w, " ") }
func (w *words) Set(s string) error { *w = append(*w, s); return nil }

func parse(args []string, errs io.Writer) (*config, error) {
	c := &config{log: slog.New(slog.DiscardHandler)}
	var env, roots words
	var user, run, base, segment, external string
	var logs bool
	f := flag.NewFlagSet("certify", flag.ContinueOnError)
	f.SetOutput(errs)
	f.Usage = func() {
		fmt.Fprintln(errs, "usage: certify [flags] PLUGIN [ARGUMENT...]")
		f.PrintDefaults()
	}
	f.Var(&env, "env", "`KEY=value` that the plugin sees; may be repeated")
	f.Var(&roots, "root", "`directory` below which paths that the plugin names may lie, besides its own; may be repeated")
	f.StringVar(&c.dir, "dir", "", "`directory` for the plugin's state; a temporary one by default")
	f.StringVar(&c.sha256, "sha256", "", "pin the plugin by its `checksum`")
	f.StringVar(&user, "user", "", "run the plugin as `uid:gid`")
	f.Uint64Var(&c.limits.Memory, "memory", 0, "limit the plugin's memory to so many `bytes`")
	f.Uint64Var(&c.limits.Processes, "processes", 0, "limit the plugin's processes and threads")
	f.Float64Var(&c.limits.CPUs, "cpus", 0, "limit the plugin to a share of processors, such as 0.5; takes -cgroup")
	f.StringVar(&c.limits.Cgroup, "cgroup", "", "`directory` of cgroup2, delegated to certify, that bounds the plugin")
	f.Uint64Var(&c.limits.Files, "files", 0, "limit the plugin's open files")
	f.StringVar(&run, "run", "", "run only tests whose name, such as Volume/Reopen, matches the `pattern`")
	f.DurationVar(&c.timeout, "timeout", 15*time.Minute, "bound of it all")
	f.DurationVar(&c.each, "test-timeout", 5*time.Minute, "bound of each test")
	f.BoolVar(&c.verbose, "v", false, "show what all tests say")
	f.BoolVar(&logs, "log", false, "show what the plugin logs")
	f.StringVar(&c.cloud, "cloud", "certify", "the cloud's `ID`, which the plugin sees as NEPHOS_CLOUD_ID")
	f.BoolVar(&c.peer, "peer", false, "a second start of the plugin is another host, or pool, that guests or volumes can move to")
	f.BoolVar(&c.alive, "alive", false, "hypervisor: guests run a system that obeys requests")
	f.BoolVar(&c.guestAgent, "guest-agent", false, "hypervisor: guests run an agent")
	f.StringVar(&c.bootText, "boot-text", "", "hypervisor: `text` that guests write to their serial port when they boot")
	f.StringVar(&base, "base", "", "hypervisor: base image of guests' root disks, as `FORMAT:PATH`")
	f.IntVar(&c.guests, "guests", 0, "hypervisor: how many guests are handled at once")
	f.DurationVar(&c.wait, "wait", 0, "hypervisor: bound of each call")
	f.DurationVar(&c.grace, "grace", 0, "hypervisor: time that guests have to power off")
	f.IntVar(&c.ports, "ports", 0, "network: how many ports are made at once")
	f.StringVar(&segment, "segment", "", "network: segment of networks, as `TYPE[:ID[:PHYSICAL]]`")
	f.StringVar(&external, "external", "", "network: segment of external networks, as `TYPE[:ID[:PHYSICAL]]`")
	f.BoolVar(&c.rawFiles, "raw-files", false, "volume: connections are raw files, which the suite writes to as a guest does")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.Arg(0) == "" {
		f.Usage()
		return nil, errors.New("name the plugin to certify")
	}
	c.args, c.env, c.roots = f.Args()[1:], env, roots
	var err error
	for _, step := range []func() error{
		func() error { c.path, err = filepath.Abs(f.Arg(0)); return err },
		func() error { c.run, err = namePattern(run); return err },
		func() error { c.user, err = parseUser(user); return err },
		func() error { c.segment, err = parseSegment(segment); return err },
		func() error { c.external, err = parseSegment(external); return err },
		func() error { c.base, err = parseBase(base); return err },
		func() error {
			if c.dir != "" {
				c.dir, err = filepath.Abs(c.dir)
			}
			return err
		},
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if logs {
		c.log = slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return c, nil
}

func parseUser(s string) (*plugin.User, error) {
	if s == "" {
		return nil, nil
	}
	u, g, _ := strings.Cut(s, ":")
	uid, err := strconv.ParseUint(u, 10, 32)
	gid, err2 := strconv.ParseUint(g, 10, 32)
	if err != nil || err2 != nil {
		return nil, fmt.Errorf("-user %q: want numbers as uid:gid", s)
	}
	return &plugin.User{UID: uint32(uid), GID: uint32(gid)}, nil
}

func parseSegment(s string) (network.Segment, error) {
	if s == "" {
		return network.Segment{}, nil
	}
	parts := strings.SplitN(s, ":", 3)
	seg := network.Segment{Type: parts[0]}
	if len(parts) > 1 && parts[1] != "" {
		id, err := strconv.Atoi(parts[1])
		if err != nil {
			return seg, fmt.Errorf("segment %q: want TYPE[:ID[:PHYSICAL]] with a number as ID", s)
		}
		seg.ID = id
	}
	if len(parts) > 2 {
		seg.Physical = parts[2]
	}
	return seg, nil
}

func parseBase(s string) (*driver.Image, error) {
	if s == "" {
		return nil, nil
	}
	format, path, ok := strings.Cut(s, ":")
	if !ok {
		return nil, fmt.Errorf("-base %q: want FORMAT:PATH", s)
	}
	return &driver.Image{Path: path, Format: format}, nil
}

// launch says how to start the plugin with a directory.
func (c *config) launch(dir string) plugin.LaunchOptions {
	return plugin.LaunchOptions{
		Args: c.args, Env: append([]string{"NEPHOS_CLOUD_ID=" + c.cloud}, c.env...), Dir: dir, Roots: c.roots,
		SHA256: c.sha256, User: c.user, Limits: c.limits, Log: c.log, KillOnClose: true,
	}
}

// reachable lets the plugin's user pass through a directory.
func (c *config) reachable(dir string) error {
	if c.user == nil {
		return nil
	}
	return os.Chmod(dir, 0o711)
}
