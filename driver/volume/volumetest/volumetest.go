// Package volumetest is the conformance test of volume drivers: an author calls
// [Run] from a test and is done.
package volumetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// Open returns a driver. Each subtest passes a directory of its own, empty at
// first; a driver opened again with the same directory finds what the former
// one left. Drivers that keep their state elsewhere use dir as a name. Open
// registers with t.Cleanup whatever the driver needs in the end, Close included.
type Open func(t drivertest.T, dir string) volume.Driver

// Options says more of the driver under test. The zero value works.
type Options struct {
	// Kill ends the driver as kill -9 would, after which it is opened again. Nil
	// is to leave it as it is, without Close.
	Kill func(t drivertest.T, d volume.Driver)
	// Write writes to a connected volume as a guest does. Nil skips the tests
	// that need it.
	Write func(t drivertest.T, d volume.Driver, c driver.Connection, offset int64, content []byte)
	// QCOW2 is an image in that format and QCOW2Raw the beginning of the disk
	// inside it. Nil skips the test that needs it.
	QCOW2, QCOW2Raw []byte
	// Peer opens another pool that the driver, as a Migrator, can reach. Nil tests
	// moves inside one pool only.
	Peer Open
	// Image puts content where the driver, as an ImageCloner, can clone it from.
	// Nil skips the test that needs it.
	Image func(t drivertest.T, d volume.Driver, content []byte) volume.ImageLocation
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
	for _, sub := range []struct {
		name  string
		needs string
		run   func(drivertest.T, *env)
	}{
		{"Lifecycle", "", testLifecycle},
		{"Idempotence", "", testIdempotence},
		{"Identifiers", "", testIdentifiers},
		{"IdentifiersOfCalls", "", testCallsIdentifiers},
		{"Connect", "", testConnect},
		{"Stats", "", testStats},
		{"Cancelled", "", testCancelled},
		{"Concurrent", "", testConcurrent},
		{"Reopen", "", testReopen},
		{"Abilities", "", testAbilities},
		{"Snapshotter", volume.AbilitySnapshotter, testSnapshotter},
		{"SnapshotterContent", volume.AbilitySnapshotter, testSnapshotContent},
		{"Cloner", volume.AbilityCloner, testCloner},
		{"ImageWriter", volume.AbilityImageWriter, testImageWriter},
		{"ImageWriterFails", volume.AbilityImageWriter, testImageWriterFails},
		{"ImageWriterQCOW2", volume.AbilityImageWriter, testImageWriterQCOW2},
		{"ImageReader", volume.AbilityImageReader, testImageReader},
		{"Extender", volume.AbilityExtender, testExtender},
		{"Reverter", volume.AbilityReverter, testReverter},
		{"Retyper", volume.AbilityRetyper, testRetyper},
		{"Move", "", testMove},
		{"Migrator", volume.AbilityMigrator, testMigrator},
		{"Grouper", volume.AbilityGrouper, testGrouper},
		{"Adopter", volume.AbilityAdopter, testAdopter},
		{"MultiAttacher", volume.AbilityMultiAttacher, testMultiAttacher},
		{"Limiter", volume.AbilityLimiter, testLimiter},
		{"Encrypter", volume.AbilityEncrypter, testEncrypter},
		{"ImageCloner", volume.AbilityImageCloner, testImageCloner},
		{"DiffExporter", volume.AbilityDiffExporter, testDiffExporter},
		{"DiffImporter", volume.AbilityDiffImporter, testDiffImporter},
		{"Attacher", volume.AbilityAttacher, testAttacher},
	} {
		tests = append(tests, drivertest.Test{Name: sub.name, Run: func(t drivertest.T) {
			e := &env{suite: s, dir: filepath.Join(t.TempDir(), "state")}
			e.Pool = e.start(t)
			if sub.needs != "" && !e.Can(sub.needs) {
				t.Skipf("the driver does not offer %s", sub.needs)
			}
			sub.run(t, e)
		}})
	}
	return tests
}

// env is a pool and what it takes to open it again.
type env struct {
	*volume.Pool
	suite
	dir string
}

func (e *env) start(t drivertest.T) *volume.Pool {
	t.Helper()
	p, err := volume.NewPool(t.Context(), e.open(t, e.dir), volume.PoolOptions{})
	require.NoError(t, err)
	return p
}

func (e *env) reopen(t drivertest.T) {
	t.Helper()
	if e.opts.Kill != nil {
		e.opts.Kill(t, e.Driver())
	}
	e.Pool = e.start(t)
}

func gib(n int) volume.Spec { return volume.Spec{SizeGiB: n} }

