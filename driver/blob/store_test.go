package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
)

func Example() {
	ctx := context.Background()
	store, err := blob.NewStore(ctx, mem.New(mem.Config{}), blob.StoreOptions{Name: "memory"})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	n, _ := store.Put(ctx, "greeting", bytes.NewReader([]byte("hello, world")), -1)
	r, _ := store.Get(ctx, "greeting", 7, -1)
	defer r.Close()
	content, _ := io.ReadAll(r)
	fmt.Println(n, string(content), store.Can(blob.AbilityCopier))
	// Output: 12 world true
}

// narrow offers less than its methods.
type narrow struct{ *mem.Driver }

func (narrow) Abilities(context.Context) ([]string, error) { return []string{"Unknown"}, nil }

func TestStoreNarrowsAbilities(t *testing.T) {
	s, err := blob.NewStore(t.Context(), narrow{mem.New(mem.Config{})}, blob.StoreOptions{})
	require.NoError(t, err)
	require.Empty(t, s.Abilities())
	require.ErrorIs(t, s.Copy(t.Context(), "a", "b"), errors.ErrUnsupported)
}

func TestStoreRefusesTransactions(t *testing.T) {
	s, err := blob.NewStore(t.Context(), mem.New(mem.Config{}), blob.StoreOptions{})
	require.NoError(t, err)
	require.Panics(t, func() { _, _ = s.Stat(nephos.EnterTx(t.Context()), "a") })
}

// stuck never answers before its context ends.
type stuck struct{ *mem.Driver }

func (stuck) Stat(ctx context.Context, _ string) (blob.Object, error) {
	<-ctx.Done()
	return blob.Object{}, ctx.Err()
}

func TestStoreKeepsDeadline(t *testing.T) {
	var seen []string
	s, err := blob.NewStore(t.Context(), stuck{mem.New(mem.Config{})}, blob.StoreOptions{
		Timeout: time.Millisecond,
		Observe: func(op string, _ time.Duration, err error) { seen = append(seen, fmt.Sprint(op, err != nil)) },
	})
	require.NoError(t, err)
	_, err = s.Stat(t.Context(), "a")
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, []string{"Stattrue"}, seen)
}

func TestFileGoesToHTTPWhole(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f, err := os.Open(path)
		if err != nil {
			panic(err)
		}
		_, err = f.Seek(5, io.SeekStart)
		if err != nil {
			panic(err)
		}
		r := blob.NewFile(f, 500_000)
		defer r.Close()
		w.Header().Set("Content-Length", fmt.Sprint(r.Len()))
		if _, err := io.Copy(w, r); err != nil {
			panic(err)
		}
	}))
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content[5:500_005], got))
}

func TestFileThatShrank(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, make([]byte, 10), 0o600))
	for _, read := range []func(*blob.File) error{
		func(r *blob.File) error { _, err := io.ReadAll(r); return err },
		func(r *blob.File) error { _, err := io.Copy(io.Discard, r); return err },
	} {
		f, err := os.Open(path)
		require.NoError(t, err)
		r := blob.NewFile(f, 11)
		require.ErrorIs(t, read(r), io.ErrUnexpectedEOF)
		require.NoError(t, r.Close())
	}
}
