package blockstorage_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/image"
)

// typed makes a volume type.
func (f *fixture) typed(name string, specs map[string]string) blockstorage.Type {
	f.t.Helper()
	t, err := f.CreateType(f.admin, blockstorage.TypeSpec{Name: name, IsPublic: true, ExtraSpecs: specs})
	require.NoError(f.t, err)
	return t
}

func TestRetypeWhereTheVolumeIs(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		gold := f.typed("gold", map[string]string{"speed": "high"})
		v := f.make(blockstorage.VolumeSpec{SizeGiB: 2})
		require.ErrorIs(t, f.RetypeVolume(f.stranger, v.ID, blockstorage.RetypeSpec{Type: "gold"}), nephos.ErrNotFound)
		require.ErrorIs(t, f.RetypeVolume(f.reader, v.ID, blockstorage.RetypeSpec{Type: "gold"}), nephos.ErrForbidden)
		require.ErrorIs(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "copper"}), nephos.ErrNotFound)
		require.ErrorContains(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: v.TypeID}), "Retype needs volume to be")

		// The scheduler knows of no pool with that speed.
		require.NoError(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "gold"}))
		f.status(v.ID, blockstorage.Retyping)
		require.ErrorIs(t, f.DeleteType(f.admin, gold.ID), nephos.ErrInvalid)
		f.settle()
		v = f.volume(v.ID)
		require.Equal(t, blockstorage.Available, v.Status)
		require.Equal(t, "__DEFAULT__", v.TypeName)
		require.Equal(t, "Retype requires migration but is not allowed.", v.Reason)

		silver := f.typed("silver", map[string]string{"volume_backend_name": "fake", "quality:x": "1"})
		_, err := f.UpdateQuotas(f.admin, "p", map[string]int{"gigabytes_silver": 1})
		require.NoError(t, err)
		require.ErrorIs(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: silver.ID}), nephos.ErrQuota)
		_, err = f.UpdateQuotas(f.admin, "p", map[string]int{"gigabytes_silver": 2, "volumes": 1, "gigabytes": 2})
		require.NoError(t, err)
		require.NoError(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: silver.ID}))
		quotas, err := f.QuotaSet(f.user, "p")
		require.NoError(t, err)
		require.Equal(t, blockstorage.QuotaUse{Limit: 2, InUse: 2}, quotas["gigabytes_silver"])
		require.Equal(t, 2, quotas["gigabytes"].InUse)
		f.settle()
		v = f.volume(v.ID)
		require.Equal(t, "silver", v.TypeName)
		require.Equal(t, blockstorage.Available, v.Status, v.Reason)
		require.Contains(t, f.events(), "volume.retype")
		quotas, err = f.QuotaSet(f.user, "p")
		require.NoError(t, err)
		require.Equal(t, 0, quotas["gigabytes___DEFAULT__"].InUse)
		require.NoError(t, f.DeleteType(f.admin, gold.ID))
	})
}

// imaged makes a volume of the pool with that content.
func (f *fixture) imaged(content string) blockstorage.Volume {
	img := f.images.put(image.Image{Status: image.Active, DiskFormat: "raw", ContainerFormat: "bare"}, []byte(content))
	return f.make(blockstorage.VolumeSpec{SizeGiB: 5, ImageID: img.ID})
}

func (f *fixture) content(pool, id string) string {
	f.t.Helper()
	for _, p := range f.pools {
		if p.Name() == pool {
			r, err := p.Read(f.t.Context(), id)
			require.NoError(f.t, err)
			defer r.Close()
			b := make([]byte, 4)
			_, err = r.Read(b)
			require.NoError(f.t, err)
			return string(b)
		}
	}
	return ""
}

