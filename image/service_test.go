package image_test

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the API's checksum
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// clock moves only when told to.
type clock struct {
	*nephos.VirtualClock
	asked chan struct{} // receives when somebody begins to wait
	stuck atomic.Bool   // whoever begins to wait is never woken
}

func newClock() *clock {
	return &clock{VirtualClock: nephos.NewVirtualClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), asked: make(chan struct{}, 1000)}
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	defer func() { c.asked <- struct{}{} }() // when the wait has begun
	if c.stuck.Load() {
		return nil
	}
	return c.VirtualClock.After(d)
}

// world is an image service with what stands around it.
type world struct {
	*image.Service
	t     *testing.T
	db    *store.DB
	clock *clock
	blobs *blob.Store
	queue *reconcile.Queue
}

func newWorld(t *testing.T, db *store.DB, c *clock, change ...func(*image.Config)) *world {
	t.Helper()
	rules, err := policy.New(policy.Base(), image.Rules())
	require.NoError(t, err)
	blobs, err := blob.NewStore(t.Context(), mem.New(mem.Config{}), blob.StoreOptions{})
	require.NoError(t, err)
	cfg := image.Config{Store: db, Policy: rules, Blobs: []*blob.Store{blobs}, Clock: c, InternalURL: "http://images.internal/image/"}
	for _, f := range change {
		f(&cfg)
	}
	s, err := image.New(cfg)
	require.NoError(t, err)
	q := reconcile.New(reconcile.Config{Store: db, Clock: c})
	for _, k := range s.Kinds() {
		q.Add(k)
	}
	return &world{Service: s, t: t, db: db, clock: c, blobs: cfg.Blobs[0], queue: q}
}

func each(t *testing.T, f func(t *testing.T, w *world)) {
	c := newClock()
	storetest.Each(t, c, []store.Migrations{image.Migrations()}, func(t *testing.T, db *store.DB) { f(t, newWorld(t, db, c)) })
}

func as(t testing.TB, project string, roles ...string) context.Context {
	if len(roles) == 0 {
		roles = []string{"member", "reader"}
	}
	return nephos.WithCaller(t.Context(), nephos.Caller{UserID: "u-" + project, ProjectID: project, Roles: roles})
}

func admin(t testing.TB) context.Context { return as(t, "ops", "admin", "member", "reader") }

func service(t testing.TB, project string) context.Context {
	return nephos.WithCaller(t.Context(), nephos.Service("compute", nephos.Caller{UserID: "u", ProjectID: project}))
}

func ptr[T any](v T) *T { return &v }

func (w *world) create(ctx context.Context, spec image.Spec) image.Image {
	w.t.Helper()
	img, err := w.CreateImage(ctx, spec)
	require.NoError(w.t, err)
	return img
}

func raw(name string) image.Spec {
	return image.Spec{Name: &name, DiskFormat: "raw", ContainerFormat: "bare"}
}

// objects returns how many objects the blob store holds.
func (w *world) objects() int {
	n := 0
	require.NoError(w.t, w.blobs.List(w.t.Context(), func(blob.Object) bool { n++; return true }))
	return n
}

func (w *world) status(ctx context.Context, id string) string {
	w.t.Helper()
	img, err := w.Image(ctx, id)
	require.NoError(w.t, err)
	return img.Status
}

// settle does all work that comes due within an hour.
func (w *world) settle() {
	w.t.Helper()
	w.clock.Advance(time.Hour)
	require.NoError(w.t, w.queue.Settle(w.t.Context()))
}

