package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// attachment is a file in attachments/VOLUME, for whoever looks; that it is
// there is what counts.
type attachment struct {
	Host     string `json:"host"`
	ReadOnly bool   `json:"read_only,omitempty"`
	NBD      bool   `json:"nbd,omitempty"` // it is served, not opened
}

func parseAttachment(content []byte) (attachment, error) {
	var a attachment
	err := json.Unmarshal(content, &a)
	return a, err
}

// attachmentIDs returns who is connected to the volume.
func (d *Driver) attachmentIDs(volumeID string) ([]string, error) {
	entries, err := os.ReadDir(d.dir("attachments", volumeID))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing attachments of volume %s: %w", volumeID, err)
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// connected tells whether anybody is connected to the volume.
func (d *Driver) connected(volumeID string) (bool, error) {
	ids, err := d.attachmentIDs(volumeID)
	return len(ids) > 0, err
}

// Connect implements volume.Driver: the connection is of type "file", with the
// volume's path, or for another host, if [Config.NBD] is set, of type "nbd".
func (d *Driver) Connect(ctx context.Context, id string, c volume.Connector) (driver.Connection, error) {
	if err := errors.Join(volume.CheckID("volume ID", id), volume.CheckID("attachment ID", c.AttachmentID)); err != nil {
		return driver.Connection{}, err
	}
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return driver.Connection{}, fmt.Errorf("connecting volume %s: %w", id, err)
	}
	defer unlock()
	k, err := d.find(id)
	if err != nil {
		return driver.Connection{}, err
	}
	want := attachment{Host: c.Host, ReadOnly: c.ReadOnly, NBD: d.remote(c.Host)}
	path := d.dir("attachments", id, c.AttachmentID+".json")
	s, err := d.settings(id)
	if err != nil {
		return driver.Connection{}, err
	}
	known := false
	if content, err := os.ReadFile(path); err == nil {
		have, err := parseAttachment(content)
		known = err == nil && have == want
	}
	if !known {
		content, err := json.Marshal(want)
		if err == nil {
			err = durable.MkdirAll(d.dir("attachments", id), 0o700)
		}
		if err == nil {
			err = durable.WriteFile(d.dir("tmp"), path, content, 0o600)
		}
		if err != nil {
			return driver.Connection{}, fmt.Errorf("connecting volume %s: %w", id, meaning(err))
		}
	}
	if !want.NBD {
		return driver.Connection{Type: "file", Path: k.path, Limits: s.Limits}, nil
	}
	err = d.nbd.ensure(ctx, exportKey(id, c.AttachmentID))
	conn := driver.Connection{}
	if err == nil {
		conn, err = d.served(id, c.AttachmentID)
	}
	if err != nil {
		if !known {
			_ = durable.Remove(path)
		}
		return driver.Connection{}, fmt.Errorf("connecting volume %s: %w", id, err)
	}
	conn.Limits = s.Limits
	return conn, nil
}

// Disconnect implements volume.Driver.
func (d *Driver) Disconnect(ctx context.Context, id string, c volume.Connector) error {
	if err := errors.Join(volume.CheckID("volume ID", id), volume.CheckID("attachment ID", c.AttachmentID)); err != nil {
		return err
	}
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return fmt.Errorf("disconnecting volume %s: %w", id, err)
	}
	defer unlock()
	if err := durable.Remove(d.dir("attachments", id, c.AttachmentID+".json")); err != nil {
		return fmt.Errorf("disconnecting volume %s: %w", id, err)
	}
	_ = os.Remove(d.dir("attachments", id)) // if it is empty
	if d.nbd != nil {
		if err := d.nbd.ensure(ctx, exportKey(id, c.AttachmentID)); err != nil {
			return fmt.Errorf("disconnecting volume %s: %w", id, err)
		}
	}
	return nil
}