func TestRetypeMovesTheVolume(t *testing.T) {
	f, _, _ := twoPools(t)
	f.typed("quick", map[string]string{"volume_backend_name": "fast"})
	v := f.imaged("root")
	require.Equal(t, "slow", v.Pool)

	require.NoError(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "quick"}))
	f.settle()
	v = f.volume(v.ID)
	require.Equal(t, "slow", v.Pool)
	require.Equal(t, "Retype requires migration but is not allowed.", v.Reason)

	snap, err := f.CreateSnapshot(f.user, blockstorage.SnapshotSpec{VolumeID: v.ID})
	require.NoError(t, err)
	f.settle()
	require.NoError(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "quick", MayMove: true}))
	f.settle()
	require.Contains(t, f.volume(v.ID).Reason, "must not have snapshots")
	require.NoError(t, f.DeleteSnapshot(f.user, snap.ID, false))
	f.settle()

	require.NoError(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "quick", MayMove: true}))
	f.settle()
	v = f.volume(v.ID)
	require.Equal(t, blockstorage.Available, v.Status, v.Reason)
	require.Equal(t, "fast", v.Pool)
	require.Equal(t, "quick", v.TypeName)
	require.Equal(t, "success", v.MigrationStatus)
	require.Equal(t, "root", f.content("fast", v.ID))
	require.Empty(t, kept(t, f, "slow"))
}

func TestMigrate(t *testing.T) {
	f, fast, _ := twoPools(t)
	v := f.imaged("root")
	to := func(host string, lock bool) error {
		return f.MigrateVolume(f.admin, v.ID, blockstorage.MigrateSpec{Host: host, Lock: lock})
	}
	require.ErrorIs(t, f.MigrateVolume(f.user, v.ID, blockstorage.MigrateSpec{Host: "nephos@fast#fast"}), nephos.ErrForbidden)
	require.ErrorContains(t, to("nephos@nowhere#nowhere", false), "Invalid host: No available service named 'nephos@nowhere#nowhere'")
	require.ErrorContains(t, to("nephos@slow#slow", false), "destination host/cluster must be different")

	// A copy that fails leaves the volume as it was, and nothing elsewhere.
	fast.Inject(fake.Fault{Op: "CreateFromImage", Times: 1, Err: nephos.ErrNoCapacity})
	require.NoError(t, to("nephos@fast#fast", true))
	f.status(v.ID, blockstorage.Maintenance)
	require.ErrorIs(t, f.DeleteVolume(f.user, v.ID), nephos.ErrInvalid)
	f.settle()
	v = f.volume(v.ID)
	require.Equal(t, blockstorage.Available, v.Status)
	require.Equal(t, "error", v.MigrationStatus)
	require.Equal(t, "slow", v.Pool)
	require.Empty(t, kept(t, f, "fast"))

	require.NoError(t, to("nephos@fast#fast", false))
	v = f.volume(v.ID)
	require.Equal(t, blockstorage.Available, v.Status)
	require.Equal(t, "starting", v.MigrationStatus)
	_, err := f.CreateAttachment(f.user, blockstorage.AttachmentSpec{VolumeID: v.ID, ServerID: "s"})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = f.CreateSnapshot(f.user, blockstorage.SnapshotSpec{VolumeID: v.ID})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = f.CreateVolume(f.user, blockstorage.VolumeSpec{SourceVolumeID: v.ID})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	require.ErrorIs(t, f.ExtendVolume(f.user, v.ID, 9, false), nephos.ErrInvalid)
	require.ErrorIs(t, f.DeleteVolume(f.user, v.ID), nephos.ErrInvalid)
	f.settle()
	v = f.volume(v.ID)
	require.Equal(t, "success", v.MigrationStatus, v.Reason)
	require.Equal(t, "fast", v.Pool)
	require.Equal(t, "root", f.content("fast", v.ID))
	require.Empty(t, kept(t, f, "slow"))

	_, err = f.CompleteMigration(f.admin, v.ID, v.ID, false)
	require.ErrorContains(t, err, "expected target:")
	a, err := f.CreateAttachment(f.user, blockstorage.AttachmentSpec{VolumeID: v.ID, ServerID: "s", Connector: map[string]any{"host": "h"}})
	require.NoError(t, err)
	require.NoError(t, f.FinishAttachment(f.user, a.ID))
	require.ErrorIs(t, to("nephos@slow", false), errors.ErrUnsupported)
}

