package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/volumetest"
)

func open(t drivertest.T, cfg Config) *Driver {
	t.Helper()
	if cfg.CloudID == "" {
		cfg.CloudID = "cloud1"
	}
	d, err := Open(cfg)
	require.NoError(t, err)
	return d
}

func needQEMU(t testing.TB) {
	t.Helper()
	for _, name := range []string{"qemu-img", "qemu-io"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name + " is not installed")
		}
	}
}

// qcow2 returns an image of 1 MiB in that format, and what is in it.
func qcow2(t testing.TB) (image, raw []byte) {
	t.Helper()
	dir := t.TempDir()
	raw = make([]byte, 1<<20)
	for i := 300_000; i < 500_000; i++ {
		raw[i] = byte(i*7) | 1
	}
	src, dst := filepath.Join(dir, "raw"), filepath.Join(dir, "qcow2")
	require.NoError(t, os.WriteFile(src, raw, 0o600))
	out, err := exec.Command("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", src, dst).CombinedOutput()
	require.NoError(t, err, string(out))
	image, err = os.ReadFile(dst)
	require.NoError(t, err)
	return image, raw
}

// write writes as a guest does, which has the file open itself.
func write(format string) func(drivertest.T, volume.Driver, driver.Connection, int64, []byte) {
	return func(t drivertest.T, _ volume.Driver, c driver.Connection, offset int64, content []byte) {
		require.Equal(t, "file", c.Type)
		if format == volume.FormatRaw {
			f, err := os.OpenFile(c.Path, os.O_RDWR, 0)
			require.NoError(t, err)
			_, err = f.WriteAt(content, offset)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			return
		}
		p := filepath.Join(t.TempDir(), "content")
		require.NoError(t, os.WriteFile(p, content, 0o600))
		script := "write -s " + p + " " + itoa(offset) + " " + itoa(int64(len(content)))
		out, err := exec.Command("qemu-io", "-f", format, "-c", script, c.Path).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

func TestConformanceRaw(t *testing.T) {
	opts := volumetest.Options{Write: write(volume.FormatRaw)}
	images := t.TempDir()
	opts.Peer = func(t drivertest.T, dir string) volume.Driver { return open(t, Config{Dir: dir}) }
	opts.Image = func(t drivertest.T, _ volume.Driver, content []byte) volume.ImageLocation {
		path := filepath.Join(images, "image")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return volume.ImageLocation{Location: "file://" + path, Format: volume.FormatRaw, VirtualSize: int64(len(content))}
	}
	if _, err := exec.LookPath("qemu-img"); err == nil {
		opts.QCOW2, opts.QCOW2Raw = qcow2(t)
	}
	volumetest.Run(t, func(t drivertest.T, dir string) volume.Driver {
		return open(t, Config{Dir: dir, Images: []string{images}})
	}, opts)
}

func TestConformanceQCOW2(t *testing.T) {
	needQEMU(t)
	opts := volumetest.Options{Write: write(volume.FormatQCOW2)}
	opts.QCOW2, opts.QCOW2Raw = qcow2(t)
	volumetest.Run(t, func(t drivertest.T, dir string) volume.Driver {
		return open(t, Config{Dir: dir, Format: volume.FormatQCOW2})
	}, opts)
}

func TestDirectoryOfAnotherCloud(t *testing.T) {
	dir := t.TempDir()
	open(t, Config{Dir: dir, CloudID: "one"})
	_, err := Open(Config{Dir: dir, CloudID: "two"})
	require.ErrorIs(t, err, nephos.ErrConflict)
	open(t, Config{Dir: dir, CloudID: "one"})
}

func TestConfigIsChecked(t *testing.T) {
	_, err := Open(Config{})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = Open(Config{Dir: t.TempDir(), Format: "vmdk"})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func TestOpenCleansUpAndSparesStrangers(t *testing.T) {
	dir := t.TempDir()
	d := open(t, Config{Dir: dir})
	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	left := filepath.Join(dir, "tmp", "LEFT")
	strangers := []string{"volumes/README", "volumes/.x.raw", "volumes/x.vmdk", "snapshots/v/1@s.vmdk", "snapshots/v/s.raw", "snapshots/v/01@s.raw"}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "snapshots/v"), 0o700))
	for _, name := range strangers {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "volumes", "link.raw")))
	require.NoError(t, os.WriteFile(left, nil, 0o600))
	d = open(t, Config{Dir: dir})
	require.NoFileExists(t, left)
	for _, name := range strangers {
		require.FileExists(t, filepath.Join(dir, name))
	}
	all, err := d.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []volume.Volume{{ID: "v", SizeGiB: 1, Format: "raw"}}, all)
	_, err = d.Connect(t.Context(), "link", volume.Connector{AttachmentID: "a"})
	require.Error(t, err, "a link is no volume")
}

