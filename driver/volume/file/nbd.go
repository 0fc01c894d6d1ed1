package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
)

// NBD says how volumes are served to hosts that do not see the directory: by one
// qemu-storage-daemon, with an export for each attachment, over a unix socket or
// over TCP with TLS on both sides. What a host sees is the volume's raw content,
// whatever its format.
type NBD struct {
	// Socket is the path of a unix socket, at most 107 bytes. Either it or Listen
	// is set.
	Socket string
	// Listen is the host and port to listen on. It needs the certificates.
	Listen string
	// Address is the host and port that others are told; empty is Listen.
	Address string
	// CA, Cert and Key are files in PEM: whom to trust, and what the server shows.
	// Its certificate must be for the host of Address.
	CA, Cert, Key string
	// ClientCert and ClientKey are files in PEM that the hosts are told, for them
	// to show.
	ClientCert, ClientKey string
	// Program is the daemon; empty is qemu-storage-daemon on the PATH.
	Program string
}

// check fills in defaults and refuses what can never work.
func (n *NBD) check() error {
	bad := func(field, format string, args ...any) error {
		return nephos.Errorf(nephos.ErrInvalid, "NBD: "+format, args...).WithField(field)
	}
	switch {
	case (n.Socket == "") == (n.Listen == ""):
		return bad("listen", "one of Socket and Listen must be set")
	case n.Socket != "" && (!filepath.IsAbs(n.Socket) || len(n.Socket) > 107):
		return bad("socket", "socket %q is not an absolute path of at most 107 bytes", n.Socket)
	}
	if n.Listen != "" {
		if n.Address == "" {
			n.Address = n.Listen
		}
		for _, address := range []string{n.Listen, n.Address} {
			if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" || port == "0" {
				return bad("listen", "address %q is not host and port", address)
			}
		}
		for field, path := range map[string]string{"ca": n.CA, "cert": n.Cert, "key": n.Key, "client_cert": n.ClientCert, "client_key": n.ClientKey} {
			if path == "" {
				return bad(field, "over TCP the file %s is needed", field)
			}
		}
	}
	if n.Program == "" {
		n.Program = "qemu-storage-daemon"
	}
	return nil
}

// certificates are the contents of the configured files, by the names that QEMU
// gives them.
type certificates struct {
	server map[string][]byte
	client map[string]string // of a connection's secrets
}

func (n *NBD) certificates() (certificates, error) {
	c := certificates{server: make(map[string][]byte), client: make(map[string]string)}
	if n.Listen == "" {
		return c, nil
	}
	for _, f := range []struct{ path, server, client string }{
		{n.CA, "ca-cert.pem", "tls_ca"},
		{n.Cert, "server-cert.pem", ""},
		{n.Key, "server-key.pem", ""},
		{n.ClientCert, "", "tls_cert"},
		{n.ClientKey, "", "tls_key"},
	} {
		content, err := os.ReadFile(f.path)
		if err != nil {
			return c, fmt.Errorf("reading a certificate: %w", err)
		}
		if f.server != "" {
			c.server[f.server] = content
		}
		if f.client != "" {
			c.client[f.client] = string(content)
		}
	}
	return c, nil
}

// digest tells one configuration of the server from another.
func (n *NBD) digest(c certificates) string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode([]any{n.Socket, n.Listen, c.server})
	return hex.EncodeToString(h.Sum(nil))
}

// remote tells whether the host of a connector reaches the volumes by NBD.
func (d *Driver) remote(host string) bool {
	return d.nbd != nil && host != "" && host != d.cfg.Host
}

// exportName is what an attachment's export is called.
func exportName(volumeID, attachmentID string) string { return volumeID + "/" + attachmentID }

// served returns the connection to an attachment's export.
func (d *Driver) served(volumeID, attachmentID string) (driver.Connection, error) {
	n := d.cfg.NBD
	c := driver.Connection{Type: "nbd", Options: map[string]string{"export": exportName(volumeID, attachmentID)}}
	if n.Socket != "" {
		c.Options["socket"] = n.Socket
		return c, nil
	}
	host, port, err := net.SplitHostPort(n.Address)
	if err != nil {
		return c, err
	}
	c.Options["host"], c.Options["port"], c.Options["tls"] = host, port, "yes"
	certs, err := n.certificates()
	c.Secrets = certs.client
	return c, err
}

// openNBD takes over a daemon that serves already, and has it serve what is
// recorded, or starts one if there is something to serve.
func (d *Driver) openNBD() error {
	if err := d.cfg.NBD.check(); err != nil {
		return err
	}
	if d.cfg.Host == "" {
		return nephos.Errorf(nephos.ErrInvalid, "NBD: Host must say which host the directory is on").WithField("host")
	}
	if err := durable.MkdirAll(d.dir("nbd"), 0o711); err != nil {
		return err
	}
	d.nbd = newDaemon(d)
	ctx, cancel := context.WithTimeout(context.Background(), daemonTime)
	defer cancel()
	if err := d.nbd.open(ctx); err != nil {
		return errors.Join(fmt.Errorf("serving volumes by NBD: %w", err), d.nbd.close())
	}
	return nil
}

// exports returns what should be served: the attachments that are recorded.
func (d *Driver) exports() ([]export, error) {
	volumes, err := os.ReadDir(d.dir("attachments"))
	if err != nil {
		return nil, err
	}
	var out []export
	for _, v := range volumes {
		ids, err := d.attachmentIDs(v.Name())
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			content, err := os.ReadFile(d.dir("attachments", v.Name(), id+".json"))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			a, err := parseAttachment(content)
			if err != nil || !a.NBD {
				continue
			}
			k, err := d.find(v.Name())
			if errors.Is(err, nephos.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, export{volumeID: v.Name(), attachmentID: id, disk: k, readOnly: a.ReadOnly})
		}
	}
	return out, nil
}