// An operator who interrupts a move gets the volume where it was.
func TestAResetEndsAMove(t *testing.T) {
	f, _, _ := twoPools(t)
	v := f.imaged("root")
	require.NoError(t, f.MigrateVolume(f.admin, v.ID, blockstorage.MigrateSpec{Host: "nephos@fast#fast", Lock: true}))
	require.NoError(t, f.ResetVolume(f.admin, v.ID, blockstorage.VolumeReset{Status: "available"}))
	f.settle()
	require.Equal(t, "slow", f.volume(v.ID).Pool)
	require.Empty(t, kept(t, f, "fast"))
	require.NoError(t, f.MigrateVolume(f.admin, v.ID, blockstorage.MigrateSpec{Host: "nephos@fast#fast"}))
	f.settle()
	require.Equal(t, "fast", f.volume(v.ID).Pool)
}

// An old copy that cannot be deleted is no obstacle to using the volume, and
// goes in the end.
func TestAnOldCopyGoesInTheEnd(t *testing.T) {
	f, _, slow := twoPools(t)
	v := f.imaged("root")
	slow.Inject(fake.Fault{Op: "Delete", Times: 30, Err: nephos.ErrUnavailable})
	require.NoError(t, f.MigrateVolume(f.admin, v.ID, blockstorage.MigrateSpec{Host: "nephos@fast#fast"}))
	f.settle()
	require.Equal(t, "completing", f.volume(v.ID).MigrationStatus)
	require.ErrorIs(t, f.MigrateVolume(f.admin, v.ID, blockstorage.MigrateSpec{Host: "nephos@slow#slow"}), nephos.ErrInvalid)
	_, err := f.CreateAttachment(f.user, blockstorage.AttachmentSpec{VolumeID: v.ID, ServerID: "s"})
	require.NoError(t, err)
	f.clock.Advance(3 * time.Hour)
	f.finish()
	require.Equal(t, "success", f.volume(v.ID).MigrationStatus)
	require.Empty(t, kept(t, f, "slow"))
}

// A volume is retyped to the other pool and migrated back with a kill at each
// point in turn: its bytes are there, once.
func TestACrashWhileMoving(t *testing.T) {
	f, _, _ := twoPools(t)
	f.typed("quick", map[string]string{"volume_backend_name": "fast"})
	f.typed("plain", nil)
	walked := 0
	for n := 1; ; n += stride {
		f.start(nil)
		v := f.imaged("root")
		c := &crasher{left: n}
		f.start(c.here)
		f.until(func() error {
			if f.volume(v.ID).TypeName == "quick" {
				return nil
			}
			return f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "quick", MayMove: true})
		})
		f.work()
		require.Equal(t, "fast", f.volume(v.ID).Pool, f.volume(v.ID).Reason)
		require.Empty(t, kept(t, f, "slow"))
		f.until(func() error {
			if f.volume(v.ID).TypeName == "plain" {
				return nil
			}
			return f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "plain"})
		})
		f.work()
		f.until(func() error {
			if f.volume(v.ID).Pool == "slow" {
				return nil
			}
			return f.MigrateVolume(f.admin, v.ID, blockstorage.MigrateSpec{Host: "nephos@slow#slow", Lock: true})
		})
		f.work()
		v = f.volume(v.ID)
		require.Equal(t, "success", v.MigrationStatus, v.Reason)
		require.Equal(t, blockstorage.Available, v.Status)
		require.Equal(t, "root", f.content("slow", v.ID))
		require.Empty(t, kept(t, f, "fast"))
		f.until(func() error { return ignoreNotFound(f.DeleteVolume(f.user, v.ID)) })
		f.work()
		f.empty()
		walked = n
		if c.left > 0 {
			break
		}
	}
	require.Greater(t, walked, 8, "the walk met too few points")
}
