package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"

	"github.com/nephos-cloud/nephos"
)

// response returns what the service answered, or nothing.
func response(err error) minio.ErrorResponse {
	var r minio.ErrorResponse
	errors.As(err, &r)
	return r
}

// meaning gives an error of the service or of the way to it its meaning.
func meaning(err error, id string) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	r := response(err)
	switch r.Code {
	case "NoSuchKey", "NoSuchVersion":
		return nephos.NotFound("Object", id)
	case "NoSuchBucket":
		return fmt.Errorf("the bucket is gone: %w: %w", nephos.ErrUnavailable, err)
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidTokenId":
		return fmt.Errorf("the service refused the configured keys (%s); check them and the rights they have: %w", r.Code, err)
	case "RequestTimeTooSkewed":
		return fmt.Errorf("this host's clock differs from the service's; set it right: %w: %w", nephos.ErrUnavailable, err)
	case "EntityTooLarge":
		return fmt.Errorf("%w: %w", nephos.ErrTooLarge, err)
	case "XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded":
		return fmt.Errorf("%w: %w", nephos.ErrNoCapacity, err)
	}
	switch {
	case r.StatusCode == http.StatusInsufficientStorage:
		return fmt.Errorf("%w: %w", nephos.ErrNoCapacity, err)
	case r.StatusCode >= 500, r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("the service answered %d (%s): %w: %w", r.StatusCode, r.Code, nephos.ErrUnavailable, err)
	case r.StatusCode == 0 && wayBroken(err):
		return fmt.Errorf("the service is out of reach: %w: %w", nephos.ErrUnavailable, err)
	}
	return err
}

func wayBroken(err error) bool {
	var (
		u *url.Error
		n net.Error
	)
	return errors.As(err, &u) || errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
