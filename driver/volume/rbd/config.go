package rbd

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
)

// Config configures a Driver.
type Config struct {
	// CloudID is the cloud whose volumes these are. A pool that another cloud has
	// used is refused.
	CloudID string
	// Monitors are addresses of the cluster's monitors, as in ceph.conf's mon
	// host: host, host:port, or [v2:host:port,v1:host:port].
	Monitors []string
	// ConfFile is a ceph.conf to read before all else; empty is none.
	ConfFile string
	// User is the name without "client."; empty is admin. Key is its key, in
	// base64, as ceph auth get-key prints it.
	User, Key string
	// GuestUser and GuestKey are told to hypervisors; empty is User and Key.
	GuestUser, GuestKey string
	// Pool must exist. Namespace, if any, is made.
	Pool, Namespace string
	// DataPool has the images' data, if that lies elsewhere, such as in an
	// erasure-coded pool.
	DataPool string
	// CloneDepth is how many generations of copies share bytes; a later one is
	// copied whole. 0 is 5.
	CloneDepth int
	// Timeout bounds how long the library waits for the cluster; 0 is 30 seconds.
	Timeout time.Duration
	// Linger is how long Delete waits for clients that have the image open though
	// nobody is connected: the cluster forgets one that died after half a minute. 0
	// is 40 seconds, negative waits for none.
	Linger time.Duration
	// Scratch is a directory for images on their way that are not raw; empty is
	// one below the system's for temporary files.
	Scratch string
	// QEMUImg is the program that converts them; empty is qemu-img. It runs as UID
	// and GID, where positive, for at most ToolTimeout; 0 is one hour.
	QEMUImg     string
	UID, GID    int
	ToolTimeout time.Duration
	// Backend is the volume_backend_name; empty is "ceph".
	Backend string
	Clock   nephos.Clock // nil: the wall clock
	IDs     nephos.IDs   // for temporary names
	Log     *slog.Logger // nil: silence
}

func (c *Config) check() (ceph.Config, error) {
	if (c.GuestUser == "") != (c.GuestKey == "") {
		return ceph.Config{}, nephos.Errorf(nephos.ErrInvalid, "GuestUser and GuestKey go together").WithField("guest_user")
	}
	cc := ceph.Config{
		Monitors: c.Monitors, ConfFile: c.ConfFile, User: c.User, Key: c.Key, Pool: c.Pool, Namespace: c.Namespace,
		DataPool: c.DataPool, Timeout: c.Timeout, CloneDepth: c.CloneDepth,
	}
	if err := cc.Check(); err != nil {
		return cc, err
	}
	if c.GuestUser == "" {
		c.GuestUser, c.GuestKey = cc.User, c.Key
	}
	if c.QEMUImg == "" {
		c.QEMUImg = "qemu-img"
	}
	if c.ToolTimeout == 0 {
		c.ToolTimeout = time.Hour
	}
	if c.Linger == 0 {
		c.Linger = 40 * time.Second
	}
	if c.Scratch == "" {
		c.Scratch = filepath.Join(os.TempDir(), "nephos-rbd")
	}
	if c.Backend == "" {
		c.Backend = "ceph"
	}
	if c.Clock == nil {
		c.Clock = nephos.WallClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return cc, nil
}

// hosts returns the monitors' addresses as hypervisors take them: host or
// host:port, the first of each monitor's.
func hosts(monitors []string) []string {
	var out []string
	for _, m := range monitors {
		if !strings.HasPrefix(m, "[v") {
			out = append(out, m)
			continue
		}
		first, _, _ := strings.Cut(strings.Trim(m, "[]"), ",")
		_, address, _ := strings.Cut(first, ":")
		address, _, _ = strings.Cut(address, "/") // a nonce
		out = append(out, address)
	}
	return out
}
