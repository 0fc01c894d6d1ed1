package hypervisortest

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// virtual is how large the statistics tell that a disk of a running guest is;
// -1 when they do not.
func (s *suite) virtual(id, diskID string) int64 {
	st, ok := s.d.(hypervisor.Statistician)
	if !ok || !s.can(hypervisor.CanStatistics) {
		return -1
	}
	all, err := st.Statistics(s.ctx(), id)
	require.NoError(s.t, err)
	for _, d := range all.Disks {
		if d.ID == diskID {
			return d.VirtualBytes
		}
	}
	require.FailNow(s.t, "no statistics of disk "+diskID)
	return 0
}

func (s *suite) testResizeDisk() {
	const mib = 1 << 20
	id, spec := s.guest(), s.spec()
	size := max(spec.Disks[0].SizeBytes, 8*mib)
	grow := func(to int64) error {
		return s.d.(hypervisor.DiskResizer).ResizeDisk(s.ctx(), id, "root", to)
	}
	require.NoError(s.t, grow(size+8*mib))
	require.NoError(s.t, grow(size+8*mib), "again")
	require.ErrorIs(s.t, grow(size), nephos.ErrInvalid, "a disk does not shrink")
	s.reopen()
	require.ErrorIs(s.t, grow(size), nephos.ErrInvalid, "a disk does not shrink, whoever opened the driver")
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	require.NoError(s.t, grow(size+16*mib), "a running guest's")
	require.NoError(s.t, grow(size+16*mib), "again")
	require.ErrorIs(s.t, grow(size+8*mib), nephos.ErrInvalid)
	if v := s.virtual(id, "root"); v >= 0 {
		require.Equal(s.t, size+16*mib, v, "the guest sees the size")
	}
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec), "a spec with the old size")
	require.ErrorIs(s.t, grow(size+8*mib), nephos.ErrInvalid, "Ensure left the size")
	require.ErrorIs(s.t, s.d.(hypervisor.DiskResizer).ResizeDisk(s.ctx(), id, "nodisk", 1<<40), nephos.ErrNotFound)
	require.ErrorIs(s.t, s.d.(hypervisor.DiskResizer).ResizeDisk(s.ctx(), nephos.IDs{}.New(), "root", 1<<40), nephos.ErrNotFound)
}

func (s *suite) testThrottleDisk() {
	limits := driver.Limits{TotalBytesSec: 50 << 20, ReadIOPS: 500, WriteIOPS: 400}
	id := s.newID()
	spec := s.spec()
	spec.Disks[0].Source.Limits = &driver.Limits{TotalIOPS: 1000}
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec), "limits in a spec")
	throttle := func(l driver.Limits) error {
		return s.d.(hypervisor.DiskThrottler).ThrottleDisk(s.ctx(), id, "root", l)
	}
	require.NoError(s.t, throttle(limits), "a stopped guest's")
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	for range 2 {
		require.NoError(s.t, throttle(limits))
	}
	s.reopen()
	require.NoError(s.t, throttle(driver.Limits{}), "lifted")
	require.ErrorIs(s.t, throttle(driver.Limits{TotalIOPS: -1}), nephos.ErrInvalid)
	require.ErrorIs(s.t, throttle(driver.Limits{TotalIOPS: 1, ReadIOPS: 1}), nephos.ErrInvalid)
	require.ErrorIs(s.t, s.d.(hypervisor.DiskThrottler).ThrottleDisk(s.ctx(), id, "nodisk", limits), nephos.ErrNotFound)
	require.ErrorIs(s.t, s.d.(hypervisor.DiskThrottler).ThrottleDisk(s.ctx(), nephos.IDs{}.New(), "root", limits), nephos.ErrNotFound)
	require.Equal(s.t, hypervisor.Running, s.get(id).State)
}

func (s *suite) testDecryptDisk() {
	require.NotEmpty(s.t, s.d.(hypervisor.DiskDecrypter).EncryptionFormats())
}

func (s *suite) export(id, diskID string) (hypervisor.DiskImage, []byte) {
	s.t.Helper()
	image, body, err := s.d.(hypervisor.DiskExporter).ExportDisk(s.ctx(), id, diskID)
	require.NoError(s.t, err)
	defer body.Close()
	data, err := io.ReadAll(body)
	require.NoError(s.t, err)
	require.NoError(s.t, image.Validate())
	if image.Size >= 0 {
		require.EqualValues(s.t, image.Size, len(data))
	}
	return image, data
}

