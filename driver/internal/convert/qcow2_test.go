package convert

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

// validHeader is one of version 3 with a disk of 1 GiB.
func validHeader() []byte {
	b := make([]byte, 112)
	be := binary.BigEndian
	be.PutUint32(b, 0x514649fb)
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 16)
	be.PutUint64(b[24:], 1<<30)
	be.PutUint32(b[100:], 104)
	return b
}

func TestParseHeader(t *testing.T) {
	h, err := ParseHeader(validHeader())
	require.NoError(t, err)
	require.EqualValues(t, 1<<30, h.Size)
	for name, spoil := range map[string]func([]byte) []byte{
		"empty":          func([]byte) []byte { return nil },
		"cut short":      func(b []byte) []byte { return b[:80] },
		"magic":          func(b []byte) []byte { b[0] = 0; return b },
		"version":        func(b []byte) []byte { b[7] = 9; return b },
		"backing":        func(b []byte) []byte { b[15] = 1; return b },
		"cluster bits":   func(b []byte) []byte { b[23] = 63; return b },
		"encrypted":      func(b []byte) []byte { b[35] = 1; return b },
		"size":           func(b []byte) []byte { b[24] = 0xff; return b },
		"corrupt":        func(b []byte) []byte { b[79] = 2; return b },
		"data file":      func(b []byte) []byte { b[79] = 4; return b },
		"unknown future": func(b []byte) []byte { b[72] = 1; return b },
	} {
		_, err := ParseHeader(spoil(validHeader()))
		require.ErrorIs(t, err, nephos.ErrInvalid, name)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(validHeader())
	f.Add([]byte("QFI\xfb"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err == nil && (h.Size < 0 || binary.BigEndian.Uint64(b[8:]) != 0) {
			t.Errorf("accepted %x", b)
		}
	})
}
