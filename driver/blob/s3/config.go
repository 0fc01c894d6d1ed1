package s3

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/nephos-cloud/nephos"
)

// Config configures a [Driver].
type Config struct {
	// Endpoint is the service's URL, such as https://s3.eu-west-1.amazonaws.com
	// or http://127.0.0.1:9000: scheme, host and port only. Bodies travel in
	// clear with http.
	Endpoint string
	// Bucket must exist unless CreateBucket is set.
	Bucket string
	// Prefix is put before each ID to make its key. Two drivers share a bucket if
	// neither's prefix begins the other's; end it with a slash.
	Prefix string
	// Region is the bucket's; empty asks the service.
	Region string
	// AccessKey and SecretKey sign the requests; both empty sends them unsigned.
	AccessKey, SecretKey string
	// SessionToken goes with temporary keys.
	SessionToken string
	// PathStyle names the bucket in the path, never in the host name. Services
	// other than Amazon's and a few known ones get that without being asked.
	PathStyle bool
	// TLS says whom to trust and what to show; nil trusts the system's roots.
	TLS *tls.Config
	// CreateBucket makes the bucket if it is not there.
	CreateBucket bool
	// PartSize is how much of a body is sent in one request: at least 5 MiB; 0 is
	// 16 MiB. A body may have 10,000 parts; where its length is known beforehand
	// parts are larger if need be.
	PartSize int64
	// Parallel is how many parts of one body are on their way at a time, each in
	// memory; 0 is 3.
	Parallel int
	// Attempts is how often a request is tried while the service is out of reach
	// or answers that it is busy; 0 is 5.
	Attempts int
	// Abandoned is the age from which an upload that nobody finished is taken
	// back by Open; 0 is a week, negative never.
	Abandoned time.Duration
	// Clock tells ages; nil is the wall clock.
	Clock nephos.Clock
	// IDs mark uploads; the zero value is random.
	IDs nephos.IDs
	// Log hears what Open took back; nil is silence.
	Log *slog.Logger
}

const (
	minPartSize = 5 << 20
	maxPartSize = 5 << 30
	maxParts    = 10_000
	maxCopySize = 5 << 30 // of one request
)

// check fills in the defaults, and refuses what can never work.
func (c *Config) check() (*url.URL, error) {
	u, err := url.Parse(c.Endpoint)
	switch {
	case c.Endpoint == "":
		return nil, nephos.Errorf(nephos.ErrInvalid, "no endpoint is configured, such as https://s3.example.org").WithField("endpoint")
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, nephos.Errorf(nephos.ErrInvalid, "endpoint %q is not a URL of scheme, host and port only", redacted(u, c.Endpoint)).WithField("endpoint")
	case c.Bucket == "":
		return nil, nephos.Errorf(nephos.ErrInvalid, "no bucket is configured").WithField("bucket")
	case s3utils.CheckValidBucketName(c.Bucket) != nil:
		return nil, nephos.Errorf(nephos.ErrInvalid, "bucket %q is no name of a bucket: %w", c.Bucket, s3utils.CheckValidBucketName(c.Bucket)).WithField("bucket")
	case (c.AccessKey == "") != (c.SecretKey == ""):
		return nil, nephos.Errorf(nephos.ErrInvalid, "access key and secret key go together").WithField("access_key")
	case c.PartSize != 0 && (c.PartSize < minPartSize || c.PartSize > maxPartSize):
		return nil, nephos.Errorf(nephos.ErrInvalid, "part size of %d bytes is not between %d and %d", c.PartSize, minPartSize, int64(maxPartSize)).WithField("part_size")
	case c.Parallel < 0 || c.Attempts < 0:
		return nil, nephos.Errorf(nephos.ErrInvalid, "parallel and attempts cannot be negative").WithField("parallel")
	case strings.HasPrefix(c.Prefix, "/") || strings.Contains(c.Prefix, "//") || strings.Contains("/"+c.Prefix, "/../") || strings.Contains("/"+c.Prefix, "/./"):
		return nil, nephos.Errorf(nephos.ErrInvalid, "prefix %q is not a plain path", c.Prefix).WithField("prefix")
	}
	if c.PartSize == 0 {
		c.PartSize = 16 << 20
	}
	if c.Parallel == 0 {
		c.Parallel = 3
	}
	if c.Attempts == 0 {
		c.Attempts = 5
	}
	if c.Abandoned == 0 {
		c.Abandoned = 7 * 24 * time.Hour
	}
	if c.Clock == nil {
		c.Clock = nephos.WallClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return u, nil
}

// redacted keeps a password that somebody put into the URL out of the error.
func redacted(u *url.URL, raw string) string {
	if u == nil || u.User == nil {
		return raw
	}
	return u.Redacted()
}

// client returns the SDK's client and the transport to close in the end.
func (c *Config) client(u *url.URL) (*minio.Core, *http.Transport, error) {
	tr, err := minio.DefaultTransport(u.Scheme == "https")
	if err != nil {
		return nil, nil, fmt.Errorf("preparing TLS: %w", err)
	}
	if c.TLS != nil {
		tr.TLSClientConfig = c.TLS.Clone()
	}
	creds := credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken)
	if c.AccessKey == "" {
		creds = credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
	}
	lookup := minio.BucketLookupAuto
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds: creds, Secure: u.Scheme == "https", Transport: tr, Region: c.Region, BucketLookup: lookup, MaxRetries: c.Attempts,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", nephos.ErrInvalid, err)
	}
	return core, tr, nil
}

// prepare sees to it that the bucket is there.
func (d *Driver) prepare(ctx context.Context) error {
	ok, err := d.core.BucketExists(ctx, d.cfg.Bucket)
	if err != nil {
		return meaning(err, "")
	}
	if ok {
		return nil
	}
	if !d.cfg.CreateBucket {
		return nephos.Errorf(nephos.ErrInvalid, "bucket %s does not exist: make it, or set CreateBucket", d.cfg.Bucket).WithField("bucket")
	}
	err = d.core.MakeBucket(ctx, d.cfg.Bucket, minio.MakeBucketOptions{Region: d.cfg.Region})
	if code := response(err).Code; code == "BucketAlreadyOwnedByYou" {
		return nil // somebody was faster
	}
	if err != nil {
		return fmt.Errorf("making bucket %s: %w", d.cfg.Bucket, meaning(err, ""))
	}
	return nil
}
