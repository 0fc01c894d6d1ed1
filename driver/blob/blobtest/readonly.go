package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/drivertest"
)

// readOnlyTests are for drivers that only read: Options.Fill puts what they find.
var readOnlyTests = []test{
	{"RoundTrip", testFilled, ""},
	{"Range", testRange, ""},
	{"NotFound", testReadNotFound, ""},
	{"Identifiers", testReadIdentifiers, ""},
	{"Refuses", testRefuses, ""},
	{"Cancelled", testReadCancelled, ""},
	{"Concurrent", testReadConcurrent, ""},
	{"Reopen", testReadReopen, ""},
	{"Abilities", testAbilities, ""},
	{"Locator", testLocator, blob.AbilityLocator},
}

func testFilled(t drivertest.T, e *env) {
	for _, n := range []int{0, 1, 4096, 1<<20 + 1} {
		id := fmt.Sprintf("o-%d", n)
		e.put(t, id, bytesOf(uint64(n), n))
		e.requireContent(t, id, bytesOf(uint64(n), n))
	}
}

func testReadNotFound(t drivertest.T, e *env) {
	_, err := e.Stat(t.Context(), "none")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	for _, r := range []struct{ off, n int64 }{{0, -1}, {0, 0}, {5, 5}, {-1, -1}} {
		_, err = e.Get(t.Context(), "none", r.off, r.n)
		require.ErrorIs(t, err, nephos.ErrNotFound, "%d bytes from %d", r.n, r.off)
	}
}

func testReadIdentifiers(t drivertest.T, e *env) {
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/etc/passwd", "a\x00b", ".hidden", "-f", "a b", "é"} {
		_, err := e.Driver().Get(t.Context(), id, 0, -1)
		require.ErrorIs(t, err, nephos.ErrInvalid, "%q", id)
		_, err = e.Driver().Stat(t.Context(), id)
		require.ErrorIs(t, err, nephos.ErrInvalid, "%q", id)
	}
	for i, id := range []string{"a", "A.B_c-d", "9", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x.tmp"} {
		e.put(t, id, bytesOf(uint64(i), i))
		e.requireContent(t, id, bytesOf(uint64(i), i))
	}
}

// testRefuses has the writing methods say that they are none of the driver's.
func testRefuses(t drivertest.T, e *env) {
	content := bytesOf(1, 100)
	e.put(t, "o", content)
	for _, id := range []string{"o", "new"} {
		_, err := e.Put(t.Context(), id, bytes.NewReader(content[1:]), -1)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorIs(t, e.Delete(t.Context(), id), errors.ErrUnsupported)
		require.ErrorIs(t, e.Copy(t.Context(), "new", id), errors.ErrUnsupported)
	}
	e.requireContent(t, "o", content)
	if err := e.List(t.Context(), func(blob.Object) bool { return true }); err != nil {
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
}

func testReadCancelled(t drivertest.T, e *env) {
	content := bytesOf(1, 8<<20)
	e.put(t, "o", content)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := e.Get(ctx, "o", 0, -1)
	require.NoError(t, err)
	_, err = io.ReadFull(r, make([]byte, 10))
	require.NoError(t, err)
	cancel()
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Close())
	_, err = e.Stat(ctx, "o")
	require.ErrorIs(t, err, context.Canceled)
	_, err = e.Get(ctx, "o", 0, -1)
	require.ErrorIs(t, err, context.Canceled)

	r, err = e.Get(t.Context(), "o", 0, -1)
	require.NoError(t, err)
	require.NoError(t, r.Close(), "closed early")
	e.requireContent(t, "o", content)
}

func testReadConcurrent(t drivertest.T, e *env) {
	content := bytesOf(1, 100_000)
	e.put(t, "o", content)
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for i := range int64(16) {
		wg.Go(func() {
			r, err := e.Get(t.Context(), "o", i*1000, -1)
			if err != nil {
				errs <- err
				return
			}
			defer r.Close()
			got, err := io.ReadAll(r)
			if err == nil && !bytes.Equal(got, content[i*1000:]) {
				err = fmt.Errorf("from %d: other bytes", i*1000)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

func testReadReopen(t drivertest.T, e *env) {
	content := bytesOf(1, 1<<20+1)
	e.put(t, "o", content)
	e.reopen(t)
	e.requireContent(t, "o", content)
}
