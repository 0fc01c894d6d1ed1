//go:build ceph

package rbd

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/internal/cephtest"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// BenchmarkCeph measures the calls against a cluster of one memory-backed OSD on
// this machine: what the driver and librbd take, not what disks and networks do.
func BenchmarkCeph(b *testing.B) {
	c := cephtest.Start(b)
	c.Pool(b, "volumes")
	c.Pool(b, "images")
	d := openIn(b, config(c, ""))
	images := openImages(b, c, "")
	content := make([]byte, 64<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	n, err := images.Put(b.Context(), "image", bytes.NewReader(content), int64(len(content)))
	require.NoError(b, err)
	where, err := images.Location(b.Context(), "image")
	require.NoError(b, err)
	image := volume.ImageLocation{Location: where, Format: volume.FormatRaw, VirtualSize: n}
	one := volume.Spec{SizeGiB: 1}
	require.NoError(b, d.Create(b.Context(), "v", one))

	for name, call := range map[string]func(i int) error{
		"Create":         func(i int) error { return d.Create(b.Context(), fmt.Sprintf("c%d", i), one) },
		"Get":            func(int) error { _, err := d.Get(b.Context(), "v"); return err },
		"CreateSnapshot": func(i int) error { return d.CreateSnapshot(b.Context(), "v", fmt.Sprintf("s%d", i)) },
		"Clone":          func(i int) error { return d.Clone(b.Context(), fmt.Sprintf("d%d", i), one, "v") },
		"CloneImage64MiB": func(i int) error {
			return d.CloneImage(b.Context(), fmt.Sprintf("i%d", i), one, image)
		},
		"CreateFromImage64MiB": func(i int) error {
			return d.CreateFromImage(b.Context(), fmt.Sprintf("w%d", i), one,
				volume.Image{Body: bytes.NewReader(content), Format: volume.FormatRaw, Size: n, VirtualSize: n})
		},
		"ReadImage64MiB": func(int) error {
			r, err := images.Get(b.Context(), "image", 0, -1)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				_ = r.Close()
			}
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				require.NoError(b, call(i+b.N*1_000_000))
			}
		})
	}
}
