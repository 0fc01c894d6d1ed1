package blobtest

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/drivertest"
)

func (e *env) putPart(t drivertest.T, id string, number int, content []byte) blob.Part {
	t.Helper()
	p, err := e.PutPart(t.Context(), id, number, bytes.NewReader(content), int64(len(content)))
	require.NoError(t, err)
	require.Equal(t, number, p.Number)
	require.EqualValues(t, len(content), p.Size)
	require.NotEmpty(t, p.ETag)
	return p
}

func testMultiparter(t drivertest.T, e *env) {
	before, one, two, three := bytesOf(9, 100), bytesOf(1, blob.MinPartSize), bytesOf(2, blob.MinPartSize+1), bytesOf(3, 77)
	e.put(t, "o", before)
	require.NoError(t, e.BeginParts(t.Context(), "o"))
	third, wrong := e.putPart(t, "o", 30, three), e.putPart(t, "o", 2, three)
	require.NoError(t, e.BeginParts(t.Context(), "o"), "again: the parts stay")
	second := e.putPart(t, "o", 2, two) // in place of the wrong one
	require.NotEqual(t, wrong.ETag, second.ETag)
	dropped := e.putPart(t, "o", 7, three)
	e.requireContent(t, "o", before)

	e.reopen(t)
	uploads, err := e.ListUploads(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"o"}, uploads)
	first := e.putPart(t, "o", 1, one)
	list, err := e.ListParts(t.Context(), "o")
	require.NoError(t, err)
	require.Equal(t, []blob.Part{first, second, dropped, third}, list)
	clear(list)
	list, err = e.ListParts(t.Context(), "o")
	require.NoError(t, err)
	require.Equal(t, []blob.Part{first, second, dropped, third}, list, "a result is the caller's to change")
	require.Equal(t, []string{"o"}, e.ids(t), "parts are no objects")

	m := e.Driver().(blob.Multiparter)
	liar := second
	liar.ETag = "0123456789abcdef"
	for why, parts := range map[string][]blob.Part{
		"none":               {},
		"unknown":            {first, {Number: 3, Size: blob.MinPartSize, ETag: first.ETag}},
		"not as described":   {first, liar, third},
		"descending":         {second, first},
		"twice":              {first, first},
		"small in the midst": {first, dropped, third},
	} {
		_, err := m.CompleteParts(t.Context(), "o", parts)
		require.ErrorIs(t, err, nephos.ErrInvalid, why)
	}
	e.requireContent(t, "o", before)
	n, err := e.CompleteParts(t.Context(), "o", []blob.Part{first, second, third})
	require.NoError(t, err)
	want := slices.Concat(one, two, three)
	require.EqualValues(t, len(want), n)
	e.requireContent(t, "o", want)
	_, err = e.CompleteParts(t.Context(), "o", []blob.Part{first})
	require.ErrorIs(t, err, nephos.ErrNotFound, "the upload has ended")
	e.reopen(t)
	e.requireContent(t, "o", want)
	uploads, err = e.ListUploads(t.Context())
	require.NoError(t, err)
	require.Empty(t, uploads)
}

func testMultiparterEnds(t drivertest.T, e *env) {
	m := e.Driver().(blob.Multiparter)
	_, err := e.PutPart(t.Context(), "none", 1, bytes.NewReader(nil), 0)
	require.ErrorIs(t, err, nephos.ErrNotFound)
	_, err = e.ListParts(t.Context(), "none")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	require.NoError(t, e.AbortParts(t.Context(), "none"))
	require.ErrorIs(t, m.BeginParts(t.Context(), "../x"), nephos.ErrInvalid)
	require.ErrorIs(t, m.AbortParts(t.Context(), "../x"), nephos.ErrInvalid)
	_, err = m.PutPart(t.Context(), "../x", 1, bytes.NewReader(nil), 0)
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = m.ListParts(t.Context(), "../x")
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = m.CompleteParts(t.Context(), "../x", []blob.Part{{Number: 1, ETag: "x"}})
	require.ErrorIs(t, err, nephos.ErrInvalid)

	require.NoError(t, e.BeginParts(t.Context(), "o"))
	for _, number := range []int{0, -1, blob.MaxParts + 1} {
		_, err := m.PutPart(t.Context(), "o", number, bytes.NewReader([]byte("x")), 1)
		require.ErrorIs(t, err, nephos.ErrInvalid)
	}
	_, err = e.PutPart(t.Context(), "o", 1, io.MultiReader(bytes.NewReader(bytesOf(1, 1000)), failing{errBody}), 2000)
	require.ErrorIs(t, err, errBody)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = e.PutPart(ctx, "o", 1, bytes.NewReader([]byte("x")), 1)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, e.BeginParts(ctx, "other"), context.Canceled)
	_, err = e.ListParts(ctx, "o")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, e.AbortParts(ctx, "o"), context.Canceled)
	uploads, err := e.ListUploads(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"o"}, uploads, "cancelled calls did nothing")
	list, err := e.ListParts(t.Context(), "o")
	require.NoError(t, err)
	require.Empty(t, list, "nothing is left of parts that failed")
	part := e.putPart(t, "o", 1, []byte("whole"))
	_, err = e.PutPart(t.Context(), "o", 1, io.MultiReader(bytes.NewReader(bytesOf(1, 1000)), failing{errBody}), 2000)
	require.ErrorIs(t, err, errBody)
	list, err = e.ListParts(t.Context(), "o")
	require.NoError(t, err)
	require.Equal(t, []blob.Part{part}, list, "a part is replaced once the new one is whole")
	_, err = e.CompleteParts(ctx, "o", list)
	require.ErrorIs(t, err, context.Canceled)
	e.requireNone(t, "o")

	var wg sync.WaitGroup // all at once
	parts, errs := make([]blob.Part, 8), make([]error, 8)
	for i := range parts {
		wg.Go(func() {
			size := blob.MinPartSize
			switch {
			case i == len(parts)-1:
				size = 10
			case race && i > 1:
				size = 100_000
			}
			parts[i], errs[i] = e.PutPart(t.Context(), "o", i+1, bytes.NewReader(bytesOf(uint64(i), size)), -1)
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	list, err = e.ListParts(t.Context(), "o")
	require.NoError(t, err)
	require.Equal(t, parts, list)
	for range 2 {
		require.NoError(t, e.AbortParts(t.Context(), "o"))
	}
	e.requireNone(t, "o")
	_, err = e.CompleteParts(t.Context(), "o", parts[len(parts)-1:])
	require.ErrorIs(t, err, nephos.ErrNotFound)

	e.put(t, "o", []byte("before"))
	require.NoError(t, e.BeginParts(t.Context(), "o"))
	e.putPart(t, "o", 1, []byte("after"))
	require.NoError(t, e.AbortParts(t.Context(), "o"))
	e.requireContent(t, "o", []byte("before"))

	require.NoError(t, e.BeginParts(t.Context(), "small"), "a single part may be small, and empty")
	p := e.putPart(t, "small", 1, nil)
	n, err := e.CompleteParts(t.Context(), "small", []blob.Part{p})
	require.NoError(t, err)
	require.Zero(t, n)
	e.requireContent(t, "small", []byte{})
}