func TestCapacity(t *testing.T) {
	dir := t.TempDir()
	d := open(t, Config{Dir: dir, MaxGiB: 3})
	gib := func(n int) volume.Spec { return volume.Spec{SizeGiB: n} }
	require.NoError(t, d.Create(t.Context(), "a", gib(2)))
	require.NoError(t, d.Create(t.Context(), "a", gib(2)))
	require.ErrorIs(t, d.Create(t.Context(), "b", gib(2)), nephos.ErrNoCapacity)
	require.ErrorIs(t, d.Clone(t.Context(), "b", gib(2), "a"), nephos.ErrNoCapacity)
	require.ErrorIs(t, d.Extend(t.Context(), "a", 4, volume.ExtendOptions{}), nephos.ErrNoCapacity)
	d = open(t, Config{Dir: dir, MaxGiB: 3})
	require.NoError(t, d.Extend(t.Context(), "a", 3, volume.ExtendOptions{}))
	s, err := d.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, volume.Stats{TotalGiB: 3, FreeGiB: 0, AllocatedGiB: 3, Backend: "file", Protocol: "file", Thin: true}, s)
	require.NoError(t, d.Delete(t.Context(), "a"))
	require.Error(t, d.Clone(t.Context(), "b", gib(3), "a"))
	require.NoError(t, d.Create(t.Context(), "b", gib(3)), "failed calls give their room back")
}

// TestSparse: what is copied and written takes no more room than its data.
func TestSparse(t *testing.T) {
	d := open(t, Config{Dir: t.TempDir()})
	body := make([]byte, 64<<20)
	copy(body[32<<20:], bytes.Repeat([]byte{1}, 1<<20))
	spec := volume.Spec{SizeGiB: 1}
	image := volume.Image{Body: bytes.NewReader(body), Format: "raw", Size: int64(len(body)), VirtualSize: int64(len(body))}
	require.NoError(t, d.CreateFromImage(t.Context(), "a", spec, image))
	require.NoError(t, d.Clone(t.Context(), "b", spec, "a"))
	for _, id := range []string{"a", "b"} {
		f, err := os.Open(d.dir("volumes", id+".raw"))
		require.NoError(t, err)
		from, to, err := nextData(f, 0, 1<<30)
		require.NoError(t, err)
		if from == 0 && to == 1<<30 {
			t.Skip("the file system does not tell where holes are")
		}
		require.EqualValues(t, 32<<20, from)
		require.EqualValues(t, 33<<20, to)
		require.NoError(t, f.Close())
	}
}

// TestCopyOfAFileInUse: a writer keeps two halves of a file equal, one write
// after the other; a copy at one moment has the first half equal to the second
// or one step ahead.
func TestCopyOfAFileInUse(t *testing.T) {
	d := open(t, Config{Dir: t.TempDir()})
	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	c, err := d.Connect(t.Context(), "v", volume.Connector{AttachmentID: "a", Host: "h"})
	require.NoError(t, err)
	f, err := os.OpenFile(c.Path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	const far = 512 << 20
	var step atomic.Uint64
	beat := func() {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], step.Add(1))
		_, err1 := f.WriteAt(b[:], 0)
		_, err2 := f.WriteAt(b[:], far)
		require.NoError(t, err1)
		require.NoError(t, err2)
	}
	beat()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < 200; i++ { // then it is silent, and the snapshot comes about
			select {
			case <-stop:
				return
			default:
				beat()
			}
		}
	}()
	require.NoError(t, d.CreateSnapshot(t.Context(), "v", "s"))
	close(stop)
	<-done
	s, err := d.snapshot("v", "s")
	require.NoError(t, err)
	snap, err := os.Open(s.path)
	require.NoError(t, err)
	defer snap.Close()
	var a, b [8]byte
	_, err = snap.ReadAt(a[:], 0)
	require.NoError(t, err)
	_, err = snap.ReadAt(b[:], far)
	require.NoError(t, err)
	first, second := binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(b[:])
	require.Positive(t, second)
	require.LessOrEqual(t, first-second, uint64(1), "first half at %d, second at %d", first, second)
}

// busy is a clock on which a minute passes at each look.
type busy struct {
	nephos.WallClock
	n atomic.Int64
}

func (b *busy) Now() time.Time { return time.Unix(b.n.Add(60), 0) }

// restless is a context that writes to a file whenever it is asked whether it has
// ended, which a copy does all the while.
type restless struct {
	context.Context
	f *os.File
}

func (r restless) Err() error {
	_, _ = r.f.WriteAt([]byte{1}, 0)
	return r.Context.Err()
}

