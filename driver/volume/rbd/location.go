package rbd

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// location is where an image of the cluster is.
type location struct{ fsid, pool, namespace, image, snapshot string }

func (l location) String() string {
	return "rbd://" + l.fsid + "/" + l.pool + "/" + l.namespace + "/" + l.image + "/" + l.snapshot
}

func parseLocation(s string) (location, error) {
	none := func() (location, error) {
		return location{}, fmt.Errorf("cloning an image: %q is no place in a Ceph cluster: %w", s, errors.ErrUnsupported)
	}
	rest, ok := strings.CutPrefix(s, "rbd://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 4 || len(parts) > 5 {
		return none()
	}
	for i, p := range parts {
		q, err := url.PathUnescape(p)
		if err != nil || q == "" || strings.ContainsAny(q, "/@\x00") {
			return none()
		}
		parts[i] = q
	}
	l := location{fsid: parts[0], pool: parts[1], image: parts[len(parts)-2], snapshot: parts[len(parts)-1]}
	if len(parts) == 5 {
		l.namespace = parts[2]
	}
	return l, nil
}