func (e *env) create(t drivertest.T, id string, sizeGiB int) {
	t.Helper()
	require.NoError(t, e.Create(t.Context(), id, gib(sizeGiB)))
}

func (e *env) requireVolume(t drivertest.T, id string, sizeGiB int, snapshots ...string) {
	t.Helper()
	v, err := e.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, id, v.ID)
	require.Equal(t, sizeGiB, v.SizeGiB)
	require.Contains(t, []string{volume.FormatRaw, volume.FormatQCOW2}, v.Format)
	require.Equal(t, append([]string{}, snapshots...), append([]string{}, v.Snapshots...), "snapshots of %s, oldest first", id)
	all, err := e.List(t.Context())
	require.NoError(t, err)
	require.Contains(t, all, v)
}

func (e *env) requireNone(t drivertest.T, id string) {
	t.Helper()
	_, err := e.Get(t.Context(), id)
	require.ErrorIs(t, err, nephos.ErrNotFound)
	require.NotContains(t, e.ids(t), id)
}

func (e *env) ids(t drivertest.T) []string {
	t.Helper()
	all, err := e.List(t.Context())
	require.NoError(t, err)
	ids := []string{}
	for _, v := range all {
		ids = append(ids, v.ID)
	}
	return ids
}

func (e *env) connect(t drivertest.T, id, attachment string) driver.Connection {
	t.Helper()
	c, err := e.Connect(t.Context(), id, volume.Connector{AttachmentID: attachment, Host: "host1"})
	require.NoError(t, err)
	return c
}

func (e *env) disconnect(t drivertest.T, id, attachment string) {
	t.Helper()
	require.NoError(t, e.Disconnect(t.Context(), id, volume.Connector{AttachmentID: attachment, Host: "host1"}))
}

// write writes as a guest does, and reports whether the suite knows how to.
func (e *env) write(t drivertest.T, id string, offset int64, content []byte) bool {
	t.Helper()
	if e.opts.Write == nil {
		return false
	}
	c := e.connect(t, id, "writer")
	e.opts.Write(t, e.Driver(), c, offset, content)
	e.disconnect(t, id, "writer")
	return true
}

// fromImage makes a volume with the content, by whatever way there is.
func (e *env) withContent(t drivertest.T, id string, sizeGiB int, content []byte) {
	t.Helper()
	if e.Can(volume.AbilityImageWriter) {
		require.NoError(t, e.CreateFromImage(t.Context(), id, gib(sizeGiB), rawImage(content)))
		return
	}
	e.create(t, id, sizeGiB)
	if !e.write(t, id, 0, content) {
		t.Skip("the driver does not offer ImageWriter, and Options.Write is not set")
	}
}

func rawImage(content []byte) volume.Image {
	n := int64(len(content))
	return volume.Image{Body: bytes.NewReader(content), Format: volume.FormatRaw, Size: n, VirtualSize: n}
}

// requireContent reads the whole volume: the content, and zeros after it.
func (e *env) requireContent(t drivertest.T, id string, sizeGiB int, want []byte) {
	t.Helper()
	e.requireVolumeSize(t, id, sizeGiB)
	if !e.Can(volume.AbilityImageReader) {
		return
	}
	r, err := e.Read(t.Context(), id)
	require.NoError(t, err)
	defer r.Close()
	got := make([]byte, len(want))
	_, err = io.ReadFull(r, got)
	require.NoError(t, err, "content of %s", id)
	require.True(t, bytes.Equal(want, got), "content of %s", id)
	rest := &zeroCounter{}
	_, err = io.Copy(rest, r)
	require.NoError(t, err, "content of %s", id)
	require.Equal(t, int64(sizeGiB)<<30, int64(len(want))+rest.n, "length of %s", id)
}

func (e *env) requireVolumeSize(t drivertest.T, id string, sizeGiB int) {
	t.Helper()
	v, err := e.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, sizeGiB, v.SizeGiB)
}

// zeroCounter takes zeros only.
type zeroCounter struct{ n int64 }

func (z *zeroCounter) Write(p []byte) (int, error) {
	if !zero(p) {
		return 0, errors.New("bytes that are not zero after the content")
	}
	z.n += int64(len(p))
	return len(p), nil
}

// zero looks past the race detector, which would take longer over the gigabytes
// than all the rest of the suite.
//
//go:norace
func zero(p []byte) bool {
	for ; len(p) >= 32; p = p[32:] {
		if binary.NativeEndian.Uint64(p)|binary.NativeEndian.Uint64(p[8:])|
			binary.NativeEndian.Uint64(p[16:])|binary.NativeEndian.Uint64(p[24:]) != 0 {
			return false
		}
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
