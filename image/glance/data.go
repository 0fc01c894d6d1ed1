package glance

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/image"
)

func (a *api) dataRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "PUT /v2/images/{id}/file", Rules: []string{"upload_image"}, Stream: true, Handler: a.upload},
		{Pattern: "GET /v2/images/{id}/file", Rules: []string{"download_image"}, Handler: a.download},
	}
}

func (a *api) upload(r *httpapi.Request) (*httpapi.Response, error) {
	if err := checkOctets(r); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	if err := a.Data.UploadTo(r.Context(), id, a.storeFor(r), r.Body, r.ContentLength); err != nil {
		return nil, refused(uploadError(err), "Not allowed to upload image data for image "+clip(id))
	}
	return httpapi.NoContent(), nil
}

// checkOctets refuses a body that is not told to be bytes.
func checkOctets(r *httpapi.Request) error {
	ct := r.Header.Get("Content-Type")
	media, _, _ := mime.ParseMediaType(ct)
	if media == "application/octet-stream" {
		return nil
	}
	message := ""
	if media != "" {
		message = "The request media type " + clip(media) + " is not supported by this server."
	}
	return httpapi.WithStatus(http.StatusUnsupportedMediaType, &nephos.Error{Kind: nephos.ErrInvalid, Field: "Content-Type", Message: message})
}

// uploadError gives content that is not what it was declared to be the status
// of a media type that is not taken.
func uploadError(err error) error {
	if image.RejectedContent(err) {
		return httpapi.WithStatus(http.StatusUnsupportedMediaType, err)
	}
	return err
}

func (a *api) download(r *httpapi.Request) (*httpapi.Response, error) {
	want := span{}
	img, body, err := a.Data.Download(r.Context(), r.PathValue("id"), want.from(r.Header))
	return bytesOf(img, body, want, err)
}

// bytesOf answers with an image's bytes.
func bytesOf(img image.Image, body io.ReadCloser, got span, err error) (*httpapi.Response, error) {
	if err != nil {
		return nil, err
	}
	if body == nil {
		return httpapi.NoContent(), nil
	}
	size := int64(0)
	if img.Size != nil {
		size = *img.Size
	}
	length := size
	resp := httpapi.Bytes("application/octet-stream", length, body)
	if got.partial {
		length = got.length
		resp.Status, resp.Length = http.StatusPartialContent, length
		resp.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", got.offset, got.offset+length-1, size))
	}
	resp.Set("Content-Length", strconv.FormatInt(length, 10))
	if img.Checksum != "" {
		resp.Set("Content-Md5", img.Checksum)
	}
	return resp, nil
}

// span is the part of an image that a request asks for.
type span struct {
	partial        bool
	offset, length int64
}

// from returns what picks the part that the headers ask for, and notes it. For
// old clients' sake a Content-Range in a request counts as a Range.
func (s *span) from(h http.Header) image.Pick {
	return func(size int64) (int64, int64, error) {
		var err error
		switch {
		case h.Get("Range") != "":
			s.offset, s.length, err = parseRange(h.Get("Range"), size)
		case h.Get("Content-Range") != "":
			s.offset, s.length, err = parseContentRange(h.Get("Content-Range"), size)
		default:
			return 0, -1, nil
		}
		s.partial = err == nil
		return s.offset, s.length, err
	}
}

func unsatisfiable(format string, args ...any) error {
	return nephos.Errorf(nephos.ErrRange, format, args...).WithField("Range")
}

// parseRange reads bytes=first-last, bytes=first- or bytes=-count.
func parseRange(v string, size int64) (offset, length int64, err error) {
	if strings.Contains(v, ",") {
		return 0, 0, invalid("Requests with multiple ranges are not supported in Glance. You may make multiple single-range requests instead.").WithField("Range")
	}
	bad := unsatisfiable("Invalid Range header.")
	unit, set, ok := strings.Cut(v, "=")
	first, last, ok2 := strings.Cut(strings.TrimSpace(set), "-")
	if !ok || !ok2 || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || first == "" && last == "" {
		return 0, 0, bad
	}
	if first == "" {
		n, ok := number(last)
		if !ok || n == 0 || size == 0 {
			return 0, 0, bad
		}
		n = min(n, size)
		return size - n, n, nil
	}
	from, ok := number(first)
	if !ok {
		return 0, 0, bad
	}
	to := size - 1
	if last != "" {
		n, ok := number(last)
		if !ok || n < from {
			return 0, 0, bad
		}
		to = min(n, size-1)
	}
	if from >= size {
		return 0, 0, unsatisfiable("Invalid start position in Range header. Start position MUST be in the inclusive range [0, %d].", size-1)
	}
	return from, to - from + 1, nil
}

// parseContentRange reads bytes first-last/size, whose size may be a star.
func parseContentRange(v string, size int64) (offset, length int64, err error) {
	bad := unsatisfiable("Invalid Content-Range header.")
	set, ok := strings.CutPrefix(strings.TrimSpace(v), "bytes ")
	set, _, ok2 := strings.Cut(set, "/")
	first, last, ok3 := strings.Cut(strings.TrimSpace(set), "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, bad
	}
	from, ok := number(first)
	to, ok2 := number(last)
	switch {
	case !ok || !ok2 || to < from:
		return 0, 0, bad
	case from >= size:
		return 0, 0, unsatisfiable("Invalid start position in Content-Range header. Start position MUST be in the inclusive range [0, %d].", size-1)
	case to >= size:
		return 0, 0, unsatisfiable("Invalid stop position in Content-Range header. The stop position MUST be in the inclusive range [0, %d].", size-1)
	}
	return from, to - from + 1, nil
}

// number reads decimal digits and nothing else.
func number(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err == nil //nolint:gosec // 63 bits
}
