package cinder

import (
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// moveActions give a volume another type or another pool.
func (a *api) moveActions() map[string]action {
	return map[string]action{
		"os-retype": {
			schema: always(strict(map[string]schema.Schema{
				"new_type": pText, "migration_policy": {Types: typeNullText, Enum: []any{"on-demand", "never"}},
			}, "new_type")),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				return accepted(a.Moves.RetypeVolume(r.Context(), id, blockstorage.RetypeSpec{
					Type: textOf(in, "new_type"), MayMove: textOf(in, "migration_policy") == "on-demand",
				}))
			},
		},
		"os-migrate_volume": {schema: migrateSchema, run: a.migrateVolume},
		"os-migrate_volume_completion": {
			schema: always(strict(map[string]schema.Schema{
				"new_volume": pUUID, "error": {Types: []string{"string", "null", "boolean"}},
			}, "new_volume")),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				failed := in["error"] != nil && in["error"] != false && in["error"] != ""
				saved, err := a.Moves.CompleteMigration(r.Context(), id, dashed(textOf(in, "new_volume")), failed)
				if err != nil {
					return nil, err
				}
				return httpapi.OK(object{"save_volume_id": saved}), nil
			},
		},
	}
}

func migrateSchema(r *httpapi.Request) schema.Schema {
	props := map[string]schema.Schema{"host": {Types: typeText, MaxLength: 255}, "force_host_copy": pBool, "lock_volume": pBool}
	if !since(r, "3.16") {
		return strict(props, "host")
	}
	props["host"], props["cluster"] = pNullText, pNullText
	return strict(props)
}

func (a *api) migrateVolume(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
	host, cluster, err := hostOrCluster(r, "3.16", textOf(in, "host"), textOf(in, "cluster"))
	if err != nil {
		return nil, err
	}
	return accepted(a.Moves.MigrateVolume(r.Context(), id, blockstorage.MigrateSpec{Host: host, Cluster: cluster, Lock: boolOf(in["lock_volume"])}))
}

// hostOrCluster reads where something is: one of the two from the microversion
// on, before it the host.
func hostOrCluster(r *httpapi.Request, clusters, host, cluster string) (string, string, error) {
	if !since(r, clusters) {
		if host == "" {
			return "", "", badRequest("Invalid input received: Host field is missing.")
		}
		return host, "", nil
	}
	if (host == "") == (cluster == "") {
		return "", "", badRequest("Invalid input received: One and only one of cluster and host must be set.")
	}
	return host, cluster, nil
}
