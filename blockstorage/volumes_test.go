package blockstorage_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/store"
)

func TestAVolumeLivesAndDies(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		v, err := f.CreateVolume(f.user, blockstorage.VolumeSpec{Name: ptr("data"), SizeGiB: 2, Metadata: map[string]string{"a": "b"}})
		require.NoError(t, err)
		require.Equal(t, blockstorage.Creating, v.Status)
		require.Equal(t, "__DEFAULT__", v.TypeName)
		require.Equal(t, "nova", v.Zone)
		require.Empty(t, f.pooled())
		f.settle()
		v = f.volume(v.ID)
		require.Equal(t, blockstorage.Available, v.Status)
		require.Equal(t, "raw", v.Format)
		require.Equal(t, map[string]string{"a": "b"}, v.Metadata)
		require.Len(t, f.pooled(), 1)

		require.NoError(t, f.ExtendVolume(f.user, v.ID, 5, false))
		f.status(v.ID, blockstorage.Extending)
		f.settle()
		require.Equal(t, 5, f.volume(v.ID).SizeGiB)
		require.Equal(t, 5, f.pooled()[0].SizeGiB)

		require.NoError(t, f.DeleteVolume(f.user, v.ID))
		require.NoError(t, f.DeleteVolume(f.user, v.ID), "deleting what is deleting is success")
		f.settle()
		f.empty()
		_, err = f.Volume(f.user, v.ID)
		require.EqualError(t, err, "Volume "+v.ID+" could not be found.")
		require.Equal(t, []string{"volume.create", "volume.available", "volume.update", "volume.extend", "volume.delete", "volume.deleted"}, f.events())
	})
}

