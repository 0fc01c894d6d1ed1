package watch_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
	"github.com/nephos-cloud/nephos/watch"
)

var (
	admin  = nephos.Caller{UserID: "root", ProjectID: "admins", Roles: []string{"admin", "member", "reader"}}
	member = nephos.Caller{UserID: "ann", ProjectID: "p1", Roles: []string{"member", "reader"}}
	other  = nephos.Caller{UserID: "bob", ProjectID: "p2", Roles: []string{"reader"}}
)

func as(t testing.TB, c nephos.Caller) context.Context { return nephos.WithCaller(t.Context(), c) }

func enforcer(t testing.TB) *policy.Enforcer {
	e, err := policy.New(policy.Base(), watch.Rules(), []policy.Rule{
		{Name: "os_compute_api:servers:show", Check: policy.RuleProjectReaderOrAdmin},
		{Name: "os_compute_api:os-keypairs:show", Check: "rule:context_is_admin or user_id:%(user_id)s"},
		{Name: "get_port", Check: policy.RuleProjectReaderOrAdmin},
	})
	require.NoError(t, err)
	return e
}

func newService(t testing.TB, db *store.DB, sources ...watch.Source) *watch.Service {
	s, err := watch.New(watch.Config{Store: db, Policy: enforcer(t), Sources: sources})
	require.NoError(t, err)
	return s
}

func emit(t testing.TB, db *store.DB, service, kind, id, project string, data any) {
	t.Helper()
	require.NoError(t, db.Tx(as(t, member), func(ctx context.Context, tx *store.Tx) error {
		return tx.Emit(ctx, store.Event{Service: service, Type: kind, ResourceID: id, ProjectID: project}, data)
	}))
}

func each(t *testing.T, f func(t *testing.T, db *store.DB)) {
	storetest.Each(t, nil, nil, f)
}

func open(t testing.TB, s *watch.Service, ctx context.Context, q watch.Query) *watch.Stream {
	t.Helper()
	st, err := s.Open(ctx, q)
	require.NoError(t, err)
	t.Cleanup(st.Close)
	return st
}

// take reads n events.
func take(t testing.TB, ctx context.Context, st *watch.Stream, n int) []watch.Event {
	t.Helper()
	var all []watch.Event
	for len(all) < n {
		events, err := st.Next(ctx)
		require.NoError(t, err)
		all = append(all, events...)
	}
	require.Len(t, all, n)
	return all
}

func TestAStreamHoldsWhatItsCallerMaySee(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		s := newService(t, db)
		emit(t, db, "compute", "server.create", "early", "p1", nil)
		streams := map[string]*watch.Stream{}
		for name, c := range map[string]nephos.Caller{"admin": admin, "member": member, "other": other} {
			streams[name] = open(t, s, as(t, c), watch.Query{})
		}
		emit(t, db, "compute", "server.update", "s1", "p1", map[string]string{"state": "active", "host": "h1"})
		emit(t, db, "compute", "server.update", "s2", "p2", nil)
		emit(t, db, "compute", "keypair.create", "key", "p2", nil) // of member's, in another project
		emit(t, db, "identity", "user.update", "u1", "p1", nil)
		emit(t, db, "network", "port.delete", "n1", "p1", nil)
		emit(t, db, "network", "port.delete", "n2", "p2", nil)

		got := take(t, as(t, admin), streams["admin"], 6)
		require.Equal(t, "compute.server.update", got[0].Type)
		require.JSONEq(t, `{"state": "active", "host": "h1"}`, string(got[0].Data))
		require.Equal(t, "u1", got[3].ResourceID)
		got = take(t, as(t, member), streams["member"], 3)
		require.JSONEq(t, `{"state": "active"}`, string(got[0].Data))
		require.Equal(t, []string{"s1", "key", "n1"}, []string{got[0].ResourceID, got[1].ResourceID, got[2].ResourceID})
		got = take(t, as(t, other), streams["other"], 2)
		require.Equal(t, []string{"s2", "n2"}, []string{got[0].ResourceID, got[1].ResourceID})
	})
}

func TestAStreamResumesBehindItsToken(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		s := newService(t, db)
		first := open(t, s, as(t, member), watch.Query{Types: watch.Types{"server"}})
		for i := range 3 {
			emit(t, db, "compute", "server.update", fmt.Sprint(i), "p1", nil)
			emit(t, db, "network", "port.update", fmt.Sprint(i), "p1", nil)
		}
		got := take(t, as(t, member), first, 3)
		first.Close()
		// Another controller, with nothing at hand.
		again := open(t, newService(t, db), as(t, member), watch.Query{Types: watch.Types{"server"}, Since: got[0].Token})
		rest := take(t, as(t, member), again, 2)
		require.Equal(t, got[1:], rest)
	})
}