func TestAnImageIsCreatedUploadedAndDownloaded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := as(t, "a")
		img := w.create(ctx, image.Spec{
			Name: ptr("x"), DiskFormat: "raw", ContainerFormat: "bare", Tags: []string{"b", "a", "b"},
			Properties: map[string]string{"os_distro": "debian"},
		})
		require.Equal(t, image.Queued, img.Status)
		require.Equal(t, image.Shared, img.Visibility)
		require.Equal(t, "a", img.Owner)
		require.Equal(t, []string{"a", "b"}, img.Tags)

		_, r, err := w.Download(ctx, img.ID, nil)
		require.NoError(t, err)
		require.Nil(t, r, "there is nothing to download")

		data := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
		require.NoError(t, w.Upload(ctx, img.ID, bytes.NewReader(data), int64(len(data))))
		got, err := w.Image(ctx, img.ID)
		require.NoError(t, err)
		require.Equal(t, image.Active, got.Status)
		require.Equal(t, int64(len(data)), *got.Size)
		require.Equal(t, int64(len(data)), *got.VirtualSize)
		sum, long := md5.Sum(data), sha512.Sum512(data) //nolint:gosec // the API's checksum
		require.Equal(t, hex.EncodeToString(sum[:]), got.Checksum)
		require.Equal(t, "sha512", got.HashAlgo)
		require.Equal(t, hex.EncodeToString(long[:]), got.HashValue)
		require.Equal(t, map[string]string{"os_distro": "debian"}, got.Properties)

		_, r, err = w.Download(ctx, img.ID, func(size int64) (int64, int64, error) {
			require.Equal(t, int64(len(data)), size)
			return 16, 4, nil
		})
		require.NoError(t, err)
		part, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Equal(t, "0123", string(part))

		require.ErrorIs(t, w.Upload(ctx, img.ID, strings.NewReader("x"), 1), nephos.ErrConflict, "bytes never change")
		w.settle()
		require.Equal(t, 1, w.objects(), "the work that looks after the object keeps it")
		require.NoError(t, w.DeleteImage(ctx, img.ID))
		w.settle()
		require.Zero(t, w.objects())
		_, err = w.CreateImage(ctx, image.Spec{ID: img.ID})
		require.ErrorIs(t, err, nephos.ErrConflict, "an ID that was trusted is not given to other bytes")

		events, err := w.db.Events(ctx, 0, 100)
		require.NoError(t, err)
		var types []string
		for _, e := range events {
			types = append(types, e.Type)
			require.Equal(t, "a", e.ProjectID)
		}
		require.Equal(t, []string{"image.create", "image.upload", "image.activate", "image.delete"}, types)
	})
}

// broken is a body that ends with an error.
type broken struct{ r io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestAFailedUploadLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := as(t, "a")
		img := w.create(ctx, raw("x"))
		big := strings.Repeat("x", 3<<20)
		qcow := "QFI\xfb\x00\x00\x00\x03" + strings.Repeat("\x00", 1000)
		for name, c := range map[string]struct {
			body io.Reader
			size int64
			kind error
		}{
			"cut short":      {broken{strings.NewReader(big)}, 4 << 20, nephos.ErrInvalid},
			"wrong length":   {strings.NewReader(big), 4 << 20, nephos.ErrInvalid},
			"other content":  {strings.NewReader(qcow), int64(len(qcow)), nephos.ErrInvalid},
			"much too large": {strings.NewReader("x"), 1 << 50, nephos.ErrTooLarge},
		} {
			err := w.Upload(ctx, img.ID, c.body, c.size)
			require.ErrorIs(t, err, c.kind, name)
			require.Equal(t, name == "other content", image.RejectedContent(err), name)
			require.Equal(t, image.Queued, w.status(ctx, img.ID), name)
			require.Zero(t, w.objects(), name)
		}
		require.NoError(t, w.Upload(ctx, img.ID, strings.NewReader("ok"), -1), "it can be tried again")
		w.settle()
		require.Equal(t, image.Active, w.status(ctx, img.ID))
		require.Equal(t, 1, w.objects())
	})
}

// waitForClock waits until somebody waits for the clock.
func (w *world) waitForClock() {
	w.t.Helper()
	select {
	case <-w.clock.asked:
	case <-time.After(10 * time.Second):
		w.t.Fatal("nobody waits for the clock")
	}
}

