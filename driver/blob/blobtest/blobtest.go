// Package blobtest is the conformance test of blob drivers: an author calls
// [Run] from a test and is done.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/drivertest"
)

// Open returns a driver. Each subtest passes a directory of its own, empty at
// first; a driver opened again with the same directory finds what the former
// one left. Drivers that keep their state elsewhere use dir as a name. Open
// registers with t.Cleanup whatever the driver needs in the end, Close included.
type Open func(t drivertest.T, dir string) blob.Driver

// Options says more of the driver under test. The zero value works.
type Options struct {
	// Kill ends the driver as kill -9 would, after which it is opened again. Nil
	// is to leave it as it is, without Close.
	Kill func(t drivertest.T, d blob.Driver)
	// Fill is set for a driver that only reads: it puts an object where a driver
	// opened with that directory finds it. The suite then tests reading, and
	// that the methods that write give errors.ErrUnsupported.
	Fill func(t drivertest.T, dir, id string, content []byte)
}

type test struct {
	name  string
	run   func(drivertest.T, *env)
	needs string // ability
}

var readWriteTests = []test{
	{"RoundTrip", testRoundTrip, ""},
	{"Range", testRange, ""},
	{"Overwrite", testOverwrite, ""},
	{"NotFound", testNotFound, ""},
	{"Identifiers", testIdentifiers, ""},
	{"FailedBody", testFailedBody, ""},
	{"NothingPartial", testNothingPartial, ""},
	{"Cancelled", testCancelled, ""},
	{"DeleteWhileOpen", testDeleteWhileOpen, ""},
	{"List", testList, ""},
	{"Concurrent", testConcurrent, ""},
	{"Reopen", testReopen, ""},
	{"Abilities", testAbilities, ""},
	{"Copier", testCopier, blob.AbilityCopier},
	{"Locator", testLocator, blob.AbilityLocator},
	{"Multiparter", testMultiparter, blob.AbilityMultiparter},
	{"MultiparterEnds", testMultiparterEnds, blob.AbilityMultiparter},
}

type suite struct {
	open Open
	opts Options
}

// Run tests the driver in subtests of t.
func Run(t *testing.T, open Open, opts Options) { drivertest.Run(t, Tests(open, opts)) }

// Tests are what [Run] runs, for those who run them outside of go test.
func Tests(open Open, opts Options) []drivertest.Test {
	s := suite{open: open, opts: opts}
	var tests []drivertest.Test
	all := readWriteTests
	if opts.Fill != nil {
		all = readOnlyTests
	}
	for _, sub := range all {
		tests = append(tests, drivertest.Test{Name: sub.name, Run: func(t drivertest.T) {
			e := &env{suite: s, dir: filepath.Join(t.TempDir(), "state")}
			e.Store = e.start(t)
			if sub.needs != "" && !e.Can(sub.needs) {
				t.Skipf("the driver does not offer %s", sub.needs)
			}
			sub.run(t, e)
		}})
	}
	return tests
}

// env is a store and what it takes to open it again.
type env struct {
	*blob.Store
	suite
	dir string
}

func (e *env) start(t drivertest.T) *blob.Store {
	t.Helper()
	s, err := blob.NewStore(t.Context(), e.open(t, e.dir), blob.StoreOptions{})
	require.NoError(t, err)
	return s
}

func (e *env) reopen(t drivertest.T) {
	t.Helper()
	if e.opts.Kill != nil {
		e.opts.Kill(t, e.Driver())
	}
	e.Store = e.start(t)
}

func (e *env) put(t drivertest.T, id string, content []byte) {
	t.Helper()
	if e.opts.Fill != nil {
		e.opts.Fill(t, e.dir, id, content)
		return
	}
	n, err := e.Put(t.Context(), id, bytes.NewReader(content), int64(len(content)))
	require.NoError(t, err)
	require.EqualValues(t, len(content), n)
}

func (e *env) read(t drivertest.T, id string, offset, length int64) []byte {
	t.Helper()
	r, err := e.Get(t.Context(), id, offset, length)
	require.NoError(t, err)
	defer r.Close()
	return readAll(t, r, max(length, 0))
}

// readAll is io.ReadAll for who knows how much to expect.
func readAll(t drivertest.T, r io.Reader, expect int64) []byte {
	t.Helper()
	b := bytes.NewBuffer(make([]byte, 0, expect+bytes.MinRead))
	_, err := b.ReadFrom(r)
	require.NoError(t, err)
	return b.Bytes()
}

