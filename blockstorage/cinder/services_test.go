package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServicesAreDisabledAndEnabled(t *testing.T) {
	s := serve(t)
	const path, here = "/v3/os-services/", `"host": "nephos@volumes"`
	list := func(version string) answer {
		return s.do("admin", version, "GET", "/v3/os-services?binary=cinder-volume", "").want(200)
	}
	zone := func() any {
		return s.do("member", "", "GET", "/v3/os-availability-zone", "").want(200).get("availabilityZoneInfo", 0, "zoneState", "available")
	}
	require.Equal(t, true, zone())
	a := s.do("admin", "", "PUT", path+"disable", `{`+here+`, "binary": "cinder-volume"}`).want(200)
	require.Equal(t, map[string]any{
		"host": "nephos@volumes", "binary": "cinder-volume", "service": "", "disabled": true, "status": "disabled",
	}, a.get())
	require.Equal(t, false, zone())
	require.Equal(t, "disabled", list("").text("services", 0, "status"))
	require.Nil(t, list("").get("services", 0, "disabled_reason"))
	require.Equal(t, "disabled", s.do("admin", "", "GET", "/v3/os-hosts", "").text("hosts", 1, "service-state"))

	id := s.do("member", "", "POST", "/v3/volumes", `{"volume": {"size": 1}}`).want(202).text("volume", "id")
	s.settle()
	require.Equal(t, "error", s.do("member", "", "GET", "/v3/volumes/"+id, "").text("volume", "status"))

	a = s.do("admin", "", "PUT", path+"disable-log-reason", `{`+here+`, "service": "cinder-volume", "disabled_reason": "new disks"}`).want(200)
	require.Equal(t, "new disks", a.text("disabled_reason"))
	require.Equal(t, "cinder-volume", a.text("service"))
	require.Equal(t, "new disks", list("3.67").text("services", 0, "disabled_reason"))
	s.do("admin", "", "PUT", path+"enable", `{`+here+`, "binary": "cinder-volume"}`).want(200)
	require.Equal(t, "enabled", list("").text("services", 0, "status"))
	require.Equal(t, "new disks", list("").text("services", 0, "disabled_reason"))
	require.Equal(t, true, zone())
	s.volume(`{"size": 1}`)
}

func TestBackendsAreFrozenAndThawed(t *testing.T) {
	s := serve(t)
	const freeze, thaw, here = "/v3/os-services/freeze", "/v3/os-services/thaw", `{"host": "nephos@volumes"}`
	s.do("admin", "", "PUT", freeze, here).want(200)
	service := s.do("admin", "", "GET", "/v3/os-services?binary=cinder-volume", "").get("services", 0).(map[string]any)
	require.Equal(t, []any{"disabled", "frozen", true}, []any{service["status"], service["disabled_reason"], service["frozen"]})
	const refusal = "Invalid input received: No service could be changed: frozen in ['nephos@volumes'] must be "
	s.do("admin", "", "PUT", freeze, here).fault(400, "badRequest", refusal+"False to failover.")
	s.do("admin", "", "PUT", thaw, here).want(200)
	s.do("admin", "", "PUT", thaw, here).fault(400, "badRequest", refusal+"True to failover.")
	s.volume(`{"size": 1}`)
}

func TestServicesRefuse(t *testing.T) {
	s := serve(t)
	for _, c := range []struct {
		word, version, body string
		status              int
		message             string
	}{
		{"enable", "", `{}`, 400, "{} is not valid under any of the given schemas"},
		{"enable", "", `[]`, 400, "[] is not of type 'object'"},
		{"enable", "", `{`, 400, "Malformed request body"},
		{"enable", "", `{"binary": "x"}`, 400, "Invalid input received: Host field is missing."},
		{"enable", "", `{"binary": "x", "host": ""}`, 400, "Invalid input for field/attribute host. Value: . '' is too short"},
		{"enable", "", `{"binary": "x", "host": 5, "x": 1}`, 400, "Invalid input for field/attribute host. Value: 5. 5 is not of type 'string', 'null'"},
		{"enable", "", `{"binary": "x", "host": "h", "x": 1}`, 400, "Additional properties are not allowed ('x' was unexpected)"},
		{"disable", "", `{"binary": "x", "host": "h"}`, 404, "Service x could not be found on host h."},
		{"disable-log-reason", "", `{"binary": "x", "host": "h", "disabled_reason": " "}`, 400, "Invalid input for field/attribute disabled_reason. Value:  . ' ' is not a 'disabled_reason'"},
		{"freeze", "", `{"host": "h"}`, 400, "No service found with host=h"},
		{"thaw", "3.26", `{}`, 400, "Invalid input received: One and only one of cluster and host must be set."},
		{"failover_host", "", `{"host": "nephos@volumes"}`, 400, "Invalid input received: No service could be changed: replication_status in ['nephos@volumes'] must be ['enabled', 'failed-over'] and must be up to failover."},
		{"failover", "3.26", `{"cluster": "c"}`, 400, "No service found with cluster=c"},
		{"failover", "3.25", `{"host": "nephos@volumes"}`, 400, "Invalid input received: Unknown action"},
		{"nope", "", `{}`, 400, "Invalid input received: Unknown action"},
	} {
		name := map[int]string{400: "badRequest", 404: "itemNotFound"}[c.status]
		s.do("admin", c.version, "PUT", "/v3/os-services/"+c.word, c.body).fault(c.status, name, c.message)
		s.do("member", c.version, "PUT", "/v3/os-services/"+c.word, c.body).want(403)
	}
	s.do("admin", "3.32", "PUT", "/v3/os-services/set-log", `{}`).want(501)
	s.do("member", "", "GET", "/v3/os-hosts", "").fault(403, "forbidden", "Policy doesn't allow volume_extension:hosts to be performed.")
	s.do("admin", "", "GET", "/v3/os-hosts/x", "").fault(404, "itemNotFound", "Service cinder-volume could not be found on host x.")
	s.do("admin", "", "PUT", "/v3/os-quota-class-sets/default", `{"quota_class_set": {"volumes": "x"}}`).
		fault(400, "badRequest", "Invalid input for field/attribute volumes. Value: x. 'x' does not match '^[0-9]*$'")
	s.do("admin", "", "PUT", "/v3/os-quota-class-sets/default", `{"quota_class_set": {"x": 1}}`).
		fault(400, "badRequest", "Invalid input received: Bad key(s) in quota class set: x")
}
