package http

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
)

// urlPrefix begins the IDs that stand for URLs.
const urlPrefix = "url."

// ID returns the ID that stands for a URL in a driver with Config.AnyURL. A URL
// has at most 147 bytes, so that its ID is not too long.
func ID(rawURL string) (string, error) {
	if _, err := checkURL(rawURL); err != nil {
		return "", err
	}
	id := urlPrefix + base64.RawURLEncoding.EncodeToString([]byte(rawURL))
	if err := blob.CheckID(id); err != nil {
		return "", nephos.Errorf(nephos.ErrInvalid, "URL of %d bytes is too long for an ID", len(rawURL))
	}
	return id, nil
}

// target returns where an object is.
func (d *Driver) target(id string) (*url.URL, error) {
	if err := blob.CheckID(id); err != nil {
		return nil, err
	}
	if code, ok := strings.CutPrefix(id, urlPrefix); ok && d.cfg.AnyURL {
		raw, err := base64.RawURLEncoding.DecodeString(code)
		if err != nil {
			return nil, nephos.Errorf(nephos.ErrInvalid, "object ID %q stands for no URL", id)
		}
		u, err := checkURL(string(raw))
		if err != nil {
			return nil, nephos.Errorf(nephos.ErrInvalid, "object ID %q: %w", id, err)
		}
		return u, nil
	}
	if d.base == nil {
		return nil, nephos.NotFound("Object", id)
	}
	return d.base.JoinPath(id), nil
}

// redirect decides whether to go where a server sends us. The address is looked
// at by dial, as any other.
func (d *Driver) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > d.cfg.MaxRedirects {
		return nephos.Errorf(nephos.ErrInvalid, "the server redirects more than %d times", max(d.cfg.MaxRedirects, 0))
	}
	if _, err := checkURL(req.URL.String()); err != nil {
		return nephos.Errorf(nephos.ErrInvalid, "the server redirects to what we do not follow: %w", err)
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return nephos.Errorf(nephos.ErrInvalid, "the server redirects from https to http")
	}
	d.authorize(req)
	return nil
}

// authorize sets or removes what only Base's host may see.
func (d *Driver) authorize(req *http.Request) {
	req.Header.Del("Authorization")
	req.Header.Del("Referer")
	if d.cfg.Authorization != "" && d.base != nil && req.URL.Scheme == d.base.Scheme && req.URL.Host == d.base.Host {
		req.Header.Set("Authorization", d.cfg.Authorization)
	}
}

// errTarget says that an address is none that we connect to.
var errTarget = errors.New("not a public address; the configuration may allow it")

// dial connects. Each address that the name resolves to is looked at when it is
// about to be used, so that nothing can change in between.
func (d *Driver) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{
		Timeout: d.cfg.Timeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("%q: %w", address, errTarget)
			}
			if !d.allowed(ap.Addr()) {
				return fmt.Errorf("%s: %w", ap.Addr(), errTarget)
			}
			return nil
		},
	}
	return dialer.DialContext(ctx, network, address)
}

func (d *Driver) allowed(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	for _, p := range d.cfg.Allow {
		if p.Contains(a) {
			return true
		}
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false // unspecified, loopback, link-local, multicast, broadcast, private
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// special are ranges of the registries of special-purpose addresses (RFC 6890)
// that lead to no public host, or hide another address in themselves.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), // documentation
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),        // IPv4-compatible
	netip.MustParsePrefix("64:ff9b::/96"), // NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), // Teredo among them
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4
	netip.MustParsePrefix("fec0::/10"),
}