func TestAnUploadThatIsAliveIsLeftAloneAndADeadOneGivenUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := as(t, "a")
		img := w.create(ctx, raw("x"))
		for len(w.clock.asked) > 0 {
			<-w.clock.asked
		}
		body, send := io.Pipe()
		done := make(chan error, 1)
		go func() { done <- w.Upload(ctx, img.ID, body, -1) }()
		w.waitForClock()
		defer w.clock.stuck.Store(false) // the next database has the same clock
		for i := range 6 {               // two leases pass, with heartbeats
			w.clock.stuck.Store(i == 5) // the last one, as those of a dead process
			w.clock.Advance(20 * time.Second)
			w.waitForClock()
			require.NoError(t, w.queue.Settle(ctx))
			require.Equal(t, image.Saving, w.status(ctx, img.ID))
		}
		require.NoError(t, w.db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.NewRaw("UPDATE image_uploads SET beat_at = ?", w.clock.Now().Add(-2*time.Minute)).Exec(ctx)
			return err
		}))
		for range 2 { // due when the last heartbeat said
			w.clock.Advance(time.Minute)
			require.NoError(t, w.queue.Settle(ctx))
		}
		require.Equal(t, image.Queued, w.status(ctx, img.ID))

		// Another upload begins; the one that only seemed dead cannot spoil it.
		require.NoError(t, w.Upload(ctx, img.ID, strings.NewReader("second"), 6))
		_, err := send.Write([]byte("first"))
		require.NoError(t, err)
		require.NoError(t, send.Close())
		require.ErrorIs(t, <-done, nephos.ErrGone)
		w.settle()
		require.Equal(t, 1, w.objects())
		_, r, err := w.Open(ctx, img.ID)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, "second", string(got))
	})
}

// crashing is a process that ends at a point, and the next one, on the same database
// and blobs.
func crashing(t *testing.T, at string) (w, next *world) {
	c := newClock()
	db := storetest.Open(t, c, image.Migrations())
	w = newWorld(t, db, c, func(cfg *image.Config) {
		cfg.Crash = func(name string) {
			if name == at {
				panic(reconcile.Crash{At: name})
			}
		}
	})
	return w, newWorld(t, db, c, func(cfg *image.Config) { cfg.Blobs = []*blob.Store{w.blobs} })
}

func TestACrashDuringAnUploadIsRepaired(t *testing.T) {
	for _, at := range []string{"upload begun", "upload stored"} {
		t.Run(at, func(t *testing.T) {
			w, next := crashing(t, at)
			ctx := as(t, "a")
			img := w.create(ctx, raw("x"))
			require.Panics(t, func() { _ = w.Upload(ctx, img.ID, strings.NewReader("bytes"), 5) })
			require.Equal(t, image.Saving, next.status(ctx, img.ID))
			require.NoError(t, next.queue.Settle(ctx))
			require.Equal(t, image.Saving, next.status(ctx, img.ID), "it may still be alive")
			next.settle()
			require.Equal(t, image.Queued, next.status(ctx, img.ID))
			require.Zero(t, next.objects())
			require.NoError(t, next.Upload(ctx, img.ID, strings.NewReader("bytes"), 5))
		})
	}
}

func TestAnImageDeletedDuringItsUploadIsGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := as(t, "a")
		img := w.create(ctx, raw("x"))
		body, send := io.Pipe()
		done := make(chan error, 1)
		go func() { done <- w.Upload(ctx, img.ID, body, -1) }()
		_, err := send.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, w.DeleteImage(ctx, img.ID))
		require.NoError(t, send.Close())
		require.ErrorIs(t, <-done, nephos.ErrGone)
		w.settle()
		require.Zero(t, w.objects())
	})
}

