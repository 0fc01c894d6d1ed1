// Package ceph is what the drivers that keep images in Ceph's block device (RBD)
// share: a connection to one pool of one cluster, errors with their meaning, and
// content streaming in and out of images without the parts that are zero.
//
// All but the configuration needs cgo and librbd, behind the build tag ceph:
//
//	go build -tags ceph,pacific ./...
//
// The second tag is for librbd 16, which Debian 12 has; go-ceph's documentation
// names those of others.
package ceph

import (
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
)

// Config says which pool, and as whom.
type Config struct {
	Monitors   []string // as in ceph.conf's "mon host"; may be empty if ConfFile is set
	ConfFile   string   // a ceph.conf to read before all else; may be empty
	User, Key  string   // "admin" is client.admin; the key is in base64
	Pool       string
	Namespace  string // of RBD; made if it is not there
	DataPool   string // where images' data lies, if elsewhere
	Timeout    time.Duration
	CloneDepth int // of copies of copies, before one becomes independent
}

// Check fills in defaults and refuses what can never work.
func (c *Config) Check() error {
	plain := func(field, s string) error {
		if strings.ContainsAny(s, "/@\x00 \t\n,;%") {
			return nephos.Errorf(nephos.ErrInvalid, "%s %q has a character that is not allowed", field, s).WithField(field)
		}
		return nil
	}
	for _, f := range []struct{ name, value string }{{"pool", c.Pool}, {"namespace", c.Namespace}, {"data_pool", c.DataPool}, {"user", c.User}} {
		if err := plain(f.name, f.value); err != nil {
			return err
		}
	}
	for _, m := range c.Monitors {
		if m == "" || strings.ContainsAny(m, " ;\n") {
			return nephos.Errorf(nephos.ErrInvalid, "monitor %q is no address", m).WithField("monitors")
		}
	}
	switch {
	case c.Pool == "":
		return nephos.Errorf(nephos.ErrInvalid, "no pool is configured").WithField("pool")
	case len(c.Monitors) == 0 && c.ConfFile == "":
		return nephos.Errorf(nephos.ErrInvalid, "no monitors are configured").WithField("monitors")
	case c.Timeout < 0 || c.CloneDepth < 0:
		return nephos.Errorf(nephos.ErrInvalid, "limits cannot be negative").WithField("timeout")
	}
	if c.User == "" {
		c.User = "admin"
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.CloneDepth == 0 {
		c.CloneDepth = 5
	}
	return nil
}