// requireContent compares without printing megabytes.
func (e *env) requireContent(t drivertest.T, id string, want []byte) {
	t.Helper()
	r, err := e.Get(t.Context(), id, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	got := readAll(t, r, int64(len(want)))
	require.Equal(t, len(want), len(got), "length of %s", id)
	require.True(t, bytes.Equal(want, got), "content of %s", id)
	o, err := e.Stat(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, id, o.ID)
	require.EqualValues(t, len(want), o.Size)
	require.False(t, o.Created.IsZero(), "Created of %s", id)
}

func (e *env) requireNone(t drivertest.T, id string) {
	t.Helper()
	_, err := e.Stat(t.Context(), id)
	require.ErrorIs(t, err, nephos.ErrNotFound)
	_, err = e.Get(t.Context(), id, 0, -1)
	require.ErrorIs(t, err, nephos.ErrNotFound)
	require.NotContains(t, e.ids(t), id)
}

func (e *env) ids(t drivertest.T) []string {
	t.Helper()
	var ids []string
	require.NoError(t, e.List(t.Context(), func(o blob.Object) bool {
		ids = append(ids, o.ID)
		return true
	}))
	return ids
}

// bytesOf returns n bytes that look random and depend on the seed.
func bytesOf(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0] = byte(seed)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

func testRoundTrip(t drivertest.T, e *env) {
	for i, n := range []int{0, 1, 4096, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 17} {
		for j, hint := range []int64{-1, int64(n), 0, int64(n) / 2, int64(n) + 100} {
			if race && n > 4096 && i%5 != j {
				continue // a hint for each
			}
			id := fmt.Sprintf("o-%d-hint-%d", n, hint)
			content := bytesOf(uint64(n), n)
			got, err := e.Put(t.Context(), id, &slowReader{r: bytes.NewReader(content)}, hint)
			require.NoError(t, err, id)
			require.EqualValues(t, n, got, id)
			e.requireContent(t, id, content)
			require.NoError(t, e.Delete(t.Context(), id))
			e.requireNone(t, id)
		}
	}
}

// slowReader gives short reads of odd lengths, as a network does.
type slowReader struct {
	r io.Reader
	n int
}

func (s *slowReader) Read(p []byte) (int, error) {
	s.n++
	return s.r.Read(p[:min(len(p), 1+s.n*7919%100_003)])
}

func testRange(t drivertest.T, e *env) {
	content := bytesOf(1, 2<<20+5)
	size := int64(len(content))
	e.put(t, "o", content)
	for _, r := range []struct{ off, n int64 }{
		{0, -1},
		{0, 0},
		{0, 1},
		{1, -1},
		{5, 100},
		{1<<20 - 3, 10},
		{size - 1, 1},
		{size - 1, -1},
		{size, 0},
		{size, -1},
		{0, size},
	} {
		want := content[r.off:]
		if r.n >= 0 {
			want = want[:r.n]
		}
		require.True(t, bytes.Equal(want, e.read(t, "o", r.off, r.n)), "%d bytes from %d", r.n, r.off)
	}
	for _, r := range []struct{ off, n int64 }{{size + 1, -1}, {size, 1}, {0, size + 1}, {-1, 5}, {1 << 62, 1 << 62}, {5, 1<<63 - 1}} {
		_, err := e.Get(t.Context(), "o", r.off, r.n)
		require.ErrorIs(t, err, nephos.ErrRange, "%d bytes from %d", r.n, r.off)
	}
	// What io.Copy does, which may take another way than Read.
	r, err := e.Get(t.Context(), "o", 7, 1<<20)
	require.NoError(t, err)
	defer r.Close()
	var buf bytes.Buffer
	_, err = io.Copy(&buf, r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content[7:7+1<<20], buf.Bytes()))
}

func testOverwrite(t drivertest.T, e *env) {
	long, short := bytesOf(1, 100_000), bytesOf(2, 10)
	e.put(t, "o", long)
	r, err := e.Get(t.Context(), "o", 0, -1)
	require.NoError(t, err)
	defer r.Close()
	e.put(t, "o", short)
	e.requireContent(t, "o", short)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(long, got), "a reader opened before sees the object as it was")
	require.Equal(t, []string{"o"}, e.ids(t))
}

func testNotFound(t drivertest.T, e *env) {
	e.requireNone(t, "none")
	require.NoError(t, e.Delete(t.Context(), "none"))
}

func testIdentifiers(t drivertest.T, e *env) {
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/etc/passwd", "a\x00b", ".hidden", "-f", "a b", "é", string(bytes.Repeat([]byte("x"), 201))} {
		_, err := e.Driver().Put(t.Context(), id, bytes.NewReader(nil), 0)
		require.ErrorIs(t, err, nephos.ErrInvalid, "%q", id)
		_, err = e.Put(t.Context(), id, bytes.NewReader(nil), 0)
		require.ErrorIs(t, err, nephos.ErrInvalid, "%q", id)
		_, err = e.Driver().Get(t.Context(), id, 0, -1)
		require.ErrorIs(t, err, nephos.ErrInvalid, "%q", id)
		_, err = e.Driver().Stat(t.Context(), id)
		require.ErrorIs(t, err, nephos.ErrInvalid, "%q", id)
		require.ErrorIs(t, e.Driver().Delete(t.Context(), id), nephos.ErrInvalid, "%q", id)
	}
	require.Empty(t, e.ids(t))
	ids := []string{"a", "A.B_c-d", "9", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x.tmp", string(bytes.Repeat([]byte("x"), 200))}
	for i, id := range ids {
		e.put(t, id, bytesOf(uint64(i), i))
	}
	require.ElementsMatch(t, ids, e.ids(t))
	for i, id := range ids {
		e.requireContent(t, id, bytesOf(uint64(i), i))
	}
}

