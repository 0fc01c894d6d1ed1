package compute_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each filter that the reference lists keeps what matches, and nothing else.
func TestWireListsByEveryPublishedFilter(t *testing.T) {
	w := newWire(t, 1, nil)
	flavor := w.flavor(1, 64, 1)
	boot := func(name, more string) string {
		a := w.call("user", "2.52", "POST", "/v2.1/servers", `{"server": {"name": "`+name+`", "imageRef": "`+w.images.id+`", "flavorRef": "`+flavor+
			`", "networks": "none"`+more+`}}`)
		require.Equal(t, 202, a.Status, a.Body)
		w.settle()
		return a.body["server"].(map[string]any)["id"].(string)
	}
	one := boot("one", `, "tags": ["Red"], "OS-DCF:diskConfig": "AUTO"`)
	boot("two", `, "tags": ["blue"]`)
	require.Equal(t, 202, w.call("user", "", "POST", "/v2.1/servers/"+one+"/action", `{"lock": null}`).Status)
	shown := w.call("admin", "2.96", "GET", "/v2.1/servers/"+one, "").body["server"].(map[string]any)
	created, launched := shown["created"].(string), shown["OS-SRV-USG:launched_at"].(string)

	for query, want := range map[string]string{
		"created_at=" + created:                   "one two", // within one second
		"created_at=2001-01-01T00:00:00Z":         "",
		"created_at=yesterday":                    "",
		"launched_at=" + launched:                 "one",
		"launched_at=2001-01-01T00:00:00":         "",
		"terminated_at=" + created:                "",
		"locked_by=owner":                         "one",
		"locked_by=admin":                         "",
		"progress=0":                              "one two",
		"progress=50":                             "",
		"kernel_id=":                              "one two",
		"ramdisk_id=x":                            "",
		"auto_disk_config=AUTO":                   "one",
		"auto_disk_config=true":                   "one",
		"auto_disk_config=MANUAL":                 "two",
		"auto_disk_config=x":                      "",
		"vm_state=ACTIVE":                         "one two",
		"vm_state=STOPPED":                        "",
		"tags=Red":                                "one",
		"tags=red":                                "",
		"tags-any=" + url.QueryEscape("Red,blue"): "one two",
		"not-tags=Red":                            "two",
		"name=two&name=one":                       "one", // the last one counts
		"launched_at=" + launched[:len("2006-01-02T15:")]: "", // no moment
	} {
		a := w.call("admin", "2.96", "GET", "/v2.1/servers?all_tenants=1&sort_key=display_name&sort_dir=asc&"+query, "")
		require.Equal(t, 200, a.Status, "%s: %s", query, a.Body)
		var names []string
		for _, s := range a.body["servers"].([]any) {
			names = append(names, s.(map[string]any)["name"].(string))
		}
		require.Equal(t, want, strings.Join(names, " "), query)
	}
	require.Contains(t, w.call("admin", "2.96", "GET", "/v2.1/servers?_secret=1", "").Body, "Invalid filter field: _secret.")
	require.Equal(t, 200, w.call("user", "2.96", "GET", "/v2.1/servers?_secret=1", "").Status, "not a user's to filter by")
}
