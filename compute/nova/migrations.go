package nova

import (
	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// Servers do not move here: their migrations are those of servers that are on
// their way nowhere.

func (a *api) migrating(r *httpapi.Request, rule string) (compute.Server, error) {
	s, err := a.Servers.Server(r.Context(), r.PathValue("id"))
	if err != nil {
		return s, err
	}
	return s, a.Policy.Enforce(r.Context(), "os_compute_api:servers:migrations:"+rule, nil)
}

// listServerMigrations tells that no server is on its way.
func (a *api) listServerMigrations(r *httpapi.Request) (*httpapi.Response, error) {
	if _, err := a.migrating(r, "index"); err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"migrations": []any{}}), nil
}

func (a *api) showServerMigration(r *httpapi.Request) (*httpapi.Response, error) {
	s, err := a.migrating(r, "show")
	if err != nil {
		return nil, err
	}
	return nil, nephos.Errorf(nephos.ErrNotFound, "In-progress live migration %s is not found for server %s.", clip(r.PathValue("migration")), s.ID)
}

func (a *api) abortServerMigration(r *httpapi.Request) (*httpapi.Response, error) {
	s, err := a.migrating(r, "delete")
	if err != nil {
		return nil, err
	}
	return nil, nephos.Errorf(nephos.ErrConflict, "Instance %s is in an invalid state for 'abort live migration'", s.ID)
}

func (a *api) forceServerMigration(r *httpapi.Request) (*httpapi.Response, error) {
	if err := obey(r, only("force_complete", schema.Schema{Types: []string{"null"}})); err != nil {
		return nil, err
	}
	s, err := a.migrating(r, "force_complete")
	if err != nil {
		return nil, err
	}
	return nil, nephos.Errorf(nephos.ErrConflict, "Instance %s is in an invalid state for 'force_complete'", s.ID)
}
