package qemuimg_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/qemuimg"
)

func tool(t *testing.T) qemuimg.Tool {
	path, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img is not installed (Debian: qemu-utils)")
	}
	return qemuimg.Tool{Path: path}
}

func TestImages(t *testing.T) {
	img, dir, ctx := tool(t), t.TempDir(), t.Context()
	raw := filepath.Join(dir, "base.raw")
	content := bytes.Repeat([]byte("base "), 20_000)
	require.NoError(t, os.WriteFile(raw, content, 0o600))
	base := qemuimg.Base{Path: raw, Format: "raw"}
	top := filepath.Join(dir, "top.qcow2")
	require.NoError(t, img.Create(ctx, top, 1, base), "at least as large as its base")
	size, err := qemuimg.VirtualSize(top, "qcow2")
	require.NoError(t, err)
	require.EqualValues(t, (len(content)+511)&^511, size)
	info, err := os.Stat(top)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())

	// The base is what the caller says, whatever the header says.
	other := filepath.Join(dir, "other.raw")
	require.NoError(t, os.WriteFile(other, bytes.Repeat([]byte("othr "), 20_000), 0o600))
	file := map[string]any{"driver": "file", "filename": top}
	whole := filepath.Join(dir, "whole.raw")
	for _, c := range []struct {
		base qemuimg.Base
		want string
	}{{base, "base "}, {qemuimg.Base{Path: other, Format: "raw"}, "othr "}, {qemuimg.Base{}, "\x00\x00\x00\x00\x00"}} {
		require.NoError(t, img.CopyTo(ctx, qemuimg.Source{Format: "qcow2", File: file, Base: c.base}, whole, "raw"))
		got, err := os.ReadFile(whole)
		require.NoError(t, err)
		require.Equal(t, c.want, string(got[:5]))
	}
	for range 2 {
		require.NoError(t, img.Grow(ctx, top, "qcow2", 1<<20))
	}
	require.NoError(t, img.Grow(ctx, top, "qcow2", 1), "it never shrinks")
	size, err = qemuimg.VirtualSize(top, "qcow2")
	require.NoError(t, err)
	require.EqualValues(t, 1<<20, size)

	require.ErrorIs(t, img.Create(ctx, "relative", 1, qemuimg.Base{}), nephos.ErrInvalid)
	require.ErrorIs(t, img.Create(ctx, top, 0, qemuimg.Base{}), nephos.ErrInvalid)
	require.ErrorIs(t, img.Create(ctx, top, 1, qemuimg.Base{Path: filepath.Join(dir, "no"), Format: "raw"}), nephos.ErrUnavailable)
	require.Error(t, img.Copy(ctx, qemuimg.Source{Format: "qcow2", File: map[string]any{"driver": "file", "filename": raw}}, whole), "it is none")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, img.Create(gone, top, 1, qemuimg.Base{}), context.Canceled)
}

// header is a qcow2 header of version 3.
func header(size, incompatible uint64) []byte {
	h := make([]byte, 104)
	copy(h, "QFI\xfb")
	binary.BigEndian.PutUint32(h[4:], 3)
	binary.BigEndian.PutUint64(h[24:], size)
	binary.BigEndian.PutUint64(h[72:], incompatible)
	return h
}

func TestHeaders(t *testing.T) {
	size, err := qemuimg.SizeOfHeader(header(12345, 0))
	require.NoError(t, err)
	require.EqualValues(t, 12345, size)
	for name, bad := range map[string][]byte{
		"short": header(1, 0)[:31], "magic": make([]byte, 104), "size": header(1<<60, 0), "data in another file": header(1, 4),
	} {
		_, err := qemuimg.SizeOfHeader(bad)
		require.ErrorIs(t, err, nephos.ErrInvalid, name)
	}
	_, err = qemuimg.VirtualSize(t.TempDir(), "raw")
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func FuzzSizeOfHeader(f *testing.F) {
	f.Add(header(1, 0))
	f.Add([]byte("QFI\xfb"))
	f.Fuzz(func(t *testing.T, h []byte) {
		if size, err := qemuimg.SizeOfHeader(h); err == nil && size < 0 {
			t.Fatal(size)
		}
	})
}
