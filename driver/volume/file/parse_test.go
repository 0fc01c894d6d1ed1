package file

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

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

func FuzzParseSettings(f *testing.F) {
	f.Add([]byte(`{"limits":{"TotalIOPS":5},"reference":"a.raw"}`))
	f.Add([]byte(`{"limits":{"TotalIOPS":-5}}`))
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := parseSettings(in)
		if err == nil && s.Limits != nil && s.Limits.Validate() != nil {
			t.Errorf("%+v passes", s.Limits)
		}
	})
}
