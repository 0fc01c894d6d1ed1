// Command allinone runs a whole cloud in one process: all services, their
// database, and this machine (or simulated ones) as hosts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/lmittmann/tint"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
	networking "github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := parse(os.Args[1:], os.LookupEnv, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		if os.Getenv("GOGC") == "" {
			// The heap is small: collecting it less often costs little memory.
			debug.SetGCPercent(400)
		}
		err = run(ctx, c, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "allinone:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c *config, out io.Writer) (err error) {
	log, err := logger(c, out)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.data, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(c.data, 0o700); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(c.data, "lock"))
	if err != nil {
		return err
	}
	defer unlock()

	// Addresses are taken first: a second cloud on one fails before it does anything.
	doors, err := openDoors(c)
	if err != nil {
		return err
	}
	defer doors.close()

	stopProfiles, err := serveProfiles(ctx, c.profile, log)
	if err != nil {
		return err
	}
	defer stopProfiles()
	tracer, endTrace, err := openTrace(c.trace)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endTrace()) }()
	record, endRecord, err := openRecord(c.record)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endRecord()) }()
	cloudID, err := remember(filepath.Join(c.data, "cloud-id"), func() (string, error) { return nephos.IDs{}.New(), nil })
	if err != nil {
		return err
	}
	password, err := remember(filepath.Join(c.data, "admin-password"), func() (string, error) { return identity.GeneratePassword(nil) })
	if err != nil {
		return err
	}
	database := c.database
	if database == "" {
		database = "sqlite:" + filepath.Join(c.data, "nephos.db")
	}
	// What is put on disk at the first start takes its time: side by side.
	var keys *identity.Keys
	var held stores
	var storesDone opened
	var keysErr, storesErr error
	var opening sync.WaitGroup
	opening.Go(func() { keys, keysErr = identity.OpenKeys(filepath.Join(c.data, "keys"), nil) })
	opening.Go(func() { held, storesDone, storesErr = openStores(ctx, c, cloudID, log) })
	db, err := store.Open(ctx, database, store.Options{Log: log})
	opening.Wait()
	if db != nil {
		defer func() { err = errors.Join(err, db.Close()) }()
	}
	defer func() { err = errors.Join(err, storesDone.close()) }()
	if err := errors.Join(err, keysErr, storesErr); err != nil {
		return err
	}
	hosts, drivers, err := openHosts(ctx, c, cloudID, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drivers.close()) }()

	address, err := netip.ParsePrefix(c.external)
	if err != nil {
		return fmt.Errorf("-external: %w", err)
	}
	chooser, programs, err := openScheduler(ctx, c.scheduler, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, programs.close()) }()
	cl, err := cloud.New(ctx, cloud.Config{
		Store: db, Blobs: held.images[0], MoreBlobs: held.images[1:], Volumes: held.volumes[0], MoreVolumes: held.volumes[1:],
		Hosts: hosts, CloudID: cloudID,
		PublicURL: doors.url, URLs: doors.urls, Region: c.region, Keys: keys,
		AdminPassword: password, Generated: true, PolicyFile: c.policy,
		External: cloud.NewExternal("public", physical, address),
		Physical: []networking.PhysicalNetwork{{Name: physical, Flat: true}}, Flavors: true,
		Log: log, Tracer: tracer, Faults: openFaults(c.faults, log), Scheduler: chooser.hosts, PoolScheduler: chooser.pools, Record: record,
	})
	if err != nil {
		return err
	}
	return serve(ctx, c, cl, doors, password, log)
}

// serve runs the cloud and its listeners until ctx ends.
func serve(ctx context.Context, c *config, cl *cloud.Cloud, doors *doors, password string, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, 2+len(doors.more))
	start := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				errs <- err
			}
			cancel()
		})
	}
	start(func() error { return cl.Run(ctx) })
	start(func() error { return httpapi.Serve(ctx, doors.main, cl.Handler(), log) })
	for name, l := range doors.more {
		start(func() error { return httpapi.Serve(ctx, l, cl.API(name), log) })
	}
	if err := writeClientFiles(c.data, doors.authURL(), c.region, password); err != nil {
		cancel()
		wg.Wait()
		return err
	}
	log.Info("ready", "url", doors.url, "clients", filepath.Join(c.data, "clouds.yaml"))
	wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	log.Info("stopped")
	return errors.Join(all...)
}

func logger(c *config, out io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		return nil, fmt.Errorf("-log: %w", err)
	}
	if c.logJSON {
		return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})), nil
	}
	f, ok := out.(*os.File)
	color := false
	if ok {
		info, err := f.Stat()
		color = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return slog.New(tint.NewTextHandler(out, &tint.Options{Level: level, NoColor: !color})), nil
}

// lock makes sure that one process has the directory.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("the data directory %s is in use by another cloud", filepath.Dir(path))
	}
	return func() { f.Close() }, nil
}

// remember returns what the file holds, or makes it once.
func remember(path string, makeIt func() (string, error)) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	value, err := makeIt()
	if err != nil {
		return "", err
	}
	return value, writeFile(path, []byte(value+"\n"))
}
