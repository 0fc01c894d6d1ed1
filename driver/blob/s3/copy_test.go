package s3_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCopyOfALargeObject: what one request may not copy is copied in parts, by the
// service too. The object is pretended: it has 12 GiB.
func TestCopyOfALargeObject(t *testing.T) {
	s := serve(t)
	d := open(t, s.config(""))
	_, err := d.Put(t.Context(), "src", strings.NewReader("x"), 1)
	require.NoError(t, err)
	const size = 12 << 30
	var mu sync.Mutex
	ranges := []string{}
	done := false
	s.before = func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		mu.Lock()
		defer mu.Unlock()
		q := r.URL.Query()
		switch {
		case r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "/src"):
			w.Header().Set("Content-Length", fmt.Sprint(size))
			w.Header().Set("Last-Modified", "Sun, 22 Nov 2026 03:00:00 GMT")
			w.Header().Set("ETag", `"etag"`)
		case r.Method == http.MethodPut && q.Has("partNumber"):
			ranges = append(ranges, r.Header.Get("X-Amz-Copy-Source-Range"))
			fmt.Fprint(w, `<CopyPartResult><ETag>"part"</ETag><LastModified>2026-11-22T03:00:00Z</LastModified></CopyPartResult>`)
		case r.Method == http.MethodPost && q.Has("uploadId"):
			_, _ = io.Copy(io.Discard, r.Body)
			done = true
			fmt.Fprint(w, `<CompleteMultipartUploadResult><Bucket>images</Bucket><Key>dst</Key><ETag>"whole"</ETag></CompleteMultipartUploadResult>`)
		default:
			return false
		}
		return true
	}
	require.NoError(t, d.Copy(t.Context(), "dst", "src"))
	require.True(t, done)
	var total int64
	for _, r := range ranges {
		var first, last int64
		_, err := fmt.Sscanf(r, "bytes=%d-%d", &first, &last)
		require.NoError(t, err, r)
		total += last - first + 1
	}
	require.EqualValues(t, size, total)
	require.GreaterOrEqual(t, len(ranges), 3)
}
