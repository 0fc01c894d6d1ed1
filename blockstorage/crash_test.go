package blockstorage_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/reconcile"
)

// crasher kills the process at the n-th point that it comes to.
type crasher struct{ left int }

func (c *crasher) here(name string) {
	if c.left--; c.left == 0 {
		panic(reconcile.Crash{At: name})
	}
}

// survive runs a step of a client's, or of the queue's, that may be killed. A
// killed process is started again.
func (f *fixture) survive(what func() error) (crashed bool) {
	f.t.Helper()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case reconcile.Crash:
			crashed = true
			f.start(nil)
		default:
			panic(r)
		}
	}()
	require.NoError(f.t, what())
	return false
}

// until repeats what an owner does until it succeeds, working in between.
func (f *fixture) until(what func() error) {
	f.t.Helper()
	var last error
	for range 50 {
		done := false
		f.survive(func() error {
			last = what()
			done = last == nil
			if last != nil && !errors.Is(last, nephos.ErrInvalid) && !errors.Is(last, nephos.ErrConflict) {
				return last
			}
			return nil
		})
		if done {
			return
		}
		f.work()
	}
	require.NoError(f.t, last)
}

// work finishes all work, through crashes.
func (f *fixture) work() {
	f.t.Helper()
	for f.survive(func() error {
		for range 500 {
			if err := f.queue.Settle(f.t.Context()); err != nil {
				return err
			}
			due, ok, err := f.queue.NextDue(f.t.Context())
			if err != nil || !ok {
				return err
			}
			f.clock.Advance(due.Sub(f.clock.Now()) + 1000)
		}
		return errors.New("the work never ends")
	}) {
	}
}

// A server's volume is made of an image, attached, grown, snapshotted, moved,
// detached and deleted, with a kill at each point in turn: it always ends right
// and leaves nothing.
func TestACrashAnywhereLeaksNothing(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		img := f.images.put(image.Image{Status: image.Active, DiskFormat: "raw", ContainerFormat: "bare"}, []byte("root"))
		walked := 0
		for n := 1; ; n += stride {
			c := &crasher{left: n}
			f.start(c.here)
			key := fmt.Sprint("server ", n)
			var v blockstorage.Volume
			f.until(func() (err error) {
				v, err = f.EnsureVolume(f.compute, key, blockstorage.VolumeSpec{SizeGiB: 1, ImageID: img.ID})
				return err
			})
			spec := blockstorage.AttachSpec{VolumeID: v.ID, ServerID: key, Host: "h1", Mountpoint: "/dev/vda"}
			attach := func() error {
				a, err := f.EnsureAttachment(f.compute, key, spec)
				if err == nil {
					require.NotNil(t, a.Connection)
				}
				return err
			}
			f.until(attach)
			f.until(func() error { return f.CompleteAttachment(f.compute, key) })
			f.status(v.ID, blockstorage.InUse)

			f.until(func() error {
				if f.volume(v.ID).SizeGiB == 3 {
					return nil
				}
				return f.ExtendVolume(f.user, v.ID, 3, true)
			})
			f.work()
			f.status(v.ID, blockstorage.InUse)
			require.Equal(t, 3, f.volume(v.ID).SizeGiB)
			require.Equal(t, 3, f.pooled()[0].SizeGiB)

			var snap blockstorage.Snapshot
			f.until(func() (err error) {
				snap, err = f.EnsureSnapshot(f.compute, key, blockstorage.SnapshotSpec{VolumeID: v.ID})
				return err
			})
			f.work()
			require.Equal(t, []string{snap.ID}, f.pooled()[0].Snapshots)
			f.until(func() error { return ignoreNotFound(f.DeleteSnapshot(f.user, snap.ID, false)) })
			f.work()
			require.Empty(t, f.pooled()[0].Snapshots)

			spec.Host = "h2"
			f.until(attach)
			require.Len(t, f.state.Attachments(v.ID), 1)
			f.until(func() error { return f.BeginDetach(f.compute, key) })
			f.until(func() error { return f.ReleaseAttachment(f.compute, key) })
			f.status(v.ID, blockstorage.Available)
			require.Empty(t, f.state.Attachments(v.ID))
			f.until(func() error { return f.ReleaseVolume(f.compute, key) })
			f.work()
			f.empty()
			walked = n
			if c.left > 0 {
				break // no point was left to crash at
			}
		}
		require.Greater(t, walked, 20, "the walk met too few points")
	})
}

func ignoreNotFound(err error) error {
	if errors.Is(err, nephos.ErrNotFound) {
		return nil
	}
	return err
}
