//go:build ceph

package rbd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ceph/go-ceph/rbd"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// attachment is the value of an attachment's label, for whoever looks; that it is
// there is what counts.
type attachment struct {
	Host     string `json:"host"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

// MultiAttach implements volume.MultiAttacher: any number of hosts.
func (d *Driver) MultiAttach() int { return -1 }

// Connect implements volume.Driver. The connection is of type rbd, with the
// options hosts (the monitors, separated by commas), pool, namespace, image and
// user, and the secret key.
func (d *Driver) Connect(ctx context.Context, id string, c volume.Connector) (driver.Connection, error) {
	if err := errors.Join(volume.CheckID("volume ID", id), volume.CheckID("attachment ID", c.AttachmentID)); err != nil {
		return driver.Connection{}, err
	}
	value, err := json.Marshal(attachment{Host: c.Host, ReadOnly: c.ReadOnly})
	if err != nil {
		return driver.Connection{}, err
	}
	limits, err := ceph.Ask(ctx, d.pool, func() (limits *driver.Limits, err error) {
		unlock, err := d.locks.Lock(ctx, id)
		if err != nil {
			return nil, err
		}
		defer unlock()
		err = d.with(id, func(im *rbd.Image) error {
			if limits, err = limitsOf(im); err != nil {
				return err
			}
			return ceph.Meaning(im.SetMetadata(labelAttachment+c.AttachmentID, string(value)))
		})
		return limits, err
	})
	if err != nil {
		return driver.Connection{}, fmt.Errorf("connecting volume %s: %w", id, err)
	}
	return driver.Connection{
		Type: "rbd",
		Options: map[string]string{
			"hosts": strings.Join(hosts(d.cfg.Monitors), ","), "pool": d.cfg.Pool, "namespace": d.cfg.Namespace,
			"image": volumePrefix + id, "user": d.cfg.GuestUser,
		},
		Secrets: map[string]string{"key": d.cfg.GuestKey},
		Limits:  limits,
	}, nil
}

// Disconnect implements volume.Driver.
func (d *Driver) Disconnect(ctx context.Context, id string, c volume.Connector) error {
	if err := errors.Join(volume.CheckID("volume ID", id), volume.CheckID("attachment ID", c.AttachmentID)); err != nil {
		return err
	}
	err := d.locked(ctx, id, func() error {
		im, err := rbd.OpenImage(d.pool.IO, volumePrefix+id, rbd.NoSnapshot)
		if ceph.Is(err, ceph.ENOENT) {
			return nil
		}
		if err != nil {
			return ceph.Meaning(err)
		}
		err = im.RemoveMetadata(labelAttachment + c.AttachmentID)
		if ceph.Is(err, ceph.ENOENT) {
			err = nil
		}
		return ceph.Meaning(errors.Join(err, im.Close()))
	})
	if err != nil {
		return fmt.Errorf("disconnecting volume %s: %w", id, err)
	}
	return nil
}
