package volume_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
)

func Example() {
	ctx := context.Background()
	pool, err := volume.NewPool(ctx, fake.New(fake.Config{}), volume.PoolOptions{Name: "ssd"})
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	_ = pool.Create(ctx, "vol1", volume.Spec{SizeGiB: 2})
	if pool.Can(volume.AbilityExtender) {
		_ = pool.Extend(ctx, "vol1", 3, volume.ExtendOptions{})
	}
	v, _ := pool.Get(ctx, "vol1")
	fmt.Println(v.SizeGiB, v.Format)
	// Output: 3 raw
}

func TestPoolNarrowsAbilities(t *testing.T) {
	p, err := volume.NewPool(t.Context(), fake.New(fake.Config{Abilities: []string{"Extender", "FutureThing"}}), volume.PoolOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{volume.AbilityExtender}, p.Abilities())
	require.True(t, p.Can(volume.AbilityExtender))
	require.ErrorIs(t, p.CreateSnapshot(t.Context(), "v", "s"), errors.ErrUnsupported)
}

func TestPoolRefusesTransactions(t *testing.T) {
	p, err := volume.NewPool(t.Context(), fake.New(fake.Config{}), volume.PoolOptions{})
	require.NoError(t, err)
	require.PanicsWithValue(t, "nephos: volume.Pool.List called inside a transaction", func() {
		_, _ = p.List(nephos.EnterTx(t.Context()))
	})
}

// stopped is a clock on which no time passes.
type stopped struct{ nephos.WallClock }

func (stopped) After(time.Duration) <-chan time.Time { return nil }

func TestPoolKeepsDeadline(t *testing.T) {
	d := fake.New(fake.Config{Clock: stopped{}})
	var seen []string
	p, err := volume.NewPool(t.Context(), d, volume.PoolOptions{
		Timeout: time.Millisecond,
		Observe: func(op string, _ time.Duration, err error) { seen = append(seen, fmt.Sprint(op, " ", err != nil)) },
	})
	require.NoError(t, err)
	d.State().Inject(fake.Fault{Op: "Create", Latency: time.Hour, Times: 1})
	err = p.Create(t.Context(), "v", volume.Spec{SizeGiB: 1})
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, p.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	require.Equal(t, []string{"Create true", "Create false"}, seen)
}

func FuzzCheckID(f *testing.F) {
	for _, s := range []string{"a", "../x", "a.raw", "", "-", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if volume.CheckID("id", id) == nil && (id == "" || id[0] == '.' || id[0] == '-' || strings.ContainsAny(id, "/@\x00 \n,:")) {
			t.Errorf("%q passes", id)
		}
	})
}