func (s *suite) testExportDisk() {
	id := s.guest()
	image, data := s.export(id, "root")
	require.GreaterOrEqual(s.t, image.VirtualSize, s.spec().Disks[0].SizeBytes)
	_, err := beginning(image, data, 512)
	require.NoError(s.t, err, "what is exported is whole")
	s.reopen()
	x := s.d.(hypervisor.DiskExporter)
	again, _ := s.export(id, "root")
	require.Equal(s.t, image.VirtualSize, again.VirtualSize)

	ctx, cancel := context.WithCancel(context.Background())
	_, body, err := x.ExportDisk(ctx, id, "root")
	require.NoError(s.t, err)
	cancel()
	_, err = io.Copy(io.Discard, body)
	require.ErrorIs(s.t, err, context.Canceled)
	require.NoError(s.t, body.Close())

	_, _, err = x.ExportDisk(s.ctx(), id, "nodisk")
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
	_, _, err = x.ExportDisk(s.ctx(), nephos.IDs{}.New(), "root")
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	_, _, err = x.ExportDisk(s.ctx(), id, "root")
	require.ErrorIs(s.t, err, nephos.ErrConflict, "a running guest's disk is not at rest")
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

var errBody = errors.New("the sender went away")

func (s *suite) testImportDisk() {
	content := bytes.Repeat([]byte("nephos moves disks. "), 2048)[:40_960]
	raw := hypervisor.DiskImage{Format: "raw", Size: int64(len(content)), VirtualSize: 8 << 20}
	id, spec := s.newID(), s.spec()
	spec.Disks[0].SizeBytes = max(spec.Disks[0].SizeBytes, 8<<20)
	m := func() hypervisor.DiskImporter { return s.d.(hypervisor.DiskImporter) }
	holds := func(why string) {
		s.t.Helper()
		if !s.can(hypervisor.CanExportDisk) {
			return
		}
		image, data := s.export(id, "root")
		got, err := beginning(image, data, len(content))
		require.NoError(s.t, err)
		require.True(s.t, bytes.Equal(content, got), why)
		require.GreaterOrEqual(s.t, image.VirtualSize, spec.Disks[0].SizeBytes)
	}
	for range 2 {
		require.NoError(s.t, m().ImportDisk(s.ctx(), id, "root", raw, bytes.NewReader(content)))
	}
	_, err := s.d.Get(s.ctx(), id)
	require.ErrorIs(s.t, err, nephos.ErrNotFound, "a disk is no guest yet")
	require.NotContains(s.t, s.listed(), id)
	s.reopen()
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
	holds("Ensure keeps an imported disk")
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
	holds("a second Ensure keeps an imported disk")

	require.ErrorIs(s.t, m().ImportDisk(s.ctx(), id, "root", raw, io.MultiReader(bytes.NewReader(content[:100]), failing{errBody})), errBody)
	holds("a failed import leaves what was there")
	short := raw
	short.Size--
	require.Error(s.t, m().ImportDisk(s.ctx(), id, "root", short, bytes.NewReader(content)), "a body of another length")
	holds("a body of another length leaves what was there")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(s.t, m().ImportDisk(ctx, id, "root", raw, bytes.NewReader(content)), context.Canceled)
	bad := raw
	bad.Format = "vmdk"
	require.ErrorIs(s.t, m().ImportDisk(s.ctx(), id, "root", bad, bytes.NewReader(content)), nephos.ErrInvalid)
	require.ErrorIs(s.t, m().ImportDisk(s.ctx(), id, "../root", raw, bytes.NewReader(content)), nephos.ErrInvalid)

	require.NoError(s.t, s.d.Start(s.ctx(), id))
	require.ErrorIs(s.t, m().ImportDisk(s.ctx(), id, "root", raw, bytes.NewReader(content)), nephos.ErrConflict, "the guest runs")
	require.NoError(s.t, s.d.Stop(s.ctx(), id, hypervisor.StopOptions{}))
	holds("a guest without an operating system writes nothing")

	if s.can(hypervisor.CanExportDisk) { // what one host exports another imports
		image, data := s.export(id, "root")
		id = s.newID()
		require.NoError(s.t, m().ImportDisk(s.ctx(), id, "root", image, bytes.NewReader(data)))
		require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
		holds("a moved disk")
	}
	lost := s.newID()
	require.NoError(s.t, m().ImportDisk(s.ctx(), lost, "root", raw, bytes.NewReader(content)))
	require.NoError(s.t, s.d.Destroy(s.ctx(), lost), "a disk without a guest")
}

func (s *suite) testRescue() {
	disk := blank(hypervisor.RescueDiskID, 8<<20, 0)
	r := func() hypervisor.Rescuer { return s.d.(hypervisor.Rescuer) }
	rescued := func(id string) {
		s.t.Helper()
		g := s.get(id)
		require.Equal(s.t, hypervisor.Running, g.State)
		require.Equal(s.t, []string{hypervisor.RescueDiskID, "root"}, g.Disks, "the root is the second disk")
	}
	require.ErrorIs(s.t, r().Rescue(s.ctx(), nephos.IDs{}.New(), disk), nephos.ErrNotFound)
	require.ErrorIs(s.t, r().Unrescue(s.ctx(), nephos.IDs{}.New()), nephos.ErrNotFound)
	id := s.running()
	require.NoError(s.t, r().Unrescue(s.ctx(), id))
	require.Equal(s.t, hypervisor.Running, s.get(id).State, "there was nothing to undo")
	own := disk
	own.ID = "root"
	require.ErrorIs(s.t, r().Rescue(s.ctx(), id, own), nephos.ErrInvalid, "the disk is the guest's own")
	require.Equal(s.t, []string{"root"}, s.get(id).Disks)
	require.NoError(s.t, r().Rescue(s.ctx(), id, disk))
	rescued(id)
	started := s.get(id).Started
	require.NoError(s.t, r().Rescue(s.ctx(), id, disk), "again")
	require.Equal(s.t, started, s.get(id).Started)
	other := disk
	other.ID = "rescue2"
	require.ErrorIs(s.t, r().Rescue(s.ctx(), id, other), nephos.ErrConflict)

	s.reopen()
	rescued(id)
	require.NoError(s.t, s.d.Stop(s.ctx(), id, hypervisor.StopOptions{}))
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, s.spec()))
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	rescued(id)
	for range 2 {
		require.NoError(s.t, r().Unrescue(s.ctx(), id))
		g := s.get(id)
		require.Equal(s.t, hypervisor.Stopped, g.State)
		require.Equal(s.t, []string{"root"}, g.Disks)
	}
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	require.Equal(s.t, hypervisor.Running, s.get(id).State)
	require.NoError(s.t, r().Rescue(s.ctx(), id, disk), "and once more")
	require.NoError(s.t, s.d.Destroy(s.ctx(), id), "a rescued guest can be destroyed")
}

