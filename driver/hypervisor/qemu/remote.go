package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// remote is how QEMU reaches a disk that is no file on this host.
type remote struct {
	node map[string]any // the protocol
	// secret is what the object secretName of the disk holds, in base64; empty is
	// none.
	secret string
	// certificates are the files of the object certsName of the disk; nil is none.
	certificates map[string]string
}

// Names of the objects that belong to a disk.
func secretName(disk string) string { return "s" + digest(disk) }
func certsName(disk string) string  { return "c" + digest(disk) }

// secretsFile keeps what the guest's disks need to be reached, so that the guest
// starts again though a driver of another process made it. The record, which is
// shown around more, has none of it.
const secretsFile = "secrets.json"

// writeSecrets keeps the secrets of a guest's disks.
func writeSecrets(dir string, disks []driver.Disk) error {
	secrets := make(map[string]map[string]string)
	for _, d := range disks {
		if len(d.Source.Secrets) > 0 {
			secrets[d.ID] = d.Source.Secrets
		}
	}
	path := filepath.Join(dir, secretsFile)
	if len(secrets) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	return writeJSON(path, secrets)
}

// withSecrets returns the disk as it was given.
func withSecrets(dir string, d driver.Disk) (driver.Disk, error) {
	if d.Source.Type == "local" || d.Source.Type == "file" {
		return d, nil
	}
	var secrets map[string]map[string]string
	_, err := readJSON(filepath.Join(dir, secretsFile), &secrets)
	d.Source.Secrets = secrets[d.ID]
	return d, err
}

// remoteOf describes a disk's connection; nil is one to something on this host.
func remoteOf(d driver.Disk) (*remote, error) {
	var r *remote
	var err error
	switch d.Source.Type {
	case "rbd":
		r, err = rbdRemote(d)
	case "nbd":
		r, err = nbdRemote(d)
	default:
		return nil, nil //nolint:nilnil // see above
	}
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", d.ID, err)
	}
	r.node["read-only"], r.node["discard"] = readOnly(d), "unmap"
	return r, nil
}

// top describes the disk's data above the protocol. What an NBD server shows is
// raw, whatever it keeps.
func (r *remote) top(d driver.Disk) map[string]any {
	format := d.Format
	if d.Source.Type == "nbd" {
		format = "raw"
	}
	node := map[string]any{
		"driver": format, "node-name": diskNode(d.ID), "read-only": readOnly(d), "discard": "unmap", "file": r.node,
	}
	if format == "qcow2" {
		node["backing"] = nil
	}
	return node
}

func (r *remote) secretObject(disk string) map[string]any {
	return map[string]any{"qom-type": "secret", "id": secretName(disk), "format": "base64"}
}

func (r *remote) certsObject(disk string) map[string]any {
	return map[string]any{"qom-type": "tls-creds-x509", "id": certsName(disk), "endpoint": "client", "verify-peer": true}
}

// remote adds a disk that is elsewhere to a command line. What is secret goes
// through descriptors, as anybody can read a command line.
func (c *command) remote(d *Driver, dir string, disk driver.Disk, r *remote) error {
	if r.secret != "" {
		f, err := memoryOf(r.secret)
		if err != nil {
			return fmt.Errorf("hand over the key of disk %s: %w", disk.ID, err)
		}
		o := r.secretObject(disk.ID)
		o["file"] = fmt.Sprintf("/proc/self/fd/%d", c.file(f))
		c.json("-object", o)
	}
	if r.certificates != nil {
		f, err := d.writeCertificates(dir, disk, r)
		if err != nil {
			return err
		}
		o := r.certsObject(disk.ID)
		o["dir"] = fmt.Sprintf("/proc/self/fd/%d", c.file(f))
		c.json("-object", o)
	}
	c.json("-blockdev", r.top(disk))
	return nil
}

// memoryOf returns a file without a name that holds the text.
func memoryOf(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("secret", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "secret")
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// writeCertificates keeps a disk's certificates in the guest's directory, as its
// record keeps other secrets, and returns the open directory.
func (d *Driver) writeCertificates(dir string, disk driver.Disk, r *remote) (*os.File, error) {
	fail := func(err error) (*os.File, error) {
		return nil, fmt.Errorf("write the certificates of disk %s: %w", disk.ID, err)
	}
	path := filepath.Join(dir, "tls-"+digest(disk.ID))
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fail(err)
	}
	names := []string{path}
	for name, content := range r.certificates {
		name = filepath.Join(path, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return fail(err)
		}
		names = append(names, name)
	}
	if d.cfg.UID != 0 || d.cfg.GID != 0 {
		for _, name := range names {
			if err := os.Chown(name, int(d.cfg.UID), int(d.cfg.GID)); err != nil {
				return fail(err)
			}
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	return f, nil
}

// plugRemote adds the data of a disk that is elsewhere.
func (v *vm) plugRemote(ctx context.Context, dir string, d driver.Disk, r *remote) error {
	v.dropObjects(ctx, d.ID)
	if r.secret != "" {
		o := r.secretObject(d.ID)
		o["data"] = r.secret
		if err := v.execute(ctx, "object-add", o, nil); err != nil {
			return err
		}
	}
	if r.certificates != nil {
		if err := v.plugCertificates(ctx, dir, d, r); err != nil {
			v.dropObjects(ctx, d.ID)
			return err
		}
	}
	if err := v.execute(ctx, "blockdev-add", r.top(d), nil); err != nil {
		v.dropObjects(ctx, d.ID)
		return fmt.Errorf("%w: %w", nephos.ErrUnavailable, err)
	}
	return nil
}

func (v *vm) plugCertificates(ctx context.Context, dir string, d driver.Disk, r *remote) error {
	f, err := v.d.writeCertificates(dir, d, r)
	if err != nil {
		return err
	}
	defer f.Close()
	c, err := v.client()
	if err != nil {
		return err
	}
	var set struct {
		ID int `json:"fdset-id"`
		FD int `json:"fd"`
	}
	if err := c.ExecuteFile(ctx, "add-fd", nil, &set, f); err != nil {
		return err
	}
	o := r.certsObject(d.ID)
	o["dir"] = fmt.Sprintf("/proc/self/fd/%d", set.FD)
	err = v.execute(ctx, "object-add", o, nil) // which reads the files
	return errors.Join(err, v.execute(context.WithoutCancel(ctx), "remove-fd", map[string]any{"fdset-id": set.ID}, nil))
}

// dropObjects forgets the secrets of a disk; most have none.
func (v *vm) dropObjects(ctx context.Context, disk string) {
	ctx = context.WithoutCancel(ctx)
	for _, name := range []string{secretName(disk), certsName(disk)} {
		_ = v.execute(ctx, "object-del", map[string]any{"id": name}, nil)
	}
}

// knownOptions refuses options that a connection of this type does not have.
func knownOptions(options map[string]string, known ...string) error {
	left := make(map[string]string)
	for k, value := range options {
		left[k] = value
	}
	for _, k := range known {
		delete(left, k)
	}
	if len(left) > 0 {
		names, _ := json.Marshal(left)
		return fmt.Errorf("connection has options that are not known here: %.200s: %w", names, nephos.ErrInvalid)
	}
	return nil
}