func TestVolumesOfAnotherProjectDoNotExist(t *testing.T) {
	f := sqlite(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	s, err := f.CreateSnapshot(f.user, blockstorage.SnapshotSpec{VolumeID: v.ID})
	require.NoError(t, err)
	f.settle()
	a, err := f.CreateAttachment(f.user, blockstorage.AttachmentSpec{VolumeID: v.ID})
	require.NoError(t, err)
	for name, err := range map[string]error{
		"show":       second(f.Volume(f.stranger, v.ID)),
		"update":     second(f.UpdateVolume(f.stranger, v.ID, blockstorage.VolumeUpdate{Bootable: ptr(true)})),
		"delete":     f.DeleteVolume(f.stranger, v.ID),
		"extend":     f.ExtendVolume(f.stranger, v.ID, 9, false),
		"metadata":   second(f.VolumeMetadata(f.stranger, v.ID)),
		"snapshot":   second(f.CreateSnapshot(f.stranger, blockstorage.SnapshotSpec{VolumeID: v.ID})),
		"clone":      second(f.CreateVolume(f.stranger, blockstorage.VolumeSpec{SourceVolumeID: v.ID})),
		"restore":    second(f.CreateVolume(f.stranger, blockstorage.VolumeSpec{SnapshotID: s.ID})),
		"see":        second(f.Snapshot(f.stranger, s.ID)),
		"unsnap":     f.DeleteSnapshot(f.stranger, s.ID, false),
		"attach":     second(f.CreateAttachment(f.stranger, blockstorage.AttachmentSpec{VolumeID: v.ID})),
		"attachment": second(f.Attachment(f.stranger, a.ID)),
		"detach":     second(f.DeleteAttachment(f.stranger, a.ID)),
		"reserve":    second(f.ReserveVolume(f.stranger, "k", v.ID, "s")),
		"check":      f.CheckAttach(f.stranger, v.ID),
	} {
		require.ErrorIs(t, err, nephos.ErrNotFound, name)
	}
	vs, _, err := f.ListVolumes(f.stranger, blockstorage.VolumeFilter{AllProjects: true}, nephos.Page{})
	require.NoError(t, err)
	require.Empty(t, vs)
	_, err = f.CreateVolume(f.reader, blockstorage.VolumeSpec{SizeGiB: 1})
	require.ErrorIs(t, err, nephos.ErrForbidden)
	require.ErrorIs(t, f.DeleteVolume(f.reader, v.ID), nephos.ErrForbidden)
	_, err = f.Volume(t.Context(), v.ID)
	require.ErrorIs(t, err, nephos.ErrUnauthenticated)
	require.ErrorIs(t, f.DeleteVolume(t.Context(), v.ID), nephos.ErrUnauthenticated)
}

func second[T any](_ T, err error) error { return err }

func TestAVolumeIsMadeOfAnImage(t *testing.T) {
	f := sqlite(t)
	img := f.images.put(image.Image{
		Name: ptr("os"), Status: image.Active, DiskFormat: "qcow2", ContainerFormat: "bare", MinDisk: 2, Properties: map[string]string{"hw_disk_bus": "scsi"},
	}, []byte("an operating system"))
	_, err := f.CreateVolume(f.user, blockstorage.VolumeSpec{ImageID: img.ID, SizeGiB: 1})
	require.EqualError(t, err, "Invalid input received: Volume size 1GB cannot be smaller than the image minDisk size 2GB.")
	v := f.make(blockstorage.VolumeSpec{ImageID: img.ID, SizeGiB: 2})
	require.Equal(t, blockstorage.Available, v.Status)
	require.True(t, v.Bootable)
	require.Equal(t, "scsi", v.ImageMetadata["hw_disk_bus"])
	require.Equal(t, img.ID, v.ImageMetadata["image_id"])

	clone := f.make(blockstorage.VolumeSpec{SourceVolumeID: v.ID})
	require.Equal(t, 2, clone.SizeGiB)
	require.True(t, clone.Bootable)
	require.Equal(t, v.ImageMetadata, clone.ImageMetadata)

	up, err := f.UploadVolume(f.user, clone.ID, blockstorage.UploadSpec{Name: "copy"})
	require.NoError(t, err)
	f.status(clone.ID, blockstorage.Uploading)
	f.settle()
	f.status(clone.ID, blockstorage.Available)
	require.Equal(t, image.Active, f.images.all[up.Image.ID].Status)
	require.Contains(t, string(f.images.bytes[up.Image.ID]), "an operating system")
	f.finish()
	f.status(clone.ID, blockstorage.Available)
}

func TestWhatCannotBeMadeEndsInErrorAndLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.state.Inject(fake.Fault{Op: "Create", Err: nephos.ErrNoCapacity})
		v, err := f.CreateVolume(f.user, blockstorage.VolumeSpec{SizeGiB: 1})
		require.NoError(t, err)
		f.settle()
		f.status(v.ID, blockstorage.Errored)
		require.NotEmpty(t, f.volume(v.ID).Reason)

		f.state.ClearFaults()
		f.state.Inject(fake.Fault{Op: "Create", Err: errors.New("the wire broke"), After: true})
		w, err := f.CreateVolume(f.user, blockstorage.VolumeSpec{SizeGiB: 1})
		require.NoError(t, err)
		f.finish()
		f.status(w.ID, blockstorage.Errored)
		require.Empty(t, f.pooled(), "what was half made is given back")

		f.state.ClearFaults()
		for _, id := range []string{v.ID, w.ID} {
			require.NoError(t, f.DeleteVolume(f.user, id))
		}
		f.finish()
		f.empty()
	})
}

func TestACopyLongerThanALeaseRunsOnce(t *testing.T) {
	f := sqlite(t)
	f.images.slow = make(chan struct{})
	img := f.images.put(image.Image{Status: image.Active, DiskFormat: "raw", ContainerFormat: "bare"}, []byte("x"))
	v, err := f.CreateVolume(f.user, blockstorage.VolumeSpec{ImageID: img.ID, SizeGiB: 1})
	require.NoError(t, err)
	step := func() {
		t.Helper()
		ran, err := f.queue.Step(t.Context())
		require.NoError(t, err)
		require.True(t, ran)
	}
	f.clock.impatient.Store(true)
	step()
	step()
	f.status(v.ID, blockstorage.Creating)
	first := f.queue

	// Another process keeps away as long as the claim holds.
	f.start(nil)
	f.clock.impatient.Store(false)
	step()
	due, ok, err := f.queue.NextDue(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, 90*time.Second, due.Sub(f.clock.Now()))

	close(f.images.slow)
	f.clock.Advance(90 * time.Second)
	ran, err := first.Step(t.Context())
	require.NoError(t, err)
	require.True(t, ran)
	f.finish()
	f.status(v.ID, blockstorage.Available)
	require.Equal(t, 1, f.images.opens)
}

