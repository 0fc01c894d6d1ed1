package cloud_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/httpapi"
)

// mounted are the names of the APIs; that of events, whose answers have no end,
// is tested by itself.
var mounted = []string{"identity", "image", "network", "volume", "compute", "placement"}

func routes(t *testing.T, c *cloudtest.Cloud, name string) []httpapi.Route {
	t.Helper()
	api, ok := c.API(name).(*httpapi.API)
	require.True(t, ok, "the API %s", name)
	return api.Routes()
}

func TestEveryRouteNamesRulesThatExist(t *testing.T) {
	c := cloudtest.New(t, cloudtest.Options{Stopped: true})
	known := map[string]bool{"@": true} // whoever has a token
	for _, r := range c.Policy.Rules() {
		known[r.Name] = true
	}
	for _, name := range append(slices.Clone(mounted), "watch") {
		t.Run(name, func(t *testing.T) {
			all := routes(t, c, name)
			require.NotEmpty(t, all)
			require.NoError(t, httpapi.CheckRoutes(all))
			seen := map[[3]string]bool{}
			for _, r := range all {
				key := [3]string{r.Pattern, r.Min, r.Max}
				require.False(t, seen[key], "%s is there twice", r.Pattern)
				seen[key] = true
				for _, rule := range r.Rules {
					require.True(t, known[rule], "%s names %s, which is no rule", r.Pattern, rule)
				}
			}
		})
	}
}

// What one service's rules name must be there when all are put together.
func TestTheRulesOfAllServicesFitTogether(t *testing.T) {
	c := cloudtest.New(t, cloudtest.Options{Stopped: true})
	require.Empty(t, c.Policy.Problems())
}
