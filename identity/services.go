package identity

import (
	"context"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// CloudService is an entry of the catalog: a service such as compute.
type CloudService struct {
	ID          string `bun:",pk"`
	Type        string
	Name        *string
	Description *string
	Enabled     bool
	Extra       map[string]any
}

// ServiceSpec describes a service to create.
type ServiceSpec struct {
	Type          string
	Name          *string
	Description   *string
	NoDescription bool  // it is null, whatever Description says
	Enabled       *bool // nil: true
	Extra         map[string]any
}

// ServiceUpdate changes a service; what is nil stays.
type ServiceUpdate struct {
	Type, Name, Description *string
	NoDescription           bool // it is null, whatever Description says
	Enabled                 *bool
	Extra                   map[string]any
}

// ServiceFilter narrows a list of services.
type ServiceFilter struct {
	Type, Name []Match
}

// Services is what the Identity API's services need.
type Services interface {
	CreateService(ctx context.Context, spec ServiceSpec) (CloudService, error)
	Service(ctx context.Context, id string) (CloudService, error)
	ListServices(ctx context.Context, f ServiceFilter, p nephos.Page) ([]CloudService, bool, error)
	UpdateService(ctx context.Context, id string, u ServiceUpdate) (CloudService, error)
	// DeleteService removes a service and its endpoints.
	DeleteService(ctx context.Context, id string) error
}

var _ Services = (*Service)(nil)

// CreateService implements [Services].
func (s *Service) CreateService(ctx context.Context, spec ServiceSpec) (CloudService, error) {
	if err := s.enforce(ctx, "identity:create_service", nil); err != nil {
		return CloudService{}, err
	}
	v := CloudService{
		ID: s.cfg.IDs.Hex(), Type: spec.Type, Name: orEmpty(spec.Name), Description: spec.Description,
		Enabled: spec.Enabled == nil || *spec.Enabled, Extra: mergeExtra(nil, spec.Extra),
	}
	if err := checkServiceType(v.Type); err != nil {
		return CloudService{}, err
	}
	v.describe(nil, spec.NoDescription)
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, first, err := tx.Once(ctx, "identity.create_service", v.ID)
		if err != nil {
			return err
		}
		if !first {
			v, err = loadService(ctx, tx, id)
			return err
		}
		if _, err := tx.NewInsert().Model(&serviceRow{CloudService: v}).Exec(ctx); err != nil {
			return err
		}
		return s.emitCatalog(ctx, tx, "service.create", v.ID)
	})
	return v, err
}

// describe changes the description. A service without one has none to show, one
// whose description was taken away shows null.
func (v *CloudService) describe(said *string, none bool) {
	describe(&v.Description, said, none)
	if none {
		v.Extra["description"] = nil
	}
}

func checkServiceType(t string) error {
	if t == "" || len(t) > maxName {
		return nephos.Errorf(nephos.ErrInvalid, "The type of a service has 1 to %d bytes.", maxName).WithField("type")
	}
	return nil
}

// Service implements [Services].
func (s *Service) Service(ctx context.Context, id string) (CloudService, error) {
	if err := s.enforce(ctx, "identity:get_service", nil); err != nil {
		return CloudService{}, err
	}
	return loadService(ctx, s.cfg.Store.Reader(), id)
}

// ListServices implements [Services].
func (s *Service) ListServices(ctx context.Context, f ServiceFilter, p nephos.Page) ([]CloudService, bool, error) {
	if err := s.enforce(ctx, "identity:list_services", nil); err != nil {
		return nil, false, err
	}
	var rows []serviceRow
	q := where(where(s.cfg.Store.Reader().NewSelect().Model(&rows), "service.type", f.Type), "service.name", f.Name)
	more, err := page(ctx, s, q, &rows, "service", p)
	services := make([]CloudService, len(rows))
	for i, r := range rows {
		services[i] = r.CloudService
	}
	return services, more, err
}

// UpdateService implements [Services].
func (s *Service) UpdateService(ctx context.Context, id string, u ServiceUpdate) (CloudService, error) {
	if err := s.enforce(ctx, "identity:update_service", nil); err != nil {
		return CloudService{}, err
	}
	if u.Type != nil {
		if err := checkServiceType(*u.Type); err != nil {
			return CloudService{}, err
		}
	}
	var v CloudService
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if v, err = loadService(ctx, tx, id); err != nil {
			return err
		}
		set(&v.Type, u.Type)
		set(&v.Enabled, u.Enabled)
		if u.Name != nil {
			v.Name = u.Name
		}
		v.Extra = mergeExtra(v.Extra, u.Extra)
		v.describe(u.Description, u.NoDescription)
		if _, err := tx.NewUpdate().Model(&serviceRow{CloudService: v}).ExcludeColumn("managed").WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.emitCatalog(ctx, tx, "service.update", id)
	})
	return v, err
}

// DeleteService implements [Services].
func (s *Service) DeleteService(ctx context.Context, id string) error {
	if err := s.enforce(ctx, "identity:delete_service", nil); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := loadService(ctx, tx, id); err != nil {
			return err
		}
		for _, q := range []string{"DELETE FROM identity_endpoints WHERE service_id = ?", "DELETE FROM identity_services WHERE id = ?"} {
			if _, err := tx.NewRaw(q, id).Exec(ctx); err != nil {
				return err
			}
		}
		return s.emitCatalog(ctx, tx, "service.delete", id)
	})
}
