package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi/apitest"
)

func TestRetypeAndMigrateOnTheWire(t *testing.T) {
	s := serve(t)
	s.Do("admin", "POST", "/v3/types", `{"volume_type": {"name": "gold"}}`).Want(200)
	id := s.volume(`{"size": 1}`)
	act := func(token, version, body string) apitest.Answer {
		return s.Do(token, "POST "+version, "/v3/volumes/"+id+"/action", body)
	}
	act("member", "", `{"os-retype": {}}`).Want(400)
	act("member", "", `{"os-retype": {"new_type": "gold", "migration_policy": "maybe"}}`).Want(400)
	act("reader", "", `{"os-retype": {"new_type": "gold"}}`).Want(403)
	act("stranger", "", `{"os-retype": {"new_type": "gold"}}`).Want(404)
	act("member", "", `{"os-retype": {"new_type": "gold", "migration_policy": "never"}}`).Want(202)
	require.Equal(t, "retyping", s.Do("member", "GET", "/v3/volumes/"+id, "").Text("volume", "status"))
	s.settle()
	a := s.Do("admin", "GET", "/v3/volumes/"+id, "").Want(200)
	require.Equal(t, "gold", a.Text("volume", "volume_type"))
	require.Equal(t, "available", a.Text("volume", "status"))
	act("member", "", `{"os-retype": {"new_type": "gold"}}`).Want(400)

	act("member", "", `{"os-migrate_volume": {"host": "x"}}`).Want(403)
	act("admin", "", `{"os-migrate_volume": {}}`).Want(400)
	act("admin", "", `{"os-migrate_volume": {"host": null}}`).Want(400)
	act("admin", "", `{"os-migrate_volume": {"host": "x"}}`).Fault(400, "Invalid host: No available service named 'x'")
	act("admin", "3.16", `{"os-migrate_volume": {"cluster": "c"}}`).Fault(400, "Invalid host: No available service named 'c'")
	act("admin", "3.16", `{"os-migrate_volume": {"host": "x", "cluster": "c"}}`).
		Fault(400, "Invalid input received: One and only one of cluster and host must be set.")
	act("admin", "", `{"os-migrate_volume": {"host": "`+a.Text("volume", "os-vol-host-attr:host")+`", "force_host_copy": true}}`).Want(400)

	other := s.volume(`{"size": 1}`)
	act("member", "", `{"os-migrate_volume_completion": {"new_volume": "`+other+`"}}`).Want(403)
	act("admin", "", `{"os-migrate_volume_completion": {"new_volume": "x"}}`).Want(400)
	require.JSONEq(t, `{"save_volume_id": "`+other+`"}`, act("admin", "", `{"os-migrate_volume_completion": {"new_volume": "`+other+`"}}`).Want(200).Body)
	s.Do("admin", "POST", "/v3/volumes/"+other+"/action", `{"os-reset_status": {"migration_status": "migrating"}}`).Want(202)
	act("admin", "", `{"os-migrate_volume_completion": {"new_volume": "`+other+`", "error": false}}`).
		Fault(400, "Invalid volume: Source volume not mid-migration.")
}
