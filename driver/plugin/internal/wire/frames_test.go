package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

// sent is what Send writes of a content.
func sent(t testing.TB, r io.Reader) []byte {
	t.Helper()
	a, b := net.Pipe()
	go func() {
		defer a.Close()
		_, _, _ = Send(a, r)
	}()
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	return got
}

func TestContentSurvivesItsFrames(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	zeros := make([]byte, 300_000)
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for name, content := range map[string][]byte{
		"empty": {}, "one byte": {7}, "zeros": zeros, "noise": noise,
		"mixed": bytes.Join([][]byte{noise, zeros, noise, {0}, zeros}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			frames := sent(t, iotest.OneByteReader(io.LimitReader(bytes.NewReader(content), 2000)))
			got, err := io.ReadAll(iotest.OneByteReader(Receive(bytes.NewReader(frames))))
			require.NoError(t, err)
			require.True(t, bytes.Equal(content[:min(2000, len(content))], got))

			frames = sent(t, bytes.NewReader(content))
			require.NoError(t, iotest.TestReader(Receive(bytes.NewReader(frames)), content))
			for cut := range 8 { // whatever is missing at the end is noticed
				_, err = io.ReadAll(Receive(bytes.NewReader(frames[:max(0, len(frames)-1-cut)])))
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			}
		})
	}
	require.Less(t, len(sent(t, bytes.NewReader(make([]byte, 20<<20)))), 100, "zeros cost nothing")
}

func TestAnErrorEndsAStream(t *testing.T) {
	frames := sent(t, io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(nephos.NotFound("chunk", "3"))))
	got, err := io.ReadAll(Receive(bytes.NewReader(frames)))
	require.Equal(t, "abc", string(got))
	require.ErrorIs(t, err, nephos.ErrNotFound)
	var e *nephos.Error
	require.True(t, errors.As(err, &e))
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 'x', 0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 2, 8, 1})
	f.Add([]byte{255, 255, 255, 254, 0, 0, 0, 9, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, frames []byte) {
		n, _ := io.Copy(io.Discard, io.LimitReader(Receive(bytes.NewReader(frames)), 4<<20))
		if n > int64(len(frames)) && !bytes.Contains(frames, []byte{255, 255, 255, 254}) {
			t.Errorf("%d bytes came of %d", n, len(frames))
		}
	})
}
