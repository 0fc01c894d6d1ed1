package pyrepr_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi/pyrepr"
)

func ExampleStyle_Repr() {
	quoting := pyrepr.Style{Most: 24}
	fmt.Println(quoting.Repr(map[string]any{"b": []any{true, nil}, "a": "it's"}))
	fmt.Println(quoting.Repr("rather a long text to quote"))
	fmt.Println(quoting.Str("text"))
	// Output:
	// {'a': "it's", 'b': [True…
	// 'rather a long text to q…
	// text
}

// The values are those that Python's json reads and its repr writes.
func TestReprIsPythons(t *testing.T) {
	for in, want := range map[string]string{
		`null`: `None`, `true`: `True`, `false`: `False`, `[]`: `[]`, `{}`: `{}`, `[[], {}]`: `[[], {}]`,
		`{"b": [1, 2.5, null], "a": {"x": true}}`: `{'a': {'x': True}, 'b': [1, 2.5, None]}`,
		`"it's"`: `"it's"`, `"it's \"so\""`: `'it\'s "so"'`, `"\"so\""`: `'"so"'`, `{"it's": ""}`: `{"it's": ''}`,
		`"a\\b\n\r\t"`: `'a\\b\n\r\t'`, `"\u0000\u001f\u007f\u0080\u00a0\u00ad\u00ff"`: `'\x00\x1f\x7f\x80\xa0\xadÿ'`, `"ü😀"`: `'ü😀'`,
		`0`: `0`, `-7`: `-7`, `123456789012345678901234567890`: `123456789012345678901234567890`,
		`1.0`: `1.0`, `1.50`: `1.5`, `1e3`: `1000.0`, `1e15`: `1000000000000000.0`, `1e16`: `1e+16`, `0.0001`: `0.0001`, `0.00001`: `1e-05`,
		`1e400`: `inf`, `-1e400`: `-inf`, `0.1`: `0.1`, `-0.0`: `-0.0`,
	} {
		require.Equal(t, want, pyrepr.Style{}.Repr(read(t, in)), in)
	}
	require.Equal(t, "1e3", pyrepr.Style{AsSent: true}.Repr(read(t, `1e3`)))
	require.Equal(t, "'\x01\\\\'", pyrepr.Style{AsSent: true}.Repr("\x01\\"))
}

type pair struct {
	name  string
	value any
}

type pairs []pair

func (p pairs) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, one := range p {
			if !yield(one.name, one.value) {
				return
			}
		}
	}
}

func TestOrderedObjectsKeepTheirOrder(t *testing.T) {
	require.Equal(t, `{'b': {}, 'a': {'d': 'x', 'c': None}}`, pyrepr.Style{}.Repr(pairs{{"b", pairs{}}, {"a", pairs{{"d", "x"}, {"c", nil}}}}))
}

func TestBoundsCutBetweenCharacters(t *testing.T) {
	s := pyrepr.Style{Most: 10}
	require.Equal(t, "'éééé…", s.Repr(strings.Repeat("é", 300)))
	require.Equal(t, "ééééé…", s.Str(strings.Repeat("é", 300)))
	require.Equal(t, "ééééé", s.Str("ééééé"))
	require.Equal(t, "[0, 0, 0, …", s.Repr([]any{json.Number("0"), json.Number("0"), json.Number("0"), json.Number("0")}))
	s.MostText = 3
	require.Equal(t, "['abc…']", s.Repr([]any{"abcdef"}))
	require.Equal(t, "abc…", s.Str("abcdef"))
	require.Equal(t, "\uFFFDa", s.Str("\xffa"))
}

func read(t testing.TB, text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v), text)
	return v
}

// Whatever is quoted stays within the bound and is text.
func FuzzRepr(f *testing.F) {
	for _, seed := range []string{`{"a": [1e3, "\u0000it's"]}`, `"😀"`, `[[[[[]]]]]`, `-1e999`} {
		f.Add([]byte(seed), 7, 3)
	}
	f.Fuzz(func(t *testing.T, raw []byte, most, text int) {
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.UseNumber()
		var v any
		if d.Decode(&v) != nil || most < 1 || text < 0 {
			return
		}
		for _, sent := range []bool{true, false} {
			s := pyrepr.Style{Most: most, MostText: text, AsSent: sent}
			for _, out := range []string{s.Repr(v), s.Str(v)} {
				require.True(t, utf8.ValidString(out))
				require.LessOrEqual(t, len(out), max(most, text)+len("…"))
			}
		}
	})
}