func TestADeleteWaitsForTheCopyThatIsUnderWay(t *testing.T) {
	f := sqlite(t)
	f.images.slow = make(chan struct{})
	img := f.images.put(image.Image{Status: image.Active, DiskFormat: "raw", ContainerFormat: "bare"}, []byte("x"))
	v, err := f.CreateVolume(f.user, blockstorage.VolumeSpec{ImageID: img.ID, SizeGiB: 1})
	require.NoError(t, err)
	f.clock.impatient.Store(true)
	ran, err := f.queue.Step(t.Context())
	require.NoError(t, err)
	require.True(t, ran)
	require.NoError(t, f.PurgeVolume(f.admin, v.ID, blockstorage.DeleteOptions{Force: true}))
	ran, err = f.queue.Step(t.Context())
	require.NoError(t, err)
	require.True(t, ran)
	f.status(v.ID, blockstorage.Deleting)
	f.clock.impatient.Store(false)
	close(f.images.slow)
	f.finish()
	f.empty()
}

func TestQuotasHoldInARace(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		_, err := f.UpdateQuotas(f.admin, "p", map[string]int{"volumes": 3, "gigabytes": 100})
		require.NoError(t, err)
		errs := make(chan error)
		for range 8 {
			go func() {
				_, err := f.CreateVolume(f.user, blockstorage.VolumeSpec{SizeGiB: 1})
				errs <- err
			}()
		}
		made := 0
		for range 8 {
			if err := <-errs; err == nil {
				made++
			} else {
				require.ErrorIs(t, err, nephos.ErrQuota)
				require.EqualError(t, err, "VolumeLimitExceeded: Maximum number of volumes allowed (3) exceeded for quota 'volumes'.")
			}
		}
		require.Equal(t, 3, made)
		_, err = f.UpdateQuotas(f.admin, "p", map[string]int{"volumes": -1, "gigabytes": 5, "snapshots": 0})
		require.NoError(t, err)
		_, err = f.CreateVolume(f.user, blockstorage.VolumeSpec{SizeGiB: 3})
		require.EqualError(t, err, "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. "+
			"Requested 3G, quota is 5G and 3G has been consumed.")
		f.settle()
		vs, _, err := f.ListVolumes(f.user, blockstorage.VolumeFilter{}, nephos.Page{})
		require.NoError(t, err)
		require.ErrorIs(t, f.ExtendVolume(f.user, vs[0].ID, 4, false), nephos.ErrQuota)
		require.NoError(t, f.ExtendVolume(f.user, vs[0].ID, 3, false))
		_, err = f.CreateVolume(f.user, blockstorage.VolumeSpec{SizeGiB: 1})
		require.ErrorIs(t, err, nephos.ErrQuota, "what is growing counts with its new size")
		f.settle()
		set, err := f.QuotaSet(f.user, "p")
		require.NoError(t, err)
		require.Equal(t, blockstorage.QuotaUse{Limit: 5, InUse: 5}, set["gigabytes"])
		require.Equal(t, blockstorage.QuotaUse{Limit: -1, InUse: 5}, set["gigabytes___DEFAULT__"])
		_, err = f.CreateSnapshot(f.user, blockstorage.SnapshotSpec{VolumeID: vs[1].ID})
		require.ErrorIs(t, err, nephos.ErrQuota)
		_, err = f.QuotaSet(f.stranger, "p")
		require.ErrorIs(t, err, nephos.ErrForbidden)
		_, err = f.UpdateQuotas(f.admin, "p", map[string]int{"gigabytes": 4})
		require.ErrorIs(t, err, nephos.ErrInvalid)
	})
}