func TestWhoSeesWhat(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b, adm := as(t, "a"), as(t, "b"), admin(t)
		private := w.create(a, image.Spec{Name: ptr("private"), Visibility: image.Private})
		shared := w.create(a, image.Spec{Name: ptr("shared")})
		community := w.create(a, image.Spec{Name: ptr("community"), Visibility: image.Community})
		public := w.create(adm, image.Spec{Name: ptr("public"), Visibility: image.Public})
		hidden := w.create(a, image.Spec{Name: ptr("hidden"), Hidden: true})
		_, err := w.CreateImage(a, image.Spec{Visibility: image.Public})
		require.ErrorIs(t, err, nephos.ErrForbidden)
		_, err = w.CreateImage(a, image.Spec{Owner: ptr("b")})
		require.ErrorContains(t, err, "You are not permitted to create images owned by 'b'")
		_, err = w.CreateImage(as(t, "a", "reader"), image.Spec{})
		require.ErrorIs(t, err, nephos.ErrForbidden)

		for _, c := range []struct {
			ctx  context.Context
			id   string
			kind error
		}{
			{b, private.ID, nephos.ErrNotFound},
			{b, shared.ID, nephos.ErrNotFound},
			{b, community.ID, nil},
			{b, public.ID, nil},
			{adm, private.ID, nil},
			{service(t, "b"), private.ID, nil},
			{as(t, "a", "reader"), private.ID, nil},
			{as(t, "a", "nothing"), private.ID, nephos.ErrNotFound},
			{t.Context(), public.ID, nephos.ErrUnauthenticated},
			{t.Context(), private.ID, nephos.ErrUnauthenticated},
		} {
			_, err := w.Image(c.ctx, c.id)
			require.ErrorIs(t, err, c.kind)
		}
		for _, id := range []string{private.ID, shared.ID} {
			require.ErrorIs(t, w.DeleteImage(b, id), nephos.ErrNotFound)
			_, err := w.UpdateImage(b, id, []image.Change{{Op: image.Replace, Name: "name", Value: "x"}})
			require.ErrorIs(t, err, nephos.ErrNotFound)
			require.ErrorIs(t, w.Upload(b, id, strings.NewReader(""), 0), nephos.ErrNotFound)
			require.ErrorIs(t, w.Deactivate(b, id), nephos.ErrNotFound)
			require.ErrorIs(t, w.AddTag(b, id, "x"), nephos.ErrNotFound)
			_, _, err = w.Download(b, id, nil)
			require.ErrorIs(t, err, nephos.ErrNotFound)
		}
		require.ErrorIs(t, w.DeleteImage(b, public.ID), nephos.ErrForbidden)
		require.ErrorIs(t, w.AddTag(as(t, "a", "reader"), private.ID, "x"), nephos.ErrForbidden)

		names := func(ctx context.Context, f image.Filter) []string {
			imgs, _, err := w.ListImages(ctx, f, nephos.Page{Sort: []nephos.SortKey{{Key: "name"}}})
			require.NoError(t, err)
			out := []string{}
			for _, i := range imgs {
				out = append(out, *i.Name)
			}
			return out
		}
		visible := image.Filter{Hidden: ptr(false)}
		require.Equal(t, []string{"community", "private", "public", "shared"}, names(a, visible))
		require.Equal(t, []string{"hidden"}, names(a, image.Filter{Hidden: ptr(true)}))
		require.Equal(t, []string{"public"}, names(b, visible))
		require.Equal(t, []string{"community", "public"}, names(b, image.Filter{Visibility: "all"}))
		require.Equal(t, []string{"community"}, names(b, image.Filter{Visibility: image.Community}))
		require.Equal(t, []string{"hidden", "private", "public", "shared"}, names(adm, image.Filter{}))

		// Sharing shows it, by ID at once, in lists once it is accepted.
		_, err = w.AddMember(a, shared.ID, "b")
		require.NoError(t, err)
		_, err = w.Image(b, shared.ID)
		require.NoError(t, err)
		require.Equal(t, []string{"public"}, names(b, visible))
		require.Equal(t, []string{"public", "shared"}, names(b, image.Filter{MemberStatus: image.Pending}))
		_, err = w.UpdateMember(a, shared.ID, "b", image.Accepted)
		require.ErrorIs(t, err, nephos.ErrForbidden, "it is the member's to accept")
		_, err = w.UpdateMember(b, shared.ID, "b", image.Accepted)
		require.NoError(t, err)
		require.Equal(t, []string{"public", "shared"}, names(b, visible))
		require.ErrorIs(t, w.DeleteImage(b, shared.ID), nephos.ErrForbidden)
		_, err = w.AddMember(b, shared.ID, "c")
		require.ErrorIs(t, err, nephos.ErrForbidden)
		keyed := nephos.WithIdempotency(a, nephos.Idempotency{Key: "k", Digest: "c"})
		for range 2 {
			m, err := w.AddMember(keyed, shared.ID, "c")
			require.NoError(t, err, "a retry")
			require.Equal(t, "c", m.MemberID)
		}
		all, err := w.ListMembers(a, shared.ID)
		require.NoError(t, err)
		require.Len(t, all, 2)
		own, err := w.ListMembers(b, shared.ID)
		require.NoError(t, err)
		require.Len(t, own, 1, "a member does not learn of others")
		_, err = w.Member(b, shared.ID, "c")
		require.ErrorIs(t, err, nephos.ErrNotFound)
		_, err = w.AddMember(a, shared.ID, "c")
		require.ErrorIs(t, err, nephos.ErrConflict)
		_, err = w.AddMember(a, private.ID, "c")
		require.ErrorIs(t, err, nephos.ErrForbidden)
		require.NoError(t, w.RemoveMember(a, shared.ID, "b"))
		_, err = w.Image(b, shared.ID)
		require.ErrorIs(t, err, nephos.ErrNotFound)
		_ = hidden
	})
}

