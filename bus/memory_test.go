package bus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/bus"
)

func TestAWatcherSeesWhatWasThereAndWhatChanges(t *testing.T) {
	m := bus.NewMemory(nil)
	require.NoError(t, m.Put(t.Context(), "h", "b", bus.Version{}, []byte("1")))
	require.NoError(t, m.Put(t.Context(), "h", "a", bus.Version{}, []byte("1")))
	require.NoError(t, m.Put(t.Context(), "other", "x", bus.Version{}, []byte("1")))
	w, err := m.Watch(t.Context(), "h")
	require.NoError(t, err)
	defer w.Close()
	entries, err := w.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, []bus.Entry{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("1")}}, entries)

	require.NoError(t, m.Put(t.Context(), "h", "b", bus.Version{}, []byte("2")))
	require.NoError(t, m.Put(t.Context(), "h", "b", bus.Version{}, []byte("3")))
	<-w.Ready()
	entries, err = w.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, []bus.Entry{{Key: "b", Value: []byte("3")}}, entries, "the last one only")

	require.NoError(t, m.Delete(t.Context(), "h", "b", bus.Version{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.Next(ctx)
	require.ErrorIs(t, err, context.Canceled, "absence tells nothing")
}

// Senders overtake one another: what is newer stays, whoever comes last.
func TestTheNewestVersionStays(t *testing.T) {
	m := bus.NewMemory(nil)
	w, err := m.Watch(t.Context(), "h")
	require.NoError(t, err)
	defer w.Close()
	read := func() []bus.Entry {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		entries, err := w.Next(ctx)
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
		return entries
	}
	put := func(epoch, revision int64, value string) {
		require.NoError(t, m.Put(t.Context(), "h", "k", bus.Version{Epoch: epoch, Revision: revision}, []byte(value)))
	}
	put(1, 2, "second")
	put(1, 1, "first")
	put(0, 9, "of an older epoch")
	require.Equal(t, []bus.Entry{{Key: "k", Value: []byte("second")}}, read())
	put(1, 1, "first")
	require.Empty(t, read(), "the watcher is not told of it either")
	put(1, 2, "second")
	require.Len(t, read(), 1, "the same again is sent again")
	put(2, 1, "third")
	require.NoError(t, m.Delete(t.Context(), "h", "k", bus.Version{Epoch: 1, Revision: 2}))
	require.Equal(t, []bus.Entry{{Key: "k", Value: []byte("third")}}, read(), "who deletes may be late, too")
	require.NoError(t, m.Delete(t.Context(), "h", "k", bus.Version{Epoch: 2, Revision: 1}))
	put(1, 1, "first")
	require.Len(t, read(), 1, "what was deleted is forgotten")
}

func TestReportsArriveInOrderAndAgainAfterAFailure(t *testing.T) {
	m := bus.NewMemory(nil)
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	got := map[string][]string{}
	failed, count := false, 0
	var wg sync.WaitGroup
	all := make(chan struct{})
	wg.Go(func() {
		_ = m.Reports(ctx, func(_ context.Context, host string, v []byte) error {
			mu.Lock()
			defer mu.Unlock()
			if string(v) == "k1 3" && !failed {
				failed = true
				return errors.New("not now")
			}
			got[string(v[:2])] = append(got[string(v[:2])], string(v[3:]))
			if count++; count == 100 {
				close(all)
			}
			return nil
		})
	})
	for i := range 10 {
		for k := range 10 {
			key := fmt.Sprintf("k%d", k)
			require.NoError(t, m.Report(ctx, "h", key, []byte(fmt.Sprintf("%s %d", key, i))))
		}
	}
	<-all
	cancel()
	wg.Wait()
	require.True(t, failed)
	for k, v := range got {
		require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, v, k)
	}
}

type echo struct{}

func (echo) Answer(_ context.Context, q string, in []byte) ([]byte, error) {
	return append([]byte(q+":"), in...), nil
}

func (echo) Stream(context.Context, string, []byte) (io.ReadWriteCloser, error) {
	return nil, errors.ErrUnsupported
}

func TestQuestionsReachAHostThatServes(t *testing.T) {
	m := bus.NewMemory(nil)
	_, err := m.Ask(t.Context(), "h", "q", nil)
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	stop, err := m.Serve(t.Context(), "h", echo{})
	require.NoError(t, err)
	out, err := m.Ask(t.Context(), "h", "q", []byte("in"))
	require.NoError(t, err)
	require.Equal(t, "q:in", string(out))
	stop()
	_, err = m.Dial(t.Context(), "h", "q", nil)
	require.ErrorIs(t, err, nephos.ErrUnavailable)
}

func TestEmptyingLosesEverythingAndSaysSo(t *testing.T) {
	m := bus.NewMemory(nil)
	require.NoError(t, m.Put(t.Context(), "h", "a", bus.Version{}, []byte("1")))
	require.NoError(t, m.Report(t.Context(), "h", "k", []byte("r")))
	m.Empty()
	<-m.Lost()
	n, err := m.Deliver(t.Context(), func(context.Context, string, []byte) error { return nil })
	require.NoError(t, err)
	require.Zero(t, n)
}