func TestTokensThatAreNoLongerGood(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		s := newService(t, db)
		st := open(t, s, as(t, admin), watch.Query{})
		emit(t, db, "compute", "server.update", "s1", "p1", nil)
		emit(t, db, "compute", "server.update", "s2", "p1", nil)
		got := take(t, as(t, admin), st, 2)
		for _, bad := range []string{"x", "####", got[0].Token + "A", got[0].Token[:20], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
			_, err := s.Open(as(t, admin), watch.Query{Since: bad})
			require.ErrorIs(t, err, nephos.ErrInvalid, bad)
		}
		require.NoError(t, db.Prune(t.Context(), db.Clock().Now().Add(time.Minute)))
		_, err := newService(t, db).Open(as(t, admin), watch.Query{Since: got[0].Token})
		require.ErrorIs(t, err, nephos.ErrGone)
		// Nothing that followed the last one was forgotten.
		last := open(t, newService(t, db), as(t, admin), watch.Query{Since: got[1].Token})
		emit(t, db, "compute", "server.update", "s3", "p1", nil)
		require.Equal(t, "s3", take(t, as(t, admin), last, 1)[0].ResourceID)
		// Another database, or this one set back.
		require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.SetCursor(ctx, "watch.epoch", 4711) }))
		_, err = newService(t, db).Open(as(t, admin), watch.Query{Since: got[1].Token})
		require.ErrorIs(t, err, nephos.ErrGone)
	})
}

func TestASlowReaderIsToldThatItMissedSomething(t *testing.T) {
	db := storetest.Open(t, nil)
	slow := open(t, newService(t, db), as(t, admin), watch.Query{})
	require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for i := range 3000 { // more than are kept at hand
			if err := tx.Emit(ctx, store.Event{Service: "compute", Type: "server.update", ResourceID: fmt.Sprint(i), ProjectID: "p1"}, nil); err != nil {
				return err
			}
		}
		return nil
	}))
	first, err := slow.Next(as(t, admin))
	require.NoError(t, err)
	require.Equal(t, "0", first[0].ResourceID) // read from the database
	require.NoError(t, db.Prune(t.Context(), db.Clock().Now().Add(time.Minute)))
	_, err = slow.Next(as(t, admin))
	require.ErrorIs(t, err, nephos.ErrGone)
}

func TestASnapshotComesFirst(t *testing.T) {
	db := storetest.Open(t, nil)
	var asked []string
	servers := watch.Source{Service: "compute", Resource: "server", List: func(ctx context.Context, p nephos.Page) ([]watch.Object, bool, error) {
		asked = append(asked, "server "+p.Marker)
		c, _ := nephos.CallerFrom(ctx)
		if p.Marker == "" {
			return []watch.Object{{ID: "s1", ProjectID: c.ProjectID, Data: map[string]string{"state": "active", "host": "h1"}}}, true, nil
		}
		return []watch.Object{{ID: "s2", ProjectID: c.ProjectID}}, false, nil
	}}
	denied := watch.Source{Service: "identity", Resource: "user", List: func(context.Context, nephos.Page) ([]watch.Object, bool, error) {
		return nil, false, nephos.Errorf(nephos.ErrForbidden, "no")
	}}
	ports := watch.Source{Service: "network", Resource: "port", List: func(context.Context, nephos.Page) ([]watch.Object, bool, error) {
		asked = append(asked, "port")
		return nil, false, nil
	}}
	s := newService(t, db, denied, servers, ports)
	st := open(t, s, as(t, member), watch.Query{Snapshot: true, Types: watch.Types{"compute.server.update", "identity"}})
	emit(t, db, "compute", "server.update", "s3", "p1", nil)
	got := take(t, as(t, member), st, 4)
	require.Equal(t, []string{"server ", "server s1"}, asked)
	require.Equal(t, []watch.Kind{watch.Present, watch.Present, watch.Synced, watch.Change}, []watch.Kind{got[0].Kind, got[1].Kind, got[2].Kind, got[3].Kind})
	require.Equal(t, "compute.server", got[0].Type)
	require.JSONEq(t, `{"state": "active"}`, string(got[0].Data))
	require.Empty(t, got[0].Token)
	again := open(t, s, as(t, member), watch.Query{Since: got[2].Token})
	require.Equal(t, "s3", take(t, as(t, member), again, 1)[0].ResourceID)
}

