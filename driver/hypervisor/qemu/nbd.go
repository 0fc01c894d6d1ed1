package qemu

import (
	"cmp"
	"fmt"
	"path/filepath"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// nbdReconnect is for how many seconds a guest's requests wait for a server that
// went away, before they fail.
const nbdReconnect = 60

// nbdRemote describes a network block device. The options are host and port, or
// socket, a path; export, its name; tls, yes or no, and tls_hostname, the name in
// the server's certificate if it is not host. The secrets tls_ca, tls_cert and
// tls_key are PEM: whom to trust, and what to show.
func nbdRemote(d driver.Disk) (*remote, error) {
	o := d.Source.Options
	bad := func(format string, args ...any) (*remote, error) {
		return nil, fmt.Errorf("nbd connection: %s: %w", fmt.Sprintf(format, args...), nephos.ErrInvalid)
	}
	if err := knownOptions(o, "host", "port", "socket", "export", "tls", "tls_hostname"); err != nil {
		return nil, err
	}
	node := map[string]any{"driver": "nbd", "reconnect-delay": nbdReconnect}
	switch {
	case o["socket"] != "" && !filepath.IsAbs(o["socket"]):
		return bad("option socket %q is not absolute", o["socket"])
	case o["socket"] != "":
		node["server"] = map[string]any{"type": "unix", "path": o["socket"]}
	case o["host"] != "":
		node["server"] = map[string]any{"type": "inet", "host": o["host"], "port": cmp.Or(o["port"], "10809")}
	default:
		return bad("it needs option host or socket")
	}
	if o["export"] != "" {
		node["export"] = o["export"]
	}
	r := &remote{node: node}
	if t := o["tls"]; t == "" || t == "no" {
		return r, nil
	} else if t != "yes" {
		return bad("option tls is %q, not yes or no", t)
	}
	s := d.Source.Secrets
	for _, name := range []string{"tls_ca", "tls_cert", "tls_key"} {
		if s[name] == "" {
			return bad("it needs secret %s", name)
		}
	}
	r.certificates = map[string]string{"ca-cert.pem": s["tls_ca"], "client-cert.pem": s["tls_cert"], "client-key.pem": s["tls_key"]}
	node["tls-creds"] = certsName(d.ID)
	if o["tls_hostname"] != "" {
		node["tls-hostname"] = o["tls_hostname"]
	}
	return r, nil
}
