package driver_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

type rack string

func (s rack) Name() string { return string(s) }

func TestNamedAreFoundByTheirNames(t *testing.T) {
	rules := driver.Names{What: "rack", Option: "Rack.Name", Default: "plain", Without: ",/"}
	n, err := driver.NewNamed([]rack{"", "high"}, rules)
	require.NoError(t, err)
	require.Equal(t, []rack{"", "high"}, n.All())
	require.Equal(t, "plain", n.Default())
	require.Equal(t, "high", n.NameOf("high"))
	require.True(t, n.Has("plain"))
	require.False(t, n.Has(""))
	for name, want := range map[string]rack{"": "", "plain": "", "high": "high"} {
		got, err := n.Of(name)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err = n.Of("low")
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.EqualError(t, err, "the rack low is not there: it was taken out of the configuration")

	for says, all := range map[string][]rack{
		"it needs a rack": {},
		"two racks are called plain: Rack.Name tells them apart": {"", "plain"},
		`"a/b" is no name for a rack`:                            {"a/b"},
		"at most 200 bytes":                                      {rack(strings.Repeat("x", 201))},
	} {
		_, err := driver.NewNamed(all, rules)
		require.ErrorContains(t, err, says)
	}
}