func TestADeactivatedImageIsForAdminsOnly(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := as(t, "a")
		img := w.create(ctx, raw("x"))
		require.ErrorContains(t, w.Deactivate(ctx, img.ID), "Not allowed to deactivate image in status 'queued'")
		require.NoError(t, w.Upload(ctx, img.ID, strings.NewReader("x"), 1))
		require.NoError(t, w.Deactivate(ctx, img.ID))
		require.NoError(t, w.Deactivate(ctx, img.ID))
		_, _, err := w.Download(ctx, img.ID, nil)
		require.ErrorIs(t, err, nephos.ErrForbidden)
		_, r, err := w.Download(admin(t), img.ID, nil)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		w.settle()
		require.Equal(t, 1, w.objects(), "its object stays")
		require.NoError(t, w.Reactivate(ctx, img.ID))
		_, r, err = w.Download(ctx, img.ID, nil)
		require.NoError(t, err)
		require.NoError(t, r.Close())
	})
}

func TestListsCostAConstantNumberOfQueriesAndPageCompletely(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := as(t, "a")
		for i := range 23 {
			spec := raw(string(rune('a' + i%5)))
			spec.Tags, spec.Properties = []string{"t"}, map[string]string{"p": "v"}
			if i%3 == 0 {
				spec.Name = nil
			}
			w.create(ctx, spec)
			if i%4 == 0 {
				w.clock.Advance(time.Second)
			}
		}
		count := func(limit int) int64 {
			counted, n := store.CountQueries(ctx)
			imgs, _, err := w.ListImages(counted, image.Filter{}, nephos.Page{Limit: limit})
			require.NoError(t, err)
			require.Len(t, imgs, limit)
			return n.Load()
		}
		require.Equal(t, count(1), count(20))
		for _, sort := range [][]nephos.SortKey{
			nil,
			{{Key: "name"}},
			{{Key: "name", Desc: true}},
			{{Key: "size"}, {Key: "created_at", Desc: true}},
			{{Key: "disk_format", Desc: true}, {Key: "name"}},
			{{Key: "id"}},
			{{Key: "updated_at"}},
			{{Key: "status"}},
		} {
			whole, more, err := w.ListImages(ctx, image.Filter{}, nephos.Page{Sort: sort})
			require.NoError(t, err)
			require.False(t, more)
			require.Len(t, whole, 23)
			var paged []image.Image
			p := nephos.Page{Limit: 4, Sort: sort}
			for {
				part, more, err := w.ListImages(ctx, image.Filter{}, p)
				require.NoError(t, err)
				paged = append(paged, part...)
				if !more {
					break
				}
				p.Marker = part[len(part)-1].ID
			}
			require.Equal(t, whole, paged, "%v", sort)
		}
		_, _, err := w.ListImages(ctx, image.Filter{}, nephos.Page{Marker: "no-such"})
		require.ErrorIs(t, err, nephos.ErrInvalid)
	})
}

