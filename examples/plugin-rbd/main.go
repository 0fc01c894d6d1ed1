//go:build ceph

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	blobrbd "github.com/nephos-cloud/nephos/driver/blob/rbd"
	"github.com/nephos-cloud/nephos/driver/plugin"
	volumerbd "github.com/nephos-cloud/nephos/driver/volume/rbd"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "plugin-rbd:", err)
		os.Exit(1)
	}
}

func run() error {
	kind := flag.String("kind", "volume", "what to serve: volume or blob")
	monitors := flag.String("monitors", "", "addresses of the cluster's monitors, separated by spaces or commas")
	conf := flag.String("conf", "", "a ceph.conf to read first")
	user := flag.String("user", "admin", "the user's name, without client.")
	keyFile := flag.String("key-file", "", "a file that holds the user's key")
	guestUser := flag.String("guest-user", "", "volumes: the user that guests' hosts open them as, without client.; empty is the same user")
	guestKeyFile := flag.String("guest-key-file", "", "volumes: a file that holds that user's key")
	pool := flag.String("pool", "", "the pool")
	namespace := flag.String("namespace", "", "the pool's namespace; it is made if need be")
	dataPool := flag.String("data-pool", "", "where images' data lies, if elsewhere")
	cloud := flag.String("cloud-id", os.Getenv("NEPHOS_CLOUD_ID"), "the cloud whose volumes these are")
	backend := flag.String("backend", "", "volumes: the volume_backend_name")
	depth := flag.Int("clone-depth", 0, "volumes: how many generations of copies share bytes; 0 is 5")
	flag.Parse()

	key, err := readKey(*keyFile, os.Getenv("NEPHOS_CEPH_KEY"))
	if err != nil {
		return err
	}
	guestKey, err := readKey(*guestKeyFile, "")
	if err != nil {
		return err
	}
	if key == "" && *conf == "" {
		return errors.New("no key: give -key-file, or -conf with a keyring in it")
	}
	ctx, log := context.Background(), plugin.Logger()
	switch *kind {
	case "volume":
		cfg := volumerbd.Config{
			CloudID: *cloud, Monitors: addresses(*monitors), ConfFile: *conf, User: *user, Key: key,
			GuestUser: *guestUser, GuestKey: guestKey,
			Pool: *pool, Namespace: *namespace, DataPool: *dataPool, CloneDepth: *depth, Backend: *backend, Log: log,
		}
		if dir := os.Getenv("NEPHOS_PLUGIN_DIR"); dir != "" {
			cfg.Scratch = filepath.Join(dir, "scratch")
		}
		d, err := volumerbd.Open(ctx, cfg)
		if err != nil {
			return err
		}
		return plugin.Serve(d)
	case "blob":
		d, err := blobrbd.Open(ctx, blobrbd.Config{
			Monitors: addresses(*monitors), ConfFile: *conf, User: *user, Key: key,
			Pool: *pool, Namespace: *namespace, DataPool: *dataPool, Log: log,
		})
		if err != nil {
			return err
		}
		return plugin.Serve(d)
	}
	return fmt.Errorf("kind %q is neither volume nor blob", *kind)
}

// readKey returns what the file holds; without a file, the other key.
func readKey(path, other string) (string, error) {
	if path == "" {
		return other, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the key: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// addresses takes a list apart at spaces and at commas outside of brackets.
func addresses(s string) []string {
	inside := false
	return strings.FieldsFunc(s, func(r rune) bool {
		switch r {
		case '[':
			inside = true
		case ']':
			inside = false
		}
		return r == ' ' || r == ',' && !inside
	})
}
