// Command testcloud is a whole OpenStack-compatible cloud for tests in any
// language: it listens on a free port of the loopback interface, prints a
// clouds.yaml for it, and forgets everything when it ends. Servers are simulated.
//
//	testcloud -clouds clouds.yaml &
//	export OS_CLIENT_CONFIG_FILE=clouds.yaml OS_CLOUD=testcloud
//	openstack server list
//
// Beside the APIs of a cloud it has one of its own, for tests:
//
//	POST /reset                        as it was at the start: {"snapshot": "NAME"} as it was then
//	POST /testcloud/v1/snapshots       {"name": "NAME"}: keeps the present state
//	GET  /testcloud/v1/snapshots
//	GET  /testcloud/v1/clock           {"now": "…", "ahead_seconds": 0}
//	POST /testcloud/v1/clock           {"advance_seconds": 600}: lets time pass
//
// and faults, for its admin, under /faults: what shall go wrong, and how often
// (see package faults). A reset keeps URLs, the admin and their tokens.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "testcloud:", err)
		os.Exit(1)
	}
}

type options struct {
	listen, clouds, password string
	hosts                    int
	seed                     uint64
	stdin                    bool
	logLevel                 slog.Level
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("testcloud", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&o.listen, "listen", "127.0.0.1:0", "`host:port` on loopback; port 0 picks a free one")
	fs.StringVar(&o.clouds, "clouds", "", "write the clouds.yaml to this `file`, once the cloud is ready")
	fs.StringVar(&o.password, "password", "", "the admin's `password` (default: a random one)")
	fs.IntVar(&o.hosts, "hosts", 3, "how `many` hosts to simulate")
	fs.Uint64Var(&o.seed, "seed", 1, "what chance in faults follows from")
	fs.BoolVar(&o.stdin, "stdin", false, "end when standard input does, so that no cloud outlives the test that started it")
	fs.TextVar(&o.logLevel, "log", slog.LevelError, "`level`: debug, info, warn or error")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	host, _, err := net.SplitHostPort(o.listen)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return o, fmt.Errorf("-listen %q: a test cloud, which anybody may reset, listens on loopback only, such as 127.0.0.1:0", o.listen)
	}
	if o.hosts < 1 || o.hosts > 1000 {
		return o, fmt.Errorf("-hosts %d: use 1 to 1000", o.hosts)
	}
	return o, nil
}

func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) (err error) {
	o, err := parse(args, errs)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.stdin {
		go func() {
			_, _ = io.Copy(io.Discard, in)
			cancel()
		}()
	}
	if o.password == "" {
		if o.password, err = identity.GeneratePassword(nil); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "testcloud")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: o.logLevel}))
	url := "http://" + listener.Addr().String()
	c, err := newCloud(ctx, o, dir, url, log)
	if err != nil {
		listener.Close()
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	served := make(chan error, 1)
	go func() { served <- httpapi.Serve(ctx, listener, c.handler(), log) }()
	yaml := cloudsYAML(url, o.password)
	if o.clouds != "" {
		if err := writeFile(o.clouds, yaml); err != nil {
			cancel()
			return errors.Join(err, <-served)
		}
	}
	if _, err := io.WriteString(out, yaml); err != nil {
		log.Warn("printing the clouds.yaml", "error", err)
	}
	return <-served
}

func cloudsYAML(url, password string) string {
	return fmt.Sprintf(`clouds:
  testcloud:
    auth:
      auth_url: %q
      username: admin
      password: %q
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
    region_name: RegionOne
    identity_api_version: 3
    interface: public
# ready: %s
`, url+"/identity/v3", password, url)
}

// writeFile writes a file whole or not at all, readable by its owner.
func writeFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, strings.NewReader(text))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