func TestServicesMakeAnImageOnceForEachOwner(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := service(t, "a")
		_, err := w.EnsureImage(as(t, "a"), "server/1", raw("x"))
		require.ErrorIs(t, err, nephos.ErrForbidden, "it is for services")
		one, err := w.EnsureImage(ctx, "server/1", raw("x"))
		require.NoError(t, err)
		require.Equal(t, "a", one.Owner)
		two, err := w.EnsureImage(ctx, "server/1", raw("y"))
		require.NoError(t, err)
		require.Equal(t, one, two)
		got, err := w.UpdateOwned(ctx, "server/1", image.OwnedUpdate{MinDisk: ptr(int64(3)), Properties: map[string]string{"k": "v"}})
		require.NoError(t, err)
		require.Equal(t, int64(3), got.MinDisk)
		seen, err := w.Image(as(t, "a"), one.ID)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"k": "v"}, seen.Properties)
		require.NoError(t, w.DeleteOwned(ctx, "server/1"))
		require.NoError(t, w.DeleteOwned(ctx, "server/1"))
		_, err = w.Image(ctx, one.ID)
		require.ErrorIs(t, err, nephos.ErrNotFound)

		again, err := w.EnsureImage(ctx, "server/1", raw("x"))
		require.NoError(t, err, "its owner may begin again")
		require.NoError(t, w.DeleteImage(as(t, "a"), again.ID))
		_, err = w.EnsureImage(ctx, "server/1", raw("x"))
		require.ErrorIs(t, err, nephos.ErrGone, "what its project deleted does not come back")
		require.NoError(t, w.DeleteOwned(ctx, "server/1"))
	})
}

func TestQuotasAreKept(t *testing.T) {
	c := newClock()
	storetest.Each(t, c, []store.Migrations{image.Migrations()}, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, c, func(cfg *image.Config) {
			cfg.Limits = image.Limits{Count: 2, TotalMiB: 1, ImageSize: 3 << 20, Properties: 1, Tags: 1, Members: 1}
		})
		ctx := as(t, "a")
		x, y := w.create(ctx, raw("x")), w.create(ctx, raw("y"))
		_, err := w.CreateImage(ctx, raw("z"))
		require.ErrorIs(t, err, nephos.ErrQuota)
		_, err = w.CreateImage(as(t, "b"), raw("z"))
		require.NoError(t, err, "another project has its own")
		body := strings.Repeat("x", 3<<20)
		require.ErrorIs(t, w.Upload(ctx, x.ID, strings.NewReader(body+"x"), -1), nephos.ErrTooLarge)
		require.NoError(t, w.Upload(ctx, x.ID, strings.NewReader(body), -1))
		require.ErrorIs(t, w.Upload(ctx, y.ID, strings.NewReader("x"), -1), nephos.ErrQuota)
		u, err := w.Usage(ctx)
		require.NoError(t, err)
		require.Equal(t, map[string]image.Quota{
			"image_size_total": {Usage: 3, Limit: 1}, "image_stage_total": {Usage: 0, Limit: -1}, "image_count_total": {Usage: 2, Limit: 2}, "image_count_uploading": {Usage: 0, Limit: -1},
		}, u)
		require.NoError(t, w.AddTag(ctx, x.ID, "t"))
		require.ErrorIs(t, w.AddTag(ctx, x.ID, "u"), nephos.ErrTooLarge)
		_, err = w.AddMember(ctx, x.ID, "b")
		require.NoError(t, err)
		_, err = w.AddMember(ctx, x.ID, "c")
		require.ErrorIs(t, err, nephos.ErrTooLarge)
		_, err = w.UpdateImage(ctx, x.ID, []image.Change{{Name: "k", Value: "v"}, {Name: "l", Value: "v"}})
		require.ErrorIs(t, err, nephos.ErrTooLarge)
	})
}
