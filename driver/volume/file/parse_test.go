package file

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nephos-cloud/nephos"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

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
	h, err := parseHeader(validHeader())
	require.NoError(t, err)
	require.EqualValues(t, 1<<30, h.size)
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
		_, err := parseHeader(spoil(validHeader()))
		require.ErrorIs(t, err, nephos.ErrInvalid, name)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(validHeader())
	f.Add([]byte("QFI\xfb"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err == nil && (h.size < 0 || binary.BigEndian.Uint64(b[8:]) != 0) {
			t.Errorf("accepted %x", b)
		}
	})
}

func FuzzParseRecords(f *testing.F) {
	f.Add([]byte(`{"version":1,"cloud_id":"c"}`))
	f.Add([]byte(`{"host":"h","read_only":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseMarker(b); err == nil {
			again, err := json.Marshal(m)
			require.NoError(t, err)
			n, err := parseMarker(again)
			require.NoError(t, err)
			require.Equal(t, m, n)
		}
		if a, err := parseAttachment(b); err == nil {
			again, err := json.Marshal(a)
			require.NoError(t, err)
			c, err := parseAttachment(again)
			require.NoError(t, err)
			require.Equal(t, a, c)
		}
	})
}

func FuzzSplitSnapshot(f *testing.F) {
	for _, s := range []string{"1@s.raw", "12@a.b.qcow2", "01@s.raw", "-1@s.raw", "1@../s.raw", "1@s", "@", "9999999999999999999@s.raw"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if seq, id, format, ok := splitSnapshot(name); ok && fmt.Sprintf("%d@%s.%s", seq, id, format) != name {
			t.Errorf("%q became %d, %q, %q", name, seq, id, format)
		}
	})
}

// TestNamesComeBack: each ID that is allowed survives being a file's name.
func TestNamesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,99}`).Draw(t, "id")
		format := rapid.SampledFrom([]string{"raw", "qcow2"}).Draw(t, "format")
		seq := rapid.IntRange(1, 1<<40).Draw(t, "seq")
		gotID, gotFormat, ok := splitName(id + "." + format)
		if !ok || gotID != id || gotFormat != format {
			t.Fatalf("%q %q became %q %q %v", id, format, gotID, gotFormat, ok)
		}
		name := fmt.Sprintf("%d@%s.%s", seq, id, format)
		gotSeq, gotID, gotFormat, ok := splitSnapshot(name)
		if !ok || gotSeq != seq || gotID != id || gotFormat != format {
			t.Fatalf("%q became %d %q %q %v", name, gotSeq, gotID, gotFormat, ok)
		}
	})
}