var errBody = errors.New("the sender went away")

func testFailedBody(t drivertest.T, e *env) {
	before := bytesOf(9, 1000)
	e.put(t, "old", before)
	for i, cause := range []error{errBody, io.ErrUnexpectedEOF, io.ErrClosedPipe} {
		for _, n := range []int{0, 10, 2<<20 + 1} {
			if race && n > 10 && i > 0 {
				continue
			}
			for _, id := range []string{"new", "old"} {
				body := io.MultiReader(bytes.NewReader(bytesOf(1, n)), failing{cause})
				_, err := e.Put(t.Context(), id, body, int64(n)+5)
				require.ErrorIs(t, err, cause)
			}
			e.requireNone(t, "new")
			e.requireContent(t, "old", before)
		}
	}
	e.put(t, "new", before)
	e.requireContent(t, "new", before)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// testNothingPartial looks at the object from inside the body.
func testNothingPartial(t drivertest.T, e *env) {
	before, after := bytesOf(1, 1000), bytesOf(2, 4<<20)
	e.put(t, "old", before)
	for _, id := range []string{"new", "old"} {
		looks := 0
		body := readerFunc(func(p []byte) (int, error) {
			if looks++; id == "new" {
				e.requireNone(t, "new")
			} else {
				e.requireContent(t, "old", before)
			}
			if looks > 4 {
				return 0, io.EOF
			}
			return copy(p[:min(len(p), 1<<20)], after[(looks-1)<<20:]), nil
		})
		n, err := e.Put(t.Context(), id, body, -1)
		require.NoError(t, err)
		require.Greater(t, looks, 4)
		e.requireContent(t, id, e.read(t, id, 0, n))
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func testCancelled(t drivertest.T, e *env) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e.put(t, "o", []byte("x"))
	_, err := e.Put(ctx, "new", bytes.NewReader([]byte("x")), 1)
	require.ErrorIs(t, err, context.Canceled)
	_, err = e.Stat(ctx, "o")
	require.ErrorIs(t, err, context.Canceled)
	_, err = e.Get(ctx, "o", 0, -1)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, e.Delete(ctx, "o"), context.Canceled)
	require.ErrorIs(t, e.List(ctx, func(blob.Object) bool { return true }), context.Canceled)
	if e.Can(blob.AbilityCopier) {
		require.ErrorIs(t, e.Copy(ctx, "new", "o"), context.Canceled)
	}
	if e.Can(blob.AbilityLocator) {
		_, err = e.Location(ctx, "o")
		require.ErrorIs(t, err, context.Canceled)
	}

	// In the middle of an endless body.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	reads, over, late := 0, atomic.Bool{}, make(chan struct{}, 1)
	_, err = e.Put(ctx, "new", readerFunc(func(p []byte) (int, error) {
		if over.Load() {
			select {
			case late <- struct{}{}:
			default:
			}
			return 0, io.EOF
		}
		if reads++; reads == 3 {
			cancel()
		}
		clear(p)
		return len(p), nil
	}), -1)
	over.Store(true)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{"o"}, e.ids(t))
	e.requireContent(t, "o", []byte("x"))
	select {
	case <-late:
		t.Fatal("the body was read after the call")
	case <-time.After(50 * time.Millisecond): // a moment in which to be caught
	}
}

func testDeleteWhileOpen(t drivertest.T, e *env) {
	content := bytesOf(1, 1<<20)
	e.put(t, "o", content)
	r, err := e.Get(t.Context(), "o", 0, -1)
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, e.Delete(t.Context(), "o"))
	e.requireNone(t, "o")
	got := readAll(t, r, int64(len(content)))
	require.True(t, bytes.Equal(content, got))
	require.NoError(t, e.Delete(t.Context(), "o"))
}

func testList(t drivertest.T, e *env) {
	require.Empty(t, e.ids(t))
	want := map[string]int64{}
	for i := range 30 {
		id := fmt.Sprintf("o%d", i)
		e.put(t, id, bytesOf(uint64(i), i))
		want[id] = int64(i)
	}
	got := map[string]int64{}
	require.NoError(t, e.List(t.Context(), func(o blob.Object) bool {
		require.NotContains(t, got, o.ID)
		require.False(t, o.Created.IsZero())
		got[o.ID] = o.Size
		return true
	}))
	require.Equal(t, want, got)
	calls := 0
	require.NoError(t, e.List(t.Context(), func(blob.Object) bool { calls++; return calls < 3 }))
	require.Equal(t, 3, calls)
}