func TestFollowWakesWhoWaitsForTheResource(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		s := newService(t, db)
		var wg sync.WaitGroup
		for i := range 20 {
			id := fmt.Sprint("s", i%4)
			next, stop, err := s.Follow(t.Context(), id)
			require.NoError(t, err)
			wg.Go(func() {
				defer stop()
				if err := next(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		for i := range 4 {
			emit(t, db, "compute", "server.update", fmt.Sprint("s", i), "p1", nil)
		}
		wg.Wait()
		next, stop, err := s.Follow(t.Context(), "s9")
		require.NoError(t, err)
		defer stop()
		emit(t, db, "compute", "server.update", "s1", "p1", nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, next(ctx), context.Canceled)
	})
}

func TestStreamsAreBounded(t *testing.T) {
	db := storetest.Open(t, nil)
	s, err := watch.New(watch.Config{Store: db, Policy: enforcer(t), MaxReaders: 3, MaxStreams: 2})
	require.NoError(t, err)
	one := open(t, s, as(t, member), watch.Query{})
	open(t, s, as(t, member), watch.Query{})
	_, err = s.Open(as(t, member), watch.Query{})
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	open(t, s, as(t, other), watch.Query{})
	_, _, err = s.Follow(t.Context(), "s1")
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	one.Close()
	one.Close()
	open(t, s, as(t, member), watch.Query{})
	_, err = s.Open(t.Context(), watch.Query{})
	require.ErrorIs(t, err, nephos.ErrUnauthenticated)
}

func TestTypes(t *testing.T) {
	for _, c := range []struct {
		list string
		yes  []string
		no   []string
	}{
		{"", []string{"compute server.update"}, nil},
		{"*", []string{"compute server.update"}, nil},
		{"compute.server.update", []string{"compute server.update"}, []string{"compute server.updated", "compute server.delete", "network port.update"}},
		{"compute.server.*", []string{"compute server.update", "compute server.reboot.start"}, []string{"compute server_group.create"}},
		{"server, port.delete", []string{"compute server.update", "network port.delete"}, []string{"network port.update"}},
		{"network.*", []string{"network port.update", "network network.create"}, []string{"compute server.update"}},
	} {
		types, err := watch.ParseTypes(c.list)
		require.NoError(t, err, c.list)
		match := func(text string) bool {
			var service, kind string
			_, err := fmt.Sscan(text, &service, &kind)
			require.NoError(t, err)
			return types.Match(service, kind)
		}
		for _, text := range c.yes {
			require.True(t, match(text), "%s: %s", c.list, text)
		}
		for _, text := range c.no {
			require.False(t, match(text), "%s: %s", c.list, text)
		}
	}
	for _, bad := range []string{"Compute", ".server", "server.", "ser*", "*.update", "a b", "a..b", "ü", "server.*.*"} {
		_, err := watch.ParseTypes(bad)
		require.ErrorIs(t, err, nephos.ErrInvalid, bad)
	}
}

func FuzzParseTypes(f *testing.F) {
	f.Add("compute.server.*,port")
	f.Fuzz(func(t *testing.T, text string) {
		types, err := watch.ParseTypes(text)
		if err == nil {
			types.Match("compute", "server.update")
		}
	})
}

func FuzzToken(f *testing.F) {
	db := storetest.Open(f, nil)
	s := newService(f, db)
	st, err := s.Open(as(f, admin), watch.Query{})
	require.NoError(f, err)
	f.Add(st.Token())
	f.Add("AQ")
	st.Close()
	f.Fuzz(func(t *testing.T, text string) {
		st, err := s.Open(as(t, admin), watch.Query{Since: text})
		if err == nil {
			if text != "" && st.Token() != text {
				t.Errorf("%q was taken for %q", text, st.Token())
			}
			st.Close()
		}
	})
}

// From a commit to the one who waits for the resource, while many wait for
// others.
func BenchmarkFollow(b *testing.B) {
	for _, others := range []int{0, 1000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			db := storetest.Open(b, nil)
			s := newService(b, db)
			for i := range others {
				_, stop, err := s.Follow(b.Context(), fmt.Sprint("other", i))
				require.NoError(b, err)
				defer stop()
			}
			next, stop, err := s.Follow(b.Context(), "one")
			require.NoError(b, err)
			defer stop()
			for b.Loop() {
				emit(b, db, "compute", "server.update", "one", "p1", nil)
				require.NoError(b, next(b.Context()))
			}
		})
	}
}

// From a commit to a member's open stream.
func BenchmarkStream(b *testing.B) {
	db := storetest.Open(b, nil)
	s := newService(b, db)
	ctx := as(b, member)
	st := open(b, s, ctx, watch.Query{})
	for b.Loop() {
		emit(b, db, "compute", "server.update", "one", "p1", map[string]string{"state": "active", "host": "h1"})
		_, err := st.Next(ctx)
		require.NoError(b, err)
	}
}
