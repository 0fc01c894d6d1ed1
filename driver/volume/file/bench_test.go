package file

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/volume"
)

func BenchmarkCreate(b *testing.B) {
	d := open(b, Config{Dir: b.TempDir()})
	i := 0
	for b.Loop() {
		i++
		require.NoError(b, d.Create(b.Context(), fmt.Sprint("v", i), volume.Spec{SizeGiB: 1}))
	}
}

func BenchmarkCreateParallel(b *testing.B) {
	d := open(b, Config{Dir: b.TempDir()})
	var i atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := d.Create(b.Context(), fmt.Sprint("v", i.Add(1)), volume.Spec{SizeGiB: 1}); err != nil {
				b.Error(err)
			}
		}
	})
}

type ones struct{}

func (ones) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}

func BenchmarkCreateFromImage(b *testing.B) {
	d := open(b, Config{Dir: b.TempDir()})
	const size = 256 << 20
	b.SetBytes(size)
	i := 0
	for b.Loop() {
		i++
		id := fmt.Sprint("v", i)
		require.NoError(b, d.CreateFromImage(b.Context(), id, volume.Spec{SizeGiB: 1},
			volume.Image{Body: io.LimitReader(ones{}, size), Format: volume.FormatRaw, Size: size, VirtualSize: size}))
		require.NoError(b, d.Delete(b.Context(), id))
	}
}

func BenchmarkSnapshot(b *testing.B) {
	d := open(b, Config{Dir: b.TempDir()})
	const size = 256 << 20
	require.NoError(b, d.CreateFromImage(b.Context(), "v", volume.Spec{SizeGiB: 1},
		volume.Image{Body: io.LimitReader(ones{}, size), Format: volume.FormatRaw, Size: size, VirtualSize: size}))
	b.SetBytes(size)
	for b.Loop() {
		require.NoError(b, d.CreateSnapshot(b.Context(), "v", "s"))
		require.NoError(b, d.DeleteSnapshot(b.Context(), "v", "s"))
	}
}

// BenchmarkNBD measures the two ends of serving a volume, while another is served,
// and reading it as a guest's QEMU does.
func BenchmarkNBD(b *testing.B) {
	needNBD(b)
	d := openNBD(b, Config{Dir: b.TempDir(), NBD: &NBD{Socket: socketFor(b, "")}})
	for _, id := range []string{"v", "w"} {
		require.NoError(b, d.Create(b.Context(), id, volume.Spec{SizeGiB: 1}))
	}
	c, err := d.Connect(b.Context(), "w", volume.Connector{AttachmentID: "a", Host: "away"})
	require.NoError(b, err)
	out, err := qemuIO(b, c, "write -P 1 0 64M")
	require.NoError(b, err, out)
	b.Run("Connect", func(b *testing.B) {
		for range b.N {
			_, err := d.Connect(b.Context(), "v", volume.Connector{AttachmentID: "a", Host: "away"})
			require.NoError(b, err)
			require.NoError(b, d.Disconnect(b.Context(), "v", volume.Connector{AttachmentID: "a"}))
		}
	})
	b.Run("Read64MiB", func(b *testing.B) {
		b.SetBytes(64 << 20)
		for range b.N {
			out, err := qemuIO(b, c, "read 0 64M")
			require.NoError(b, err, out)
		}
	})
}