func TestListsPageSortAndFilterInFewQueries(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		_, err := f.UpdateQuotas(f.admin, "p", map[string]int{"volumes": -1})
		require.NoError(t, err)
		var ids []string
		for i := range 7 {
			f.clock.Advance(time.Second)
			v, err := f.CreateVolume(f.user, blockstorage.VolumeSpec{
				Name: ptr(fmt.Sprintf("v%d", i)), SizeGiB: 1 + i%2, Metadata: map[string]string{"Parity": fmt.Sprint(i % 2), "i": fmt.Sprint(i)},
			})
			require.NoError(t, err)
			ids = append(ids, v.ID)
		}
		f.settle()
		for _, sort := range [][]nephos.SortKey{nil, {{Key: "name"}}, {{Key: "size", Desc: true}, {Key: "name"}}} {
			var seen []string
			p := nephos.Page{Limit: 3, Sort: sort}
			for {
				ctx, queries := store.CountQueries(f.user)
				vs, more, err := f.ListVolumes(ctx, blockstorage.VolumeFilter{}, p)
				require.NoError(t, err)
				require.LessOrEqual(t, queries.Load(), int64(3))
				for _, v := range vs {
					seen = append(seen, v.ID)
				}
				if !more {
					break
				}
				p.Marker = vs[len(vs)-1].ID
			}
			require.ElementsMatch(t, ids, seen)
			if sort == nil {
				require.Equal(t, ids[6], seen[0], "newest first")
			}
		}
		for _, tc := range []struct {
			f    blockstorage.VolumeFilter
			want int
		}{
			{blockstorage.VolumeFilter{Match: map[string]string{"name": "v3"}}, 1},
			{blockstorage.VolumeFilter{Match: map[string]string{"name~": "V"}}, 7},
			{blockstorage.VolumeFilter{Match: map[string]string{"name~": "%"}}, 0},
			{blockstorage.VolumeFilter{Match: map[string]string{"status": "available", "size": "2"}}, 3},
			{blockstorage.VolumeFilter{Match: map[string]string{"bootable": "true"}}, 0},
			{blockstorage.VolumeFilter{Match: map[string]string{"nonsense": "1"}}, 0},
			{blockstorage.VolumeFilter{Metadata: map[string]string{"Parity": "1"}}, 3},
			{blockstorage.VolumeFilter{Metadata: map[string]string{"parity": "1"}}, 0},
			{blockstorage.VolumeFilter{Metadata: map[string]string{"Parity": "1", "i": "3"}}, 1},
			{blockstorage.VolumeFilter{Metadata: map[string]string{"i": "%"}}, 0},
			{blockstorage.VolumeFilter{Offset: 5}, 2},
			{blockstorage.VolumeFilter{Times: []blockstorage.TimeMatch{{Field: "created_at", Op: "lt", Value: f.clock.Now()}}}, 6},
		} {
			vs, _, err := f.ListVolumes(f.user, tc.f, nephos.Page{})
			require.NoError(t, err)
			require.Len(t, vs, tc.want, "%+v", tc.f)
			n, err := f.CountVolumes(f.user, tc.f)
			require.NoError(t, err)
			require.Equal(t, tc.want, n-tc.f.Offset)
		}
		_, _, err = f.ListVolumes(f.user, blockstorage.VolumeFilter{}, nephos.Page{Marker: "nosuch"})
		require.ErrorIs(t, err, nephos.ErrNotFound)
		sum, err := f.SummarizeVolumes(f.user, blockstorage.VolumeFilter{})
		require.NoError(t, err)
		require.Equal(t, 7, sum.Count)
		require.Equal(t, 10, sum.SizeGiB)
		require.Equal(t, []string{"0", "1"}, sum.Metadata["Parity"])
	})
}

func TestAnIdempotencyKeyMakesOneVolume(t *testing.T) {
	f := sqlite(t)
	ctx := nephos.WithIdempotency(f.user, nephos.Idempotency{Key: "k", Digest: "d"})
	a, err := f.CreateVolume(ctx, blockstorage.VolumeSpec{SizeGiB: 1})
	require.NoError(t, err)
	b, err := f.CreateVolume(ctx, blockstorage.VolumeSpec{SizeGiB: 1})
	require.NoError(t, err)
	require.Equal(t, a.ID, b.ID)
}
