// Command allinone runs a whole cloud in one process: all services, their
// database, and this machine (or simulated ones) as hosts.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
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

	// The address is taken first: a second cloud on it fails before it does anything.
	listener, err := net.Listen("tcp", c.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	scheme := "http"
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return fmt.Errorf("reading the certificate: %w", err)
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
		scheme = "https"
	}
	public := strings.TrimSuffix(c.publicURL, "/")
	if public == "" {
		public = scheme + "://" + listener.Addr().String()
	}

	tracer, endTrace, err := openTrace(c.trace)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endTrace()) }()
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
	db, err := store.Open(ctx, database, store.Options{Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	keys, err := identity.OpenKeys(filepath.Join(c.data, "keys"), nil)
	if err != nil {
		return err
	}
	blobs, volumes, stores, err := openStores(ctx, c, cloudID, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stores.close()) }()
	hosts, drivers, err := openHosts(ctx, c, cloudID, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drivers.close()) }()

	address, err := netip.ParsePrefix(c.external)
	if err != nil {
		return fmt.Errorf("-external: %w", err)
	}
	cl, err := cloud.New(ctx, cloud.Config{
		Store: db, Blobs: blobs, Volumes: volumes, Hosts: hosts, CloudID: cloudID,
		PublicURL: public, URLs: c.separateURLs(scheme), Region: c.region, Keys: keys,
		AdminPassword: password, Generated: true, PolicyFile: c.policy,
		External: cloud.NewExternal("public", physical, address),
		Physical: []networking.PhysicalNetwork{{Name: physical, Flat: true}}, Flavors: true,
		Log: log, Tracer: tracer,
	})
	if err != nil {
		return err
	}
	return serve(ctx, c, cl, listener, public, password, log)
}

// serve runs the cloud and its listeners until ctx ends.
func serve(ctx context.Context, c *config, cl *cloud.Cloud, listener net.Listener, public, password string, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	start := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				errs <- err
			}
			cancel()
		})
	}
	start(func() error { return cl.Run(ctx) })
	start(func() error { return httpapi.Serve(ctx, listener, cl.Handler(), log) })
	for name, l := range c.separateListeners() {
		start(func() error { return listen(ctx, l, cl.API(name), log) })
	}
	authURL := public + "/identity/v3"
	if u := c.separateURLs("http")["identity"]; u != "" {
		authURL = u + "/v3"
	}
	if err := writeClientFiles(c.data, authURL, c.region, password); err != nil {
		cancel()
		wg.Wait()
		return err
	}
	log.Info("ready", "url", public, "clients", filepath.Join(c.data, "clouds.yaml"))
	wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	log.Info("stopped")
	return errors.Join(all...)
}

func listen(ctx context.Context, address string, h http.Handler, log *slog.Logger) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return httpapi.Serve(ctx, l, h, log)
}

// openstackPorts are those that OpenStack's services have by custom.
var openstackPorts = map[string]string{
	"identity": "5000", "image": "9292", "network": "9696", "volume": "8776", "compute": "8774", "placement": "8778",
}

func (c *config) separateListeners() map[string]string {
	if !c.ports {
		return nil
	}
	host, main, _ := net.SplitHostPort(c.listen)
	out := map[string]string{}
	for name, port := range openstackPorts {
		if port != main {
			out[name] = net.JoinHostPort(host, port)
		}
	}
	return out
}

func (c *config) separateURLs(scheme string) map[string]string {
	out := map[string]string{}
	for name, l := range c.separateListeners() {
		out[name] = scheme + "://" + l
	}
	return out
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
	return slog.New(tint.NewHandler(out, &tint.Options{Level: level, NoColor: !color})), nil
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

func openHosts(ctx context.Context, c *config, cloudID string, log *slog.Logger) ([]cloud.Host, opened, error) {
	real, err := chooseDrivers(c.drivers, log)
	if err != nil {
		return nil, nil, err
	}
	if real {
		return openReal(ctx, c, cloudID, log)
	}
	return openFake(ctx, c, cloudID)
}
