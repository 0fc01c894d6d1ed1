package qemu

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// rbdRemote describes an image of Ceph's block device. The options are pool,
// namespace, image, user, and hosts ("a:6789,[::1]:6789") or config, the path of
// a ceph.conf; the secret key is the user's, as Ceph prints it. QEMU needs its
// block driver rbd, which Debian has in qemu-block-extra.
func rbdRemote(d driver.Disk) (*remote, error) {
	o := d.Source.Options
	bad := func(format string, args ...any) (*remote, error) {
		return nil, fmt.Errorf("rbd connection: %s: %w", fmt.Sprintf(format, args...), nephos.ErrInvalid)
	}
	if err := knownOptions(o, "pool", "namespace", "image", "user", "hosts", "config"); err != nil {
		return nil, err
	}
	node := map[string]any{"driver": "rbd", "pool": o["pool"], "image": o["image"]}
	for _, name := range []string{"pool", "image"} {
		if o[name] == "" {
			return bad("it needs option %s", name)
		}
	}
	if o["namespace"] != "" {
		node["namespace"] = o["namespace"]
	}
	if o["user"] != "" {
		node["user"] = o["user"]
	}
	servers := []map[string]any{}
	for _, host := range strings.FieldsFunc(o["hosts"], func(r rune) bool { return r == ',' || r == ' ' }) {
		name, port, err := net.SplitHostPort(host)
		if err != nil {
			name, port = strings.Trim(host, "[]"), ""
		}
		if name == "" || strings.ContainsAny(name, "/;@[]") {
			return bad("option hosts has %q", host)
		}
		servers = append(servers, map[string]any{"host": name, "port": cmp.Or(port, "6789")})
	}
	if len(servers) > 0 {
		node["server"] = servers
	}
	if o["config"] != "" {
		if !filepath.IsAbs(o["config"]) {
			return bad("option config %q is not absolute", o["config"])
		}
		node["conf"] = o["config"]
	}
	if len(servers) == 0 && o["config"] == "" {
		return bad("it needs option hosts or config")
	}
	r := &remote{node: node, secret: d.Source.Secrets["key"]}
	if r.secret != "" {
		if _, err := base64.StdEncoding.DecodeString(r.secret); err != nil {
			return bad("secret key is not base64")
		}
		node["key-secret"] = secretName(d.ID)
		node["auth-client-required"] = []string{"cephx"}
	}
	return r, nil
}