func testConcurrent(t drivertest.T, e *env) {
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for i := range 16 {
		wg.Go(func() {
			content := bytesOf(uint64(i), 100_000)
			if _, err := e.Put(t.Context(), "same", bytes.NewReader(content), -1); err != nil {
				errs <- err
			}
			id := fmt.Sprintf("own%d", i)
			if _, err := e.Put(t.Context(), id, bytes.NewReader(content), int64(len(content))); err != nil {
				errs <- err
			}
			if i%2 == 0 {
				if err := e.Delete(t.Context(), id); err != nil {
					errs <- err
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, e.ids(t), 9)
	got := e.read(t, "same", 0, -1)
	whole := false
	for i := range 16 {
		whole = whole || bytes.Equal(got, bytesOf(uint64(i), 100_000))
	}
	require.True(t, whole, "the object is exactly one of the bodies")
}

func testReopen(t drivertest.T, e *env) {
	big, small := bytesOf(1, 2<<20+1), []byte("small")
	e.put(t, "big", big)
	e.put(t, "small", small)
	e.put(t, "gone", small)
	require.NoError(t, e.Delete(t.Context(), "gone"))
	// A Put that is under way when the driver dies.
	pr, pw := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	first, done := e.Store, make(chan struct{})
	go func() {
		defer close(done)
		_, _ = first.Put(ctx, "half", pr, 1<<20)
	}()
	_, err := pw.Write(bytesOf(3, 500_000))
	require.NoError(t, err)
	e.reopen(t)
	require.ElementsMatch(t, []string{"big", "small"}, e.ids(t))
	e.requireContent(t, "big", big)
	e.requireContent(t, "small", small)
	e.requireNone(t, "half")
	e.requireNone(t, "gone")
	cancel()
	pw.CloseWithError(errBody)
	<-done
	e.reopen(t)
	require.ElementsMatch(t, []string{"big", "small"}, e.ids(t))
	e.put(t, "half", small)
	e.requireContent(t, "half", small)
}

func testAbilities(t drivertest.T, e *env) {
	if !e.Can(blob.AbilityCopier) {
		require.ErrorIs(t, e.Copy(t.Context(), "b", "a"), errors.ErrUnsupported)
	}
	if !e.Can(blob.AbilityLocator) {
		_, err := e.Location(t.Context(), "a")
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
	if !e.Can(blob.AbilityMultiparter) {
		require.ErrorIs(t, e.BeginParts(t.Context(), "a"), errors.ErrUnsupported)
	}
	offered, err := blob.AbilitiesOf(t.Context(), e.Driver())
	require.NoError(t, err)
	require.Equal(t, offered, e.Abilities())
}

func testCopier(t drivertest.T, e *env) {
	content := bytesOf(1, 1<<20+3)
	e.put(t, "src", content)
	require.NoError(t, e.Copy(t.Context(), "dst", "src"))
	require.NoError(t, e.Copy(t.Context(), "dst", "src"), "again")
	e.requireContent(t, "dst", content)
	require.NoError(t, e.Copy(t.Context(), "src", "src"), "onto itself")
	e.requireContent(t, "src", content)
	e.put(t, "src", []byte("new"))
	e.requireContent(t, "dst", content)
	require.NoError(t, e.Delete(t.Context(), "src"))
	e.requireContent(t, "dst", content)
	require.ErrorIs(t, e.Copy(t.Context(), "x", "src"), nephos.ErrNotFound)
	c := e.Driver().(blob.Copier)
	require.ErrorIs(t, c.Copy(t.Context(), "../x", "dst"), nephos.ErrInvalid)
	require.ErrorIs(t, c.Copy(t.Context(), "x", "../dst"), nephos.ErrInvalid)
	e.reopen(t)
	e.requireContent(t, "dst", content)
	require.Equal(t, []string{"dst"}, e.ids(t))
}

func testLocator(t drivertest.T, e *env) {
	e.put(t, "o", []byte("x"))
	where, err := e.Location(t.Context(), "o")
	require.NoError(t, err)
	require.NotEmpty(t, where)
	again, err := e.Location(t.Context(), "o")
	require.NoError(t, err)
	require.Equal(t, where, again)
	require.Contains(t, where, "://", "a URI")
	_, err = e.Location(t.Context(), "none")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	_, err = e.Driver().(blob.Locator).Location(t.Context(), "../o")
	require.ErrorIs(t, err, nephos.ErrInvalid)
}
