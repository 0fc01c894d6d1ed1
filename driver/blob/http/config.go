package http

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
)

// Config configures a [Driver].
type Config struct {
	// Base is the URL that IDs are put after, http or https, ending with a
	// slash. It may be empty if AnyURL is set.
	Base string
	// AnyURL lets IDs made by [ID] stand for URLs elsewhere.
	AnyURL bool
	// Allow names address ranges that may be reached although they are not
	// public, such as 10.1.0.0/16, or 127.0.0.1/32 in a test.
	Allow []netip.Prefix
	// MaxSize bounds the size of an object in bytes; 0 is 1 TiB. A larger one
	// gives ErrTooLarge.
	MaxSize int64
	// MaxRedirects bounds how often a server may send us on; 0 is 5, negative
	// never.
	MaxRedirects int
	// Authorization is the value of that header in requests to Base's host, and
	// no other.
	Authorization string
	// TLS says whom to trust and what to show; nil trusts the system's roots.
	TLS *tls.Config
	// Timeout bounds connecting and waiting for an answer's header, not the
	// body; 0 is 30 seconds.
	Timeout time.Duration
	// Clock dates objects whose server does not; nil is the wall clock.
	Clock nephos.Clock
}

// New returns a driver. It connects to nobody before it is asked for an object.
func New(cfg Config) (*Driver, error) {
	d := &Driver{cfg: cfg}
	switch {
	case cfg.Base == "" && !cfg.AnyURL:
		return nil, nephos.Errorf(nephos.ErrInvalid, "HTTP store: neither Base nor AnyURL is configured: there is nothing to read").WithField("base")
	case cfg.MaxSize < 0 || cfg.Timeout < 0:
		return nil, nephos.Errorf(nephos.ErrInvalid, "HTTP store: limits cannot be negative").WithField("max_size")
	}
	if cfg.Base != "" {
		u, err := checkURL(cfg.Base)
		if err == nil && (!strings.HasSuffix(u.Path, "/") || u.RawQuery != "" || u.Fragment != "") {
			err = nephos.Errorf(nephos.ErrInvalid, "%s does not end with a slash", u)
		}
		if err != nil {
			return nil, nephos.Errorf(nephos.ErrInvalid, "HTTP store: base URL: %w", err).WithField("base")
		}
		d.base = u
	}
	if d.cfg.MaxSize == 0 {
		d.cfg.MaxSize = 1 << 40
	}
	if d.cfg.MaxRedirects == 0 {
		d.cfg.MaxRedirects = 5
	}
	if d.cfg.Timeout == 0 {
		d.cfg.Timeout = 30 * time.Second
	}
	if d.cfg.Clock == nil {
		d.cfg.Clock = nephos.WallClock{}
	}
	d.transport = &http.Transport{
		DialContext:            d.dial,
		TLSHandshakeTimeout:    d.cfg.Timeout,
		ResponseHeaderTimeout:  d.cfg.Timeout,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
	if cfg.TLS != nil {
		d.transport.TLSClientConfig = cfg.TLS.Clone()
	}
	d.client = &http.Client{Transport: d.transport, CheckRedirect: d.redirect}
	return d, nil
}

// checkURL refuses what we would never ask for.
func checkURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, nephos.Errorf(nephos.ErrInvalid, "not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, nephos.Errorf(nephos.ErrInvalid, "scheme %q is neither http nor https", u.Scheme)
	case u.Hostname() == "" || u.Opaque != "":
		return nil, nephos.Errorf(nephos.ErrInvalid, "no host in the URL")
	case u.User != nil:
		return nil, nephos.Errorf(nephos.ErrInvalid, "a URL must not carry a name and password")
	}
	return u, nil
}
