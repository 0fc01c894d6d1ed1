package volume_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/volume"
)

func diffOf(t testing.TB) []byte {
	var buf bytes.Buffer
	w, err := volume.NewDiffWriter(&buf)
	require.NoError(t, err)
	require.NoError(t, w.Data(512, []byte("hello")))
	require.NoError(t, w.Zero(4096, 4096))
	require.NoError(t, w.Data(8192, bytes.Repeat([]byte{7}, volume.MaxDiffExtent+1)))
	require.ErrorIs(t, w.Zero(0, 1), nephos.ErrInvalid, "backwards")
	require.NoError(t, w.Close(1<<30))
	require.Error(t, w.Zero(1<<31, 1), "after the end")
	return buf.Bytes()
}

func TestDiffRoundTrip(t *testing.T) {
	diff := diffOf(t)
	r, err := volume.NewDiffReader(bytes.NewReader(diff))
	require.NoError(t, err)
	var got []volume.Extent
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if e.Offset == 512 {
			data, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, "hello", string(data))
		}
		got = append(got, e)
	}
	require.Equal(t, []volume.Extent{
		{Offset: 512, Length: 5},
		{Offset: 4096, Length: 4096, Zero: true},
		{Offset: 8192, Length: volume.MaxDiffExtent},
		{Offset: 8192 + volume.MaxDiffExtent, Length: 1},
	}, got)
	require.EqualValues(t, 1<<30, r.Size())
	for _, n := range []int{0, 5, 20, 40, 100, len(diff) - 1} {
		require.ErrorIs(t, readDiff(bytes.NewReader(diff[:n])), io.ErrUnexpectedEOF, "cut at %d", n)
	}
}

func readDiff(in io.Reader) error {
	r, err := volume.NewDiffReader(in)
	for err == nil {
		if _, err = r.Next(); err == nil {
			_, err = io.Copy(io.Discard, r)
		}
	}
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func FuzzDiffReader(f *testing.F) {
	f.Add(diffOf(f)[:200])
	f.Add([]byte("NEPHOS-DIFF-1\nE"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := volume.NewDiffReader(bytes.NewReader(in))
		if err != nil {
			return
		}
		next := int64(0)
		for {
			e, err := r.Next()
			if err != nil {
				if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && r.Size() < next {
					t.Errorf("ends at %d after %d", r.Size(), next)
				}
				return
			}
			if e.Offset < next || e.Length <= 0 {
				t.Fatalf("%+v after %d", e, next)
			}
			next = e.Offset + e.Length
		}
	})
}