// TestCopyGivesUp: against a writer that never rests there is no snapshot.
func TestCopyGivesUp(t *testing.T) {
	d := open(t, Config{Dir: t.TempDir(), Clock: &busy{}})
	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	k, err := d.find("v")
	require.NoError(t, err)
	probe, err := d.temp()
	require.NoError(t, err)
	src, err := os.OpenFile(k.path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer src.Close()
	shares := reflink(probe.File, src) == nil
	probe.Abort()
	if shares {
		t.Skip("this file system shares blocks, so that a copy takes but a moment")
	}
	ctx := restless{t.Context(), src}
	require.ErrorIs(t, d.CreateSnapshot(ctx, "v", "s"), nephos.ErrUnavailable)
	v, err := d.Get(t.Context(), "v")
	require.NoError(t, err)
	require.Empty(t, v.Snapshots)
	entries, err := os.ReadDir(d.dir("tmp"))
	require.NoError(t, err)
	require.Empty(t, entries)
	require.NoError(t, d.CreateSnapshot(t.Context(), "v", "s"))
}

// TestUpdateOfACopy: a second pass brings over what changed, holes included.
func TestUpdateOfACopy(t *testing.T) {
	d := open(t, Config{Dir: t.TempDir()})
	src, err := d.temp()
	require.NoError(t, err)
	defer src.Abort()
	dst, err := d.temp()
	require.NoError(t, err)
	defer dst.Abort()
	write := func(off int64, c byte, n int) {
		_, err := src.WriteAt(bytes.Repeat([]byte{c}, n), off)
		require.NoError(t, err)
	}
	same := func() {
		a, err := os.ReadFile(src.Name())
		require.NoError(t, err)
		b, err := os.ReadFile(dst.Name())
		require.NoError(t, err)
		require.True(t, bytes.Equal(a, b))
	}
	write(0, 1, 3<<20)
	write(8<<20, 2, 100)
	require.NoError(t, copySparse(t.Context(), dst.File, src.File, false))
	same()
	write(1<<20, 0, 1<<20)
	write(5<<20, 3, 7)
	require.NoError(t, punch(src.File, 0, 1<<20))
	require.NoError(t, src.Truncate(9<<20))
	require.NoError(t, copySparse(t.Context(), dst.File, src.File, true))
	same()
	require.NoError(t, src.Truncate(4<<20))
	require.NoError(t, copySparse(t.Context(), dst.File, src.File, true))
	same()
}

// TestImagesThatLeadElsewhere: no file of the host gets into a volume.
func TestImagesThatLeadElsewhere(t *testing.T) {
	needQEMU(t)
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, bytes.Repeat([]byte("secret!\n"), 1<<17), 0o600))
	backing, data := filepath.Join(dir, "backing"), filepath.Join(dir, "data-file")
	for path, args := range map[string][]string{
		backing: {"create", "-f", "qcow2", "-b", secret, "-F", "raw", backing},
		data:    {"create", "-f", "qcow2", "-o", "data_file=" + filepath.Join(dir, "data"), data, "1M"},
	} {
		out, err := exec.Command("qemu-img", args...).CombinedOutput()
		require.NoError(t, err, string(out))
		image, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, format := range []string{"raw", "qcow2"} {
			d := open(t, Config{Dir: filepath.Join(t.TempDir(), "pool"), Format: format})
			err = d.CreateFromImage(t.Context(), "v", volume.Spec{SizeGiB: 1},
				volume.Image{Body: bytes.NewReader(image), Format: "qcow2", Size: int64(len(image)), VirtualSize: 1 << 20})
			require.ErrorIs(t, err, nephos.ErrInvalid, path)
			_, err = d.Get(t.Context(), "v")
			require.ErrorIs(t, err, nephos.ErrNotFound)
		}
	}
}

