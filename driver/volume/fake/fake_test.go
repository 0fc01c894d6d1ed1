package fake_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/driver/volume/volumetest"
)

func TestConformance(t *testing.T) {
	var states sync.Map
	var images sync.Map
	cluster := fake.NewCluster()
	open := func(_ drivertest.T, dir string) volume.Driver {
		state, _ := states.LoadOrStore(dir, &fake.State{})
		return fake.New(fake.Config{
			State: state.(*fake.State), FullReads: true, Cluster: cluster, Backend: dir,
			Image: func(_ context.Context, location string) ([]byte, error) {
				if content, ok := images.Load(location); ok {
					return content.([]byte), nil
				}
				return nil, errors.ErrUnsupported
			},
		})
	}
	volumetest.Run(t, open, volumetest.Options{
		Peer: open,
		Image: func(_ drivertest.T, _ volume.Driver, content []byte) volume.ImageLocation {
			images.Store("mem:///1", content)
			return volume.ImageLocation{Location: "mem:///1", Format: volume.FormatRaw, VirtualSize: int64(len(content))}
		},
		Write: func(t drivertest.T, d volume.Driver, c driver.Connection, offset int64, content []byte) {
			require.NoError(t, d.(*fake.Driver).State().Write(path.Base(c.Path), offset, content))
		},
	})
}

func TestConformanceWithoutAbilities(t *testing.T) {
	var states sync.Map
	volumetest.Run(t, func(_ drivertest.T, dir string) volume.Driver {
		state, _ := states.LoadOrStore(dir, &fake.State{})
		return fake.New(fake.Config{State: state.(*fake.State), Abilities: []string{}})
	}, volumetest.Options{})
}

// clock lets time pass at once, and remembers how much.
type clock struct{ passed time.Duration }

func (c *clock) Now() time.Time { return time.Unix(0, 0).Add(c.passed) }

func (c *clock) After(d time.Duration) <-chan time.Time {
	c.passed += d
	ch := make(chan time.Time, 1)
	ch <- c.Now()
	return ch
}

func TestFaults(t *testing.T) {
	c := &clock{}
	d := fake.New(fake.Config{Clock: c})
	broken := errors.New("broken")
	create := func(id string) error { return d.Create(t.Context(), id, volume.Spec{SizeGiB: 1}) }
	d.State().Inject(fake.Fault{Op: "Create", ID: "a", Times: 2, Err: broken})
	require.NoError(t, create("b"))
	require.ErrorIs(t, create("a"), broken)
	require.ErrorIs(t, create("a"), broken)
	require.NoError(t, create("a"))

	d.State().Inject(fake.Fault{Op: "Delete", Err: broken, After: true, Latency: time.Hour})
	require.ErrorIs(t, d.Delete(t.Context(), "a"), broken)
	require.Equal(t, time.Hour, c.passed)
	_, err := d.Get(t.Context(), "a")
	require.ErrorIs(t, err, nephos.ErrNotFound, "the work was done, the answer lost")
	d.State().ClearFaults()
	require.NoError(t, d.Delete(t.Context(), "b"))
}

func TestCapacity(t *testing.T) {
	d := fake.New(fake.Config{TotalGiB: 3})
	require.NoError(t, d.Create(t.Context(), "a", volume.Spec{SizeGiB: 2}))
	require.ErrorIs(t, d.Create(t.Context(), "b", volume.Spec{SizeGiB: 2}), nephos.ErrNoCapacity)
	require.ErrorIs(t, d.Extend(t.Context(), "a", 4, volume.ExtendOptions{}), nephos.ErrNoCapacity)
	require.NoError(t, d.Extend(t.Context(), "a", 3, volume.ExtendOptions{}))
	s, err := d.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 0.0, s.FreeGiB)
}

func TestReadsAreShort(t *testing.T) {
	d := fake.New(fake.Config{})
	content := bytes.Repeat([]byte("x"), 100_000)
	require.NoError(t, d.CreateFromImage(t.Context(), "v", volume.Spec{SizeGiB: 100},
		volume.Image{Body: bytes.NewReader(content), Format: volume.FormatRaw, Size: 100_000, VirtualSize: 100_000}))
	r, err := d.Read(t.Context(), "v")
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Len(t, got, 128<<10)
	require.Equal(t, content, got[:100_000])
}
