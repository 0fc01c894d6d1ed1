package rbd

import (
	"log/slog"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
)

// Config configures a Driver.
type Config struct {
	// Monitors are addresses of the cluster's monitors, as in ceph.conf's mon
	// host.
	Monitors []string
	// ConfFile is a ceph.conf to read before all else; empty is none.
	ConfFile string
	// User is the name without "client."; empty is admin. Key is its key, in
	// base64.
	User, Key string
	// Pool must exist. Namespace, if any, is made.
	Pool, Namespace string
	// DataPool has the images' data, if that lies elsewhere.
	DataPool string
	// CloneDepth is how many generations of copies share bytes; 0 is 5.
	CloneDepth int
	// Timeout bounds how long the library waits for the cluster; 0 is 30 seconds.
	Timeout time.Duration
	Clock   nephos.Clock // nil: the wall clock
	IDs     nephos.IDs   // for the images' names
	Log     *slog.Logger // nil: silence
}

func (c *Config) check() (ceph.Config, error) {
	cc := ceph.Config{
		Monitors: c.Monitors, ConfFile: c.ConfFile, User: c.User, Key: c.Key, Pool: c.Pool, Namespace: c.Namespace,
		DataPool: c.DataPool, Timeout: c.Timeout, CloneDepth: c.CloneDepth,
	}
	if c.Clock == nil {
		c.Clock = nephos.WallClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return cc, cc.Check()
}