func (s *suite) testImages() {
	c := func() hypervisor.ImageCacher { return s.d.(hypervisor.ImageCacher) }
	content := bytes.Repeat([]byte("image "), 10_000)
	sum := sha512.Sum512(content)
	digest := hex.EncodeToString(sum[:])
	spec := hypervisor.ImageSpec{Digest: digest, Format: "raw", Size: int64(len(content))}
	mine := func() (found []hypervisor.CachedImage) {
		all, err := c().ListImages(s.ctx())
		require.NoError(s.t, err)
		for _, i := range all {
			if i.Image.Digest == digest {
				found = append(found, i)
			}
		}
		return found
	}
	s.t.Cleanup(func() { _ = c().EvictImage(context.Background(), digest) })
	wrong := spec
	wrong.Size = -1
	_, err := c().EnsureImage(s.ctx(), wrong, bytes.NewReader(content[1:]))
	require.ErrorIs(s.t, err, nephos.ErrInvalid, "bytes of another digest")
	_, err = c().EnsureImage(s.ctx(), spec, io.MultiReader(bytes.NewReader(content[:9]), failing{errBody}))
	require.ErrorIs(s.t, err, errBody)
	_, err = c().EnsureImage(s.ctx(), hypervisor.ImageSpec{Digest: "../etc", Format: "raw"}, bytes.NewReader(nil))
	require.ErrorIs(s.t, err, nephos.ErrInvalid)
	require.Empty(s.t, mine(), "nothing is left of what failed")

	image, err := c().EnsureImage(s.ctx(), spec, bytes.NewReader(content))
	require.NoError(s.t, err)
	require.Equal(s.t, digest, image.Digest)
	again, err := c().EnsureImage(s.ctx(), spec, failing{errBody})
	require.NoError(s.t, err, "an image that is there is not read again")
	require.Equal(s.t, image, again)
	s.reopen()
	require.Len(s.t, mine(), 1)
	require.Zero(s.t, mine()[0].Guests)

	id, guest := s.newID(), s.spec()
	guest.Disks[0].Base, guest.Disks[0].SizeBytes = &image, 8<<20
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, guest))
	require.Equal(s.t, 1, mine()[0].Guests)
	require.ErrorIs(s.t, c().EvictImage(s.ctx(), digest), nephos.ErrConflict)
	require.NoError(s.t, s.d.Destroy(s.ctx(), id))
	for range 2 {
		require.NoError(s.t, c().EvictImage(s.ctx(), digest))
	}
	require.Empty(s.t, mine())
}
