package image

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// SignedRequest is what came with a request to a signed URL.
type SignedRequest struct {
	ImageID   string
	Expires   string // seconds since 1970
	Signature string // hex
}

// Signed is what the doors for hosts need. The signature is the authority: no
// Caller is asked for. One that is wrong or has run out is ErrForbidden.
type Signed interface {
	// DownloadSigned is [Data].Download for the holder of a [Service.SignedURL].
	DownloadSigned(ctx context.Context, r SignedRequest, pick Pick) (Image, io.ReadCloser, error)
	// UploadSigned is [Data].Upload for the holder of a [Service.SignedUploadURL].
	UploadSigned(ctx context.Context, r SignedRequest, body io.Reader, size int64) error
}

// SignedURL returns a URL from which whoever holds it can GET the image's bytes
// for as long as ttl. The caller must be allowed to download the image.
func (s *Service) SignedURL(ctx context.Context, id string, ttl time.Duration) (string, error) {
	return s.sign(ctx, "download_image", http.MethodGet, id, ttl)
}

// SignedUploadURL returns a URL to which whoever holds it can PUT the image's
// bytes for as long as ttl: begin to, an upload that runs is not cut off.
func (s *Service) SignedUploadURL(ctx context.Context, id string, ttl time.Duration) (string, error) {
	return s.sign(ctx, "upload_image", http.MethodPut, id, ttl)
}

func (s *Service) sign(ctx context.Context, rule, method, id string, ttl time.Duration) (string, error) {
	img, _, err := s.load(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return "", s.unlessUnknown(ctx, err)
	}
	if err := s.enforceOn(ctx, rule, img); err != nil {
		return "", err
	}
	base := s.cfg.InternalURL
	if s.cfg.InternalURLFunc != nil {
		base = s.cfg.InternalURLFunc()
	}
	expires := strconv.FormatInt(s.cfg.Clock.Now().Add(ttl).Unix(), 10)
	mac, err := s.mac(ctx, method, img.ID, expires)
	if err != nil {
		return "", err
	}
	q := url.Values{"expires": {expires}, "signature": {hex.EncodeToString(mac)}}
	return strings.TrimRight(base, "/") + "/signed/" + img.ID + "?" + q.Encode(), nil
}

func (s *Service) mac(ctx context.Context, method, id, expires string) ([]byte, error) {
	key, err := s.signingKey(ctx)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, key)
	_, _ = io.WriteString(h, method+"\n"+id+"\n"+expires)
	return h.Sum(nil), nil
}

// signingKey returns the service's secret, which is made when first needed and
// kept in the database, so that every process accepts what any signed.
func (s *Service) signingKey(ctx context.Context) ([]byte, error) {
	if key := s.secret.Load(); key != nil {
		return *key, nil
	}
	fresh := make([]byte, 32)
	if _, err := io.ReadFull(s.random(), fresh); err != nil {
		return nil, fmt.Errorf("making the signing key: %w", err)
	}
	var kept []string
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.NewRaw("INSERT INTO image_secrets (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
			"signing", hex.EncodeToString(fresh)).Exec(ctx)
		if err != nil {
			return err
		}
		kept = nil
		return tx.NewRaw("SELECT value FROM image_secrets WHERE name = ?", "signing").Scan(ctx, &kept)
	})
	if err == nil && len(kept) != 1 {
		err = fmt.Errorf("found %d keys", len(kept))
	}
	var key []byte
	if err == nil {
		key, err = hex.DecodeString(kept[0])
	}
	if err != nil {
		return nil, fmt.Errorf("loading the signing key: %w", err)
	}
	s.secret.Store(&key)
	return key, nil
}

// verify checks a signature, and returns a context in which this service acts.
func (s *Service) verify(ctx context.Context, method string, r SignedRequest) (context.Context, error) {
	refused := nephos.Errorf(nephos.ErrForbidden, "The signature is not valid, or has expired.")
	want, err := s.mac(ctx, method, r.ImageID, r.Expires)
	if err != nil {
		return nil, err
	}
	got, err := hex.DecodeString(r.Signature)
	if err != nil || !hmac.Equal(got, want) {
		return nil, refused
	}
	until, err := strconv.ParseInt(r.Expires, 10, 64)
	if err != nil || s.cfg.Clock.Now().Unix() >= until {
		return nil, refused
	}
	ctx = nephos.WithCaller(ctx, nephos.Service("image", nephos.Caller{}))
	return ctx, s.enforce(ctx, ruleService, policy.Target{})
}

// DownloadSigned implements [Signed].
func (s *Service) DownloadSigned(ctx context.Context, r SignedRequest, pick Pick) (Image, io.ReadCloser, error) {
	ctx, err := s.verify(ctx, http.MethodGet, r)
	if err != nil {
		return Image{}, nil, err
	}
	return s.Download(ctx, r.ImageID, pick)
}

// UploadSigned implements [Signed].
func (s *Service) UploadSigned(ctx context.Context, r SignedRequest, body io.Reader, size int64) error {
	ctx, err := s.verify(ctx, http.MethodPut, r)
	if err != nil {
		return err
	}
	return s.Upload(ctx, r.ImageID, body, size)
}
