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
}

func parseAttachment(content []byte) (attachment, error) {
	var a attachment
	err := json.Unmarshal(content, &a)
	return a, err
}

// connected tells whether anybody is connected to the volume.
func (d *Driver) connected(volumeID string) (bool, error) {
	entries, err := os.ReadDir(d.dir("attachments", volumeID))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("listing attachments of volume %s: %w", volumeID, err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			return true, nil
		}
	}
	return false, nil
}

// Connect implements volume.Driver: the connection is of type "file", with the
// volume's path.
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
	want := attachment{Host: c.Host, ReadOnly: c.ReadOnly}
	path := d.dir("attachments", id, c.AttachmentID+".json")
	s, err := d.settings(id)
	if err != nil {
		return driver.Connection{}, err
	}
	if content, err := os.ReadFile(path); err == nil {
		if have, err := parseAttachment(content); err == nil && have == want {
			return driver.Connection{Type: "file", Path: k.path, Limits: s.Limits}, nil
		}
	}
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
	return driver.Connection{Type: "file", Path: k.path, Limits: s.Limits}, nil
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
	return nil
}
