package nova

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

// Whatever a client sends, checking it ends in a value or a clear refusal.
func FuzzSchema(f *testing.F) {
	for _, seed := range []string{
		`{"flavor": {"name": "x", "ram": 1, "vcpus": "2", "disk": 0}}`, `{"flavor": {"name": "x", "ram": 1e999999999, "vcpus": 1, "disk": 1}}`,
		`{"metadata": {"a": null, "b": "c"}}`, `[[[[[[]]]]]]`, `{"a": {"a": {"a": {}}}}`, `{"policies": ["affinity", 1]}`, `nul`, `{"a":1}{}`,
	} {
		f.Add([]byte(seed))
	}
	one := oneOfNames("affinity", "anti-affinity")
	schemas := []*schema{
		only("flavor", schema{types: []string{"object"}, required: []string{"name"}, props: []prop{
			{"name", name255()}, {"ram", wholeNumber(1)}, {"vcpus", wholeNumber(1)}, {"disk", wholeNumber(0)}, {"public", boolean()},
		}}),
		only("metadata", metadata("string", "null")),
		only("policies", schema{types: []string{"array"}, items: &one, unique: true, minItems: 1, maxItems: 1}),
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := parseJSON(raw)
		if err != nil {
			return
		}
		require.True(t, json.Valid(raw))
		require.LessOrEqual(t, len(repr(v)), maxRepr+4)
		for _, s := range schemas {
			if err := s.body(v); err != nil {
				require.ErrorIs(t, err, nephos.ErrInvalid)
				require.Less(t, len(err.Error()), 4*maxRepr)
				continue
			}
			o := v.(*object)
			if o.has("flavor") {
				for _, k := range []string{"ram", "vcpus", "disk"} {
					n := o.at("flavor").int(k, 0)
					require.True(t, n >= 0 && n <= maxInt)
				}
			}
		}
	})
}

func TestReprIsPythons(t *testing.T) {
	for in, want := range map[string]string{
		`{"b": [1, 2.5, null], "a": {"x": true}}`: `{'b': [1, 2.5, None], 'a': {'x': True}}`,
		`"it's"`:        `"it's"`,
		`"it's \"so\""`: `'it\'s "so"'`,
		`"a\nb\\"`:      `'a\nb\\'`,
		`[]`:            `[]`, `{}`: `{}`, `false`: `False`,
	} {
		v, err := parseJSON([]byte(in))
		require.NoError(t, err)
		require.Equal(t, want, repr(v))
	}
}

func TestSentencesOfChecks(t *testing.T) {
	require.Equal(t, `{'b': {'': 'x'}, 'a': [True, None]}`, pyRaw([]byte(`{"b":{"":"x"},"a":[true,null]}`)))
	parsed, err := parseJSON([]byte(`{"metadata": {"": "b"}}`))
	require.NoError(t, err)
	require.EqualError(t, metadataBody("metadata", false).body(parsed),
		"Invalid input for field/attribute metadata. Value: {'': 'b'}. '' does not match any of the regexes: '^[a-zA-Z0-9-_:. ]{1,255}$'")
	require.EqualError(t, checkName("name", " a"),
		"An invalid 'name' value was provided. The name must be: printable characters. Can not start or end with whitespace.")
}
