package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi/apitest"
)

func TestServicesAreDisabledAndEnabled(t *testing.T) {
	s := serve(t)
	const path, here = "/v3/os-services/", `"host": "nephos@volumes"`
	list := func(version string) apitest.Answer {
		return s.Do("admin", "GET "+version, "/v3/os-services?binary=cinder-volume", "").Want(200)
	}
	zone := func() any {
		return s.Do("member", "GET", "/v3/os-availability-zone", "").Want(200).Get("availabilityZoneInfo", 0, "zoneState", "available")
	}
	require.Equal(t, true, zone())
	a := s.Do("admin", "PUT", path+"disable", `{`+here+`, "binary": "cinder-volume"}`).Want(200)
	require.Equal(t, map[string]any{
		"host": "nephos@volumes", "binary": "cinder-volume", "service": "", "disabled": true, "status": "disabled",
	}, a.Get())
	require.Equal(t, false, zone())
	require.Equal(t, "disabled", list("").Text("services", 0, "status"))
	require.Nil(t, list("").Get("services", 0, "disabled_reason"))
	require.Equal(t, "disabled", s.Do("admin", "GET", "/v3/os-hosts", "").Text("hosts", 1, "service-state"))

	id := s.Do("member", "POST", "/v3/volumes", `{"volume": {"size": 1}}`).Want(202).Text("volume", "id")
	s.settle()
	require.Equal(t, "error", s.Do("member", "GET", "/v3/volumes/"+id, "").Text("volume", "status"))

	a = s.Do("admin", "PUT", path+"disable-log-reason", `{`+here+`, "service": "cinder-volume", "disabled_reason": "new disks"}`).Want(200)
	require.Equal(t, "new disks", a.Text("disabled_reason"))
	require.Equal(t, "cinder-volume", a.Text("service"))
	require.Equal(t, "new disks", list("3.67").Text("services", 0, "disabled_reason"))
	s.Do("admin", "PUT", path+"enable", `{`+here+`, "binary": "cinder-volume"}`).Want(200)
	require.Equal(t, "enabled", list("").Text("services", 0, "status"))
	require.Equal(t, "new disks", list("").Text("services", 0, "disabled_reason"))
	require.Equal(t, true, zone())
	s.volume(`{"size": 1}`)
}

func TestBackendsAreFrozenAndThawed(t *testing.T) {
	s := serve(t)
	const freeze, thaw, here = "/v3/os-services/freeze", "/v3/os-services/thaw", `{"host": "nephos@volumes"}`
	s.Do("admin", "PUT", freeze, here).Want(200)
	service := s.Do("admin", "GET", "/v3/os-services?binary=cinder-volume", "").Get("services", 0).(map[string]any)
	require.Equal(t, []any{"disabled", "frozen", true}, []any{service["status"], service["disabled_reason"], service["frozen"]})
	const refusal = "Invalid input received: No service could be changed: frozen in ['nephos@volumes'] must be "
	s.Do("admin", "PUT", freeze, here).Fault(400, refusal+"False to failover.")
	s.Do("admin", "PUT", thaw, here).Want(200)
	s.Do("admin", "PUT", thaw, here).Fault(400, refusal+"True to failover.")
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
		s.Do("admin", "PUT "+c.version, "/v3/os-services/"+c.word, c.body).Fault(c.status, c.message)
		s.Do("member", "PUT "+c.version, "/v3/os-services/"+c.word, c.body).Want(403)
	}
	s.Do("admin", "PUT 3.32", "/v3/os-services/set-log", `{}`).Want(501)
	s.Do("member", "GET", "/v3/os-hosts", "").Fault(403, "Policy doesn't allow volume_extension:hosts to be performed.")
	s.Do("admin", "GET", "/v3/os-hosts/x", "").Fault(404, "Service cinder-volume could not be found on host x.")
	s.Do("admin", "PUT", "/v3/os-quota-class-sets/default", `{"quota_class_set": {"volumes": "x"}}`).
		Fault(400, "Invalid input for field/attribute volumes. Value: x. 'x' does not match '^[0-9]*$'")
	s.Do("admin", "PUT", "/v3/os-quota-class-sets/default", `{"quota_class_set": {"x": 1}}`).
		Fault(400, "Invalid input received: Bad key(s) in quota class set: x")
}
