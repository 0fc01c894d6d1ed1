package schema_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func TestParseKeepsTheOrder(t *testing.T) {
	v, err := schema.Parse([]byte(` {"b": 1e3, "a": [null, true, {"z": "x"}], "b": 2} `), 3)
	require.NoError(t, err)
	o := v.(schema.Object)
	require.Equal(t, schema.Object{{"b", json.Number("2")}, {"a", []any{nil, true, schema.Object{{"z", "x"}}}}}, o)
	raw, err := json.Marshal(o)
	require.NoError(t, err)
	require.Equal(t, `{"b":2,"a":[null,true,{"z":"x"}]}`, string(raw))
	_, ok := o.Get("c")
	require.False(t, ok)

	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `"k%d": %d, `, i%40, i)
	}
	v, err = schema.Parse([]byte(`{`+many.String()+`"end": {}}`), 1)
	require.NoError(t, err)
	o = v.(schema.Object)
	require.Len(t, o, 41)
	for i := range 40 {
		require.Equal(t, schema.Member{Name: fmt.Sprint("k", i), Value: json.Number(fmt.Sprint(i + 40 + 40*((59-i)/40)))}, o[i])
	}
}

func TestParseRefuses(t *testing.T) {
	for _, raw := range []string{``, ` `, `{`, `[1,]`, `{"a"}`, `{} {}`, `nul`, `[[[[]]]]`, `{"a": {"a": {"a": 1}}}`} {
		_, err := schema.Parse([]byte(raw), 2)
		require.Error(t, err, raw)
	}
	_, err := schema.Parse([]byte(`[[1]]`), 2)
	require.NoError(t, err)
}

func TestLimits(t *testing.T) {
	l := schema.Limits{Depth: 2, Items: 2}
	for raw, want := range map[string]bool{
		`1`: true, `"a"`: true, `"\u0000"`: false, `{"a": ["b"]}`: true, `{"a": ["\u0000"]}`: false, `{"\u0000": 1}`: false,
		`[1, 2]`: true, `[1, 2, 3]`: false, `[[1]]`: true, `[[[]]]`: true, `[[[1]]]`: false,
	} {
		require.Equal(t, want, l.Keepable(read(t, raw)), raw)
		require.Equal(t, want, l.Keepable(readMap(t, raw)), raw)
	}
	require.True(t, schema.Limits{}.Keepable("x"))
}

func TestFinite(t *testing.T) {
	for raw, want := range map[string]bool{
		`1e308`: true, `123456789012345678901234567890`: true, `"1e400"`: true, `null`: true, `{"a": [1, {"b": 1e400}]}`: false, `[-1e400]`: false,
	} {
		require.Equal(t, want, schema.Finite(read(t, raw)), raw)
		require.Equal(t, want, schema.Finite(readMap(t, raw)), raw)
	}
}