func TestBrokenQCOW2(t *testing.T) {
	needQEMU(t)
	image, _ := qcow2(t)
	// an L1 table on no boundary
	binary.BigEndian.PutUint64(image[40:], 0x10001)
	d := open(t, Config{Dir: t.TempDir()})
	for _, body := range [][]byte{image, image[:50], []byte("not one at all"), nil} {
		err := d.CreateFromImage(t.Context(), "v", volume.Spec{SizeGiB: 1},
			volume.Image{Body: bytes.NewReader(body), Format: "qcow2", Size: int64(len(body)), VirtualSize: 1 << 20})
		require.ErrorIs(t, err, nephos.ErrInvalid)
	}
	entries, err := os.ReadDir(d.dir("tmp"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestWithoutTool(t *testing.T) {
	d := open(t, Config{Dir: t.TempDir(), QEMUImg: "no-such-program"})
	header := binary.BigEndian.AppendUint64([]byte("QFI\xfb\x00\x00\x00\x02"), 0) // version 2, no backing file
	header = binary.BigEndian.AppendUint32(header, 0)
	header = binary.BigEndian.AppendUint32(header, 16)    // the clusters
	header = binary.BigEndian.AppendUint64(header, 1<<30) // the size
	header = append(header, make([]byte, 80)...)
	err := d.CreateFromImage(t.Context(), "v", volume.Spec{SizeGiB: 1}, volume.Image{Body: bytes.NewReader(header), Format: "qcow2", Size: -1})
	require.ErrorIs(t, err, nephos.ErrUnavailable)
}

// TestRevertKeepsTheSize: a volume that has grown since stays as large.
func TestRevertKeepsTheSize(t *testing.T) {
	d := open(t, Config{Dir: t.TempDir()})
	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	require.NoError(t, d.CreateSnapshot(t.Context(), "v", "s"))
	require.NoError(t, d.Extend(t.Context(), "v", 2, volume.ExtendOptions{InUse: true}))
	require.NoError(t, d.Revert(t.Context(), "v", "s"))
	v, err := d.Get(t.Context(), "v")
	require.NoError(t, err)
	require.Equal(t, 2, v.SizeGiB)
}

// TestFormatIsOfTheVolume: a pool that changes its format keeps its volumes.
func TestFormatIsOfTheVolume(t *testing.T) {
	needQEMU(t)
	dir := t.TempDir()
	d := open(t, Config{Dir: dir})
	require.NoError(t, d.Create(t.Context(), "r", volume.Spec{SizeGiB: 1}))
	d = open(t, Config{Dir: dir, Format: "qcow2"})
	require.NoError(t, d.Create(t.Context(), "r", volume.Spec{SizeGiB: 1}))
	require.NoError(t, d.Clone(t.Context(), "c", volume.Spec{SizeGiB: 2}, "r"))
	require.NoError(t, d.Create(t.Context(), "q", volume.Spec{SizeGiB: 1}))
	all, err := d.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []volume.Volume{{ID: "c", SizeGiB: 2, Format: "raw"}, {ID: "q", SizeGiB: 1, Format: "qcow2"}, {ID: "r", SizeGiB: 1, Format: "raw"}}, all)
	require.ErrorIs(t, d.Extend(t.Context(), "q", 2, volume.ExtendOptions{InUse: true}), nephos.ErrConflict)
}

func TestFilesOutsideArePartOfNoPool(t *testing.T) {
	dir := t.TempDir()
	d := open(t, Config{Dir: dir, CloudID: "one", Images: []string{t.TempDir()}})
	secret := filepath.Join(t.TempDir(), "secret.raw")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	require.NoError(t, os.Symlink(secret, filepath.Join(d.cfg.Images[0], "link")))
	for _, location := range []string{
		"file://" + secret, "file://" + d.cfg.Images[0] + "/../" + filepath.Base(filepath.Dir(secret)) + "/secret.raw",
		"file://" + d.cfg.Images[0] + "/link", "file://elsewhere" + d.cfg.Images[0] + "/x", "http://localhost/x",
	} {
		err := d.CloneImage(t.Context(), "v", volume.Spec{SizeGiB: 1}, volume.ImageLocation{Location: location, Format: volume.FormatRaw, VirtualSize: 6})
		require.Error(t, err, location)
	}
	other := t.TempDir()
	open(t, Config{Dir: other, CloudID: "two"})
	for _, from := range []string{other, filepath.Dir(secret), "relative", ""} {
		l := volume.Location{Type: "file", Name: "secret", Options: map[string]string{"dir": from}}
		require.ErrorIs(t, d.MigrateIn(t.Context(), "v", volume.Spec{SizeGiB: 1}, l), errors.ErrUnsupported, from)
	}
	unmanaged := filepath.Join(dir, "unmanaged")
	require.NoError(t, os.MkdirAll(unmanaged, 0o755))
	require.NoError(t, os.Symlink(secret, filepath.Join(unmanaged, "link.raw")))
	require.NoError(t, os.WriteFile(filepath.Join(unmanaged, "notes.txt"), []byte("x"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(unmanaged, "broken.qcow2"), []byte("x"), 0o600))
	for _, ref := range []string{"link.raw", "notes.txt", "broken.qcow2"} {
		_, err := d.Adopt(t.Context(), "v", ref)
		require.ErrorIs(t, err, nephos.ErrConflict, ref)
	}
	require.NoError(t, os.WriteFile(filepath.Join(unmanaged, "odd.raw"), []byte("content"), 0o600))
	v, err := d.Adopt(t.Context(), "v", "odd.raw")
	require.NoError(t, err)
	require.Equal(t, 1, v.SizeGiB, "rounded up to whole GiB")
	list, err := d.ListAdoptable(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 4)
	for _, a := range list {
		require.NotEmpty(t, a.Reason, a.Reference)
	}
}
