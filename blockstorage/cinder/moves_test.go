package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRetypeAndMigrateOnTheWire(t *testing.T) {
	s := serve(t)
	s.do("admin", "", "POST", "/v3/types", `{"volume_type": {"name": "gold"}}`).want(200)
	id := s.volume(`{"size": 1}`)
	act := func(token, version, body string) answer {
		return s.do(token, version, "POST", "/v3/volumes/"+id+"/action", body)
	}
	act("member", "", `{"os-retype": {}}`).want(400)
	act("member", "", `{"os-retype": {"new_type": "gold", "migration_policy": "maybe"}}`).want(400)
	act("reader", "", `{"os-retype": {"new_type": "gold"}}`).want(403)
	act("stranger", "", `{"os-retype": {"new_type": "gold"}}`).want(404)
	act("member", "", `{"os-retype": {"new_type": "gold", "migration_policy": "never"}}`).want(202)
	require.Equal(t, "retyping", s.do("member", "", "GET", "/v3/volumes/"+id, "").text("volume", "status"))
	s.settle()
	a := s.do("admin", "", "GET", "/v3/volumes/"+id, "").want(200)
	require.Equal(t, "gold", a.text("volume", "volume_type"))
	require.Equal(t, "available", a.text("volume", "status"))
	act("member", "", `{"os-retype": {"new_type": "gold"}}`).want(400)

	act("member", "", `{"os-migrate_volume": {"host": "x"}}`).want(403)
	act("admin", "", `{"os-migrate_volume": {}}`).want(400)
	act("admin", "", `{"os-migrate_volume": {"host": null}}`).want(400)
	act("admin", "", `{"os-migrate_volume": {"host": "x"}}`).fault(400, "badRequest", "Invalid host: No available service named 'x'")
	act("admin", "3.16", `{"os-migrate_volume": {"cluster": "c"}}`).fault(400, "badRequest", "Invalid host: No available service named 'c'")
	act("admin", "3.16", `{"os-migrate_volume": {"host": "x", "cluster": "c"}}`).
		fault(400, "badRequest", "Invalid input received: One and only one of cluster and host must be set.")
	act("admin", "", `{"os-migrate_volume": {"host": "`+a.text("volume", "os-vol-host-attr:host")+`", "force_host_copy": true}}`).want(400)

	other := s.volume(`{"size": 1}`)
	act("member", "", `{"os-migrate_volume_completion": {"new_volume": "`+other+`"}}`).want(403)
	act("admin", "", `{"os-migrate_volume_completion": {"new_volume": "x"}}`).want(400)
	require.JSONEq(t, `{"save_volume_id": "`+other+`"}`, act("admin", "", `{"os-migrate_volume_completion": {"new_volume": "`+other+`"}}`).want(200).body)
	s.do("admin", "", "POST", "/v3/volumes/"+other+"/action", `{"os-reset_status": {"migration_status": "migrating"}}`).want(202)
	act("admin", "", `{"os-migrate_volume_completion": {"new_volume": "`+other+`", "error": false}}`).
		fault(400, "badRequest", "Invalid volume: Source volume not mid-migration.")
}
