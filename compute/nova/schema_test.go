package nova

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi/schema"
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
	schemas := []*schema.Schema{
		only("flavor", schema.Schema{Types: []string{"object"}, Required: []string{"name"}, Props: []schema.Prop{
			prop("name", name255()), prop("ram", wholeNumber(1)), prop("vcpus", wholeNumber(1)), prop("disk", wholeNumber(0)), prop("public", boolean()),
		}}),
		only("metadata", metadata("string", "null")),
		only("policies", schema.Schema{Types: []string{"array"}, Items: &one, Unique: true, MinItems: 1, MaxItems: 1}),
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := schema.Parse(raw, maxDepth)
		if err != nil {
			return
		}
		require.True(t, json.Valid(raw))
		require.LessOrEqual(t, len(quoting.Repr(v)), maxQuote+4)
		for _, s := range schemas {
			if err := checkBody(s, v); err != nil {
				require.ErrorIs(t, err, nephos.ErrInvalid)
				require.Less(t, len(err.Error()), 4*maxQuote)
				continue
			}
			o := object{v.(schema.Object)}
			if o.has("flavor") {
				for _, k := range []string{"ram", "vcpus", "disk"} {
					n := o.at("flavor").int(k, 0)
					require.True(t, n >= 0 && n <= maxInt)
				}
			}
		}
	})
}

func TestSentencesOfChecks(t *testing.T) {
	require.Equal(t, `{'b': {'': 'x'}, 'a': [True, None]}`, pyRaw([]byte(`{"b":{"":"x"},"a":[true,null]}`)))
	parsed, err := schema.Parse([]byte(`{"metadata": {"": "b"}}`), maxDepth)
	require.NoError(t, err)
	require.EqualError(t, checkBody(metadataBody("metadata", false), parsed),
		"Invalid input for field/attribute metadata. Value: {'': 'b'}. '' does not match any of the regexes: '^[a-zA-Z0-9-_:. ]{1,255}$'")
}
