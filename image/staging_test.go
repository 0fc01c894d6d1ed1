package image_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/image"
)

func TestAnImageIsStagedAndImported(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := as(t, "a")
		name := "x"
		img := w.create(ctx, image.Spec{Name: &name})
		require.ErrorIs(t, w.ImportStaged(ctx, img.ID, ""), nephos.ErrConflict)
		require.ErrorIs(t, w.Stage(as(t, "a", "reader"), img.ID, strings.NewReader("x"), 1), nephos.ErrForbidden)
		require.ErrorIs(t, w.Stage(as(t, "b"), img.ID, strings.NewReader("x"), 1), nephos.ErrNotFound)
		require.Equal(t, image.Queued, w.status(ctx, img.ID))

		require.NoError(t, w.Stage(ctx, img.ID, strings.NewReader("bytes"), -1), "formats are asked for later")
		w.settle()
		staged, err := w.Image(ctx, img.ID)
		require.NoError(t, err)
		require.Equal(t, image.Uploading, staged.Status, "it waits for its import for good")
		require.EqualValues(t, 5, *staged.Size)
		require.Empty(t, staged.Checksum)
		u, err := w.Usage(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, u["image_count_uploading"].Usage)
		_, body, err := w.Download(ctx, img.ID, nil)
		require.NoError(t, err)
		require.Nil(t, body)
		require.ErrorIs(t, w.Stage(ctx, img.ID, strings.NewReader("x"), 1), nephos.ErrConflict)
		require.ErrorIs(t, w.Upload(ctx, img.ID, strings.NewReader("x"), 1), nephos.ErrConflict)
		require.ErrorContains(t, w.ImportStaged(ctx, img.ID, ""), "'container_format' needs to be set before import")
		require.NoError(t, w.DeleteImage(ctx, img.ID))

		img = w.create(ctx, raw("y"))
		require.NoError(t, w.Stage(ctx, img.ID, strings.NewReader("bytes"), 5))
		require.ErrorIs(t, w.ImportStaged(as(t, "a", "reader"), img.ID, ""), nephos.ErrForbidden)
		require.ErrorIs(t, w.ImportStaged(ctx, img.ID, "nowhere"), nephos.ErrConflict)
		require.NoError(t, w.ImportStaged(ctx, img.ID, ""))
		got, body, err := w.Download(ctx, img.ID, nil)
		require.NoError(t, err)
		text, err := io.ReadAll(body)
		require.NoError(t, err)
		require.NoError(t, body.Close())
		require.Equal(t, "bytes", string(text))
		require.Equal(t, image.Active, got.Status)
		require.Equal(t, "4b3a6218bb3e3a7303e8a171a60fcf92", got.Checksum)
		require.Len(t, got.HashValue, 128)
		require.EqualValues(t, 5, *got.VirtualSize)
		require.ErrorContains(t, w.ImportStaged(ctx, img.ID, ""), "Image with status active cannot be target for import")
		require.NoError(t, w.DeleteImage(ctx, img.ID))
		w.settle()
		require.Zero(t, w.objects())
	})
}

// What is staged is judged when it is imported.
func TestWhatAnImportRefusesIsForgotten(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := as(t, "a")
		name := "x"
		img := w.create(ctx, image.Spec{Name: &name, DiskFormat: "qcow2", ContainerFormat: "bare"})
		require.NoError(t, w.Stage(ctx, img.ID, strings.NewReader("no qcow2"), -1))
		require.True(t, image.RejectedContent(w.ImportStaged(ctx, img.ID, "")))
		require.Equal(t, image.Queued, w.status(ctx, img.ID))
		w.settle()
		require.Zero(t, w.objects())

		require.NoError(t, w.Stage(ctx, img.ID, strings.NewReader("again"), -1))
		require.NoError(t, w.DeleteImage(ctx, img.ID))
		w.settle()
		require.Zero(t, w.objects())
	})
}

func TestACrashDuringStagingIsRepaired(t *testing.T) {
	for _, at := range []string{"upload begun", "upload stored"} {
		t.Run(at, func(t *testing.T) {
			w, next := crashing(t, at)
			ctx := as(t, "a")
			img := w.create(ctx, raw("x"))
			require.Panics(t, func() { _ = w.Stage(ctx, img.ID, strings.NewReader("bytes"), 5) })
			require.Equal(t, image.Uploading, next.status(ctx, img.ID))
			require.ErrorIs(t, next.ImportStaged(ctx, img.ID, ""), nephos.ErrConflict, "it is not all there")
			next.settle()
			require.Equal(t, image.Queued, next.status(ctx, img.ID))
			require.Zero(t, next.objects())
		})
	}
}
