package identity

import (
	"context"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Endpoint is a URL of a service. The URL may hold $(project_id)s and
// $(user_id)s, which the catalog fills in.
type Endpoint struct {
	ID        string `bun:",pk"`
	ServiceID string
	Interface string // public, internal or admin
	RegionID  string // may be empty
	URL       string
	Enabled   bool
	Extra     map[string]any
}

// EndpointSpec describes an endpoint to create.
type EndpointSpec struct {
	ServiceID, Interface, RegionID, URL string
	Enabled                             *bool // nil: true
	// MakeRegion makes the region when it does not exist, as the API does for its
	// older attribute "region".
	MakeRegion bool
	Extra      map[string]any
}

// EndpointUpdate changes an endpoint; what is nil stays.
type EndpointUpdate struct {
	ServiceID, Interface, RegionID, URL *string
	Enabled                             *bool
	MakeRegion                          bool
	Extra                               map[string]any
}

// EndpointFilter narrows a list of endpoints.
type EndpointFilter struct {
	ServiceID, Interface, RegionID string
}

// Endpoints is what the Identity API's endpoints need.
type Endpoints interface {
	// CreateEndpoint makes an endpoint; an unknown service or region is ErrInvalid.
	CreateEndpoint(ctx context.Context, spec EndpointSpec) (Endpoint, error)
	Endpoint(ctx context.Context, id string) (Endpoint, error)
	ListEndpoints(ctx context.Context, f EndpointFilter, p nephos.Page) ([]Endpoint, bool, error)
	UpdateEndpoint(ctx context.Context, id string, u EndpointUpdate) (Endpoint, error)
	DeleteEndpoint(ctx context.Context, id string) error
}

var _ Endpoints = (*Service)(nil)

// CreateEndpoint implements [Endpoints].
func (s *Service) CreateEndpoint(ctx context.Context, spec EndpointSpec) (Endpoint, error) {
	if err := s.enforce(ctx, "identity:create_endpoint", nil); err != nil {
		return Endpoint{}, err
	}
	e := Endpoint{
		ID: s.cfg.IDs.Hex(), ServiceID: spec.ServiceID, Interface: spec.Interface, RegionID: spec.RegionID, URL: spec.URL,
		Enabled: spec.Enabled == nil || *spec.Enabled, Extra: mergeExtra(nil, spec.Extra),
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, first, err := tx.Once(ctx, "identity.create_endpoint", e.ID)
		if err != nil {
			return err
		}
		if !first {
			e, err = loadEndpoint(ctx, tx, id)
			return err
		}
		if err := s.checkEndpoint(ctx, tx, e, spec.MakeRegion); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&endpointRow{Endpoint: e}).Exec(ctx); err != nil {
			return err
		}
		return s.emitCatalog(ctx, tx, "endpoint.create", e.ID)
	})
	return e, err
}

func (s *Service) checkEndpoint(ctx context.Context, tx *store.Tx, e Endpoint, makeRegion bool) error {
	if e.Interface != "public" && e.Interface != "internal" && e.Interface != "admin" {
		return nephos.Errorf(nephos.ErrInvalid, "The interface of an endpoint is public, internal or admin.").WithField("interface")
	}
	if _, _, ok := expandURL(e.URL, "u", "p"); !ok || !strings.Contains(e.URL, ":") {
		return nephos.Errorf(nephos.ErrInvalid, "Cannot create an endpoint with an invalid URL: %s.", clip(e.URL)).WithField("url")
	}
	if _, err := loadService(ctx, tx, e.ServiceID); err != nil {
		return missing(err, "endpoint service_id", "service table")
	}
	if e.RegionID == "" {
		return nil
	}
	_, err := loadRegion(ctx, tx, e.RegionID)
	if err != nil && makeRegion {
		if err := tooLong("region.id", e.RegionID, 255); err != nil {
			return err
		}
		return s.insertRegion(ctx, tx, Region{ID: e.RegionID, Extra: map[string]any{}})
	}
	return missing(err, "endpoint region_id", "region table")
}

// missing turns a missing row into a fault of the request.
func missing(err error, attribute, table string) error {
	if e, ok := err.(*nephos.Error); ok && e.Kind == nephos.ErrNotFound {
		return nephos.Errorf(nephos.ErrInvalid, "Expecting to find %s in %s. The server could not comply with the request since it is "+
			"either malformed or otherwise incorrect. The client is assumed to be in error.", attribute, table)
	}
	return err
}

// Endpoint implements [Endpoints].
func (s *Service) Endpoint(ctx context.Context, id string) (Endpoint, error) {
	return s.endpointFor(ctx, "identity:get_endpoint", id)
}

// endpointFor loads an endpoint and enforces the rule. As in Keystone anybody
// learns whether it exists.
func (s *Service) endpointFor(ctx context.Context, rule, id string) (Endpoint, error) {
	e, err := loadEndpoint(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return Endpoint{}, err
	}
	return e, s.enforce(ctx, rule, nil)
}

// ListEndpoints implements [Endpoints].
func (s *Service) ListEndpoints(ctx context.Context, f EndpointFilter, p nephos.Page) ([]Endpoint, bool, error) {
	if err := s.enforce(ctx, "identity:list_endpoints", nil); err != nil {
		return nil, false, err
	}
	var rows []endpointRow
	q := s.cfg.Store.Reader().NewSelect().Model(&rows)
	if f.ServiceID != "" {
		q = q.Where("endpoint.service_id = ?", f.ServiceID)
	}
	if f.Interface != "" {
		q = q.Where("endpoint.interface = ?", f.Interface)
	}
	if f.RegionID != "" {
		q = q.Where("endpoint.region_id = ?", f.RegionID)
	}
	more, err := page(ctx, s, q, &rows, "endpoint", p)
	endpoints := make([]Endpoint, len(rows))
	for i, r := range rows {
		endpoints[i] = r.Endpoint
	}
	return endpoints, more, err
}

// UpdateEndpoint implements [Endpoints].
func (s *Service) UpdateEndpoint(ctx context.Context, id string, u EndpointUpdate) (Endpoint, error) {
	if _, err := s.endpointFor(ctx, "identity:update_endpoint", id); err != nil {
		return Endpoint{}, err
	}
	var e Endpoint
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if e, err = loadEndpoint(ctx, tx, id); err != nil {
			return err
		}
		set(&e.ServiceID, u.ServiceID)
		set(&e.Interface, u.Interface)
		set(&e.RegionID, u.RegionID)
		set(&e.URL, u.URL)
		set(&e.Enabled, u.Enabled)
		e.Extra = mergeExtra(e.Extra, u.Extra)
		if err := s.checkEndpoint(ctx, tx, e, u.MakeRegion); err != nil {
			return err
		}
		if _, err := tx.NewUpdate().Model(&endpointRow{Endpoint: e}).ExcludeColumn("managed").WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.emitCatalog(ctx, tx, "endpoint.update", id)
	})
	return e, err
}

// DeleteEndpoint implements [Endpoints].
func (s *Service) DeleteEndpoint(ctx context.Context, id string) error {
	if _, err := s.endpointFor(ctx, "identity:delete_endpoint", id); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := loadEndpoint(ctx, tx, id); err != nil {
			return err
		}
		if _, err := tx.NewRaw("DELETE FROM identity_endpoints WHERE id = ?", id).Exec(ctx); err != nil {
			return err
		}
		return s.emitCatalog(ctx, tx, "endpoint.delete", id)
	})
}
