package identity

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// DefaultDomainID is the id of the domain that [Service.Bootstrap] makes, and
// to which users and projects belong that name none.
const DefaultDomainID = "default"

// Domain holds users, groups and projects, whose names are unique in it. It is
// the project at the top of its tree.
type Domain struct {
	ID          string
	Name        string // unique
	Description *string
	Enabled     bool
	Options     map[string]any
	Tags        []string
	Extra       map[string]any
}

// DomainSpec describes a domain to create.
type DomainSpec struct {
	// ID is the id that the domain shall have, a UUID with or without dashes.
	// Empty: a new one.
	ID            string
	Name          string
	Description   *string
	NoDescription bool  // it is null, whatever Description says
	Enabled       *bool // nil: true
	Options       map[string]any
	Tags          []string
	Extra         map[string]any
}

// DomainUpdate changes a domain; what is nil stays.
type DomainUpdate struct {
	Name          *string
	Description   *string
	NoDescription bool // it is null, whatever Description says
	Enabled       *bool
	Options       map[string]any
	Tags          *[]string
	Extra         map[string]any
}

// DomainFilter narrows a list of domains.
type DomainFilter struct {
	Name    []Match
	Enabled *bool
}

// Domains is what the Identity API's domains need.
type Domains interface {
	// CreateDomain makes a domain. A name that is taken is ErrConflict.
	CreateDomain(ctx context.Context, spec DomainSpec) (Domain, error)
	Domain(ctx context.Context, id string) (Domain, error)
	ListDomains(ctx context.Context, f DomainFilter, p nephos.Page) ([]Domain, bool, error)
	// UpdateDomain changes a domain. Disabling one ends every token of its users
	// and on its projects.
	UpdateDomain(ctx context.Context, id string, u DomainUpdate) (Domain, error)
	// DeleteDomain removes a disabled domain and all in it; an enabled one is
	// ErrForbidden.
	DeleteDomain(ctx context.Context, id string) error
}

var _ Domains = (*Service)(nil)

// CreateDomain implements [Domains].
func (s *Service) CreateDomain(ctx context.Context, spec DomainSpec) (Domain, error) {
	if err := s.enforce(ctx, "identity:create_domain", nil); err != nil {
		return Domain{}, err
	}
	if err := checkName("domain", spec.Name); err != nil {
		return Domain{}, err
	}
	if err := checkTags(spec.Tags); err != nil {
		return Domain{}, err
	}
	id := spec.ID
	if id == "" {
		id = s.cfg.IDs.Hex()
	} else if raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", "")); err != nil || len(raw) != 16 || len(id) > 36 {
		return Domain{}, nephos.Errorf(nephos.ErrInvalid, "Domain ID does not conform to required UUID format.").WithField("explicit_domain_id")
	}
	p := Project{
		ID: id, Name: spec.Name, IsDomain: true, Enabled: spec.Enabled == nil || *spec.Enabled,
		Description: described(spec.Description, spec.NoDescription), Options: mergeOptions(nil, spec.Options),
		Extra: mergeExtra(nil, spec.Extra), Tags: sortedTags(spec.Tags),
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, first, err := tx.Once(ctx, "identity.create_domain", p.ID)
		if err != nil {
			return err
		}
		if !first {
			p, err = loadDomain(ctx, tx, id)
			return err
		}
		return s.insertProject(ctx, tx, p)
	})
	return domainOf(p), projectTaken(err, p)
}

// Domain implements [Domains].
func (s *Service) Domain(ctx context.Context, id string) (Domain, error) {
	return s.domainFor(ctx, "identity:get_domain", id)
}

func (s *Service) domainFor(ctx context.Context, rule, id string) (Domain, error) {
	p, err := loadDomain(ctx, s.cfg.Store.Reader(), id)
	if err != nil && rule != "identity:get_domain" {
		return Domain{}, err // as in Keystone, before it asks who wants to know
	}
	if e := s.enforce(ctx, rule, target("target.domain.id", p.ID)); e != nil {
		return Domain{}, e
	}
	return domainOf(p), err
}

// ListDomains implements [Domains].
func (s *Service) ListDomains(ctx context.Context, f DomainFilter, p nephos.Page) ([]Domain, bool, error) {
	if err := s.enforce(ctx, "identity:list_domains", nil); err != nil {
		return nil, false, err
	}
	var rows []projectRow
	q := filterProjects(s.cfg.Store.Reader().NewSelect().Model(&rows), ProjectFilter{Name: f.Name, Enabled: f.Enabled, IsDomain: true})
	more, err := page(ctx, s, q, &rows, "project", p)
	if err != nil {
		return nil, false, err
	}
	projects, err := withTags(ctx, s.cfg.Store.Reader(), rows)
	return domainsOf(projects), more, err
}

// UpdateDomain implements [Domains].
func (s *Service) UpdateDomain(ctx context.Context, id string, u DomainUpdate) (Domain, error) {
	if _, err := s.domainFor(ctx, "identity:update_domain", id); err != nil {
		return Domain{}, err
	}
	p, err := s.updateProject(ctx, id, ProjectUpdate{
		Name: u.Name, Description: u.Description, NoDescription: u.NoDescription, Enabled: u.Enabled, Options: u.Options, Tags: u.Tags, Extra: u.Extra,
	})
	return domainOf(p), err
}

// DeleteDomain implements [Domains].
func (s *Service) DeleteDomain(ctx context.Context, id string) error {
	if _, err := s.domainFor(ctx, "identity:delete_domain", id); err != nil {
		return err
	}
	return s.deleteDomain(ctx, id)
}

func (s *Service) deleteDomain(ctx context.Context, id string) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		d, err := loadDomain(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := checkImmutableDelete("domain", id, d.Options); err != nil {
			return err
		}
		if d.Enabled {
			return nephos.Errorf(nephos.ErrForbidden, "Cannot delete a domain that is enabled, please disable it first.")
		}
		var projects []string
		if err := tx.NewRaw("SELECT id FROM identity_projects WHERE domain_id = ?", id).Scan(ctx, &projects); err != nil {
			return err
		}
		const users = "(SELECT id FROM identity_users WHERE domain_id = ?0)"
		const groups = "(SELECT id FROM identity_groups WHERE domain_id = ?0)"
		const roles = "(SELECT id FROM identity_roles WHERE domain_id = ?0)"
		const within = "(SELECT id FROM identity_projects WHERE domain_id = ?0 OR id = ?0)"
		for _, q := range []string{
			"DELETE FROM identity_assignments WHERE actor_id IN " + users + " OR actor_id IN " + groups + " OR target_id IN " + within + " OR role_id IN " + roles,
			"DELETE FROM identity_memberships WHERE user_id IN " + users + " OR group_id IN " + groups,
			"DELETE FROM identity_application_credentials WHERE user_id IN " + users + " OR project_id IN " + within,
			"DELETE FROM identity_implied_roles WHERE prior_id IN " + roles + " OR implied_id IN " + roles,
			"UPDATE identity_users SET default_project_id = '' WHERE default_project_id IN " + within,
			"DELETE FROM identity_project_tags WHERE project_id IN " + within,
			"DELETE FROM identity_roles WHERE domain_id = ?0",
			"DELETE FROM identity_users WHERE domain_id = ?0",
			"DELETE FROM identity_groups WHERE domain_id = ?0",
			"DELETE FROM identity_projects WHERE domain_id = ?0 OR id = ?0",
		} {
			if _, err := tx.NewRaw(q, id).Exec(ctx); err != nil {
				return err
			}
		}
		for _, p := range projects {
			if err := s.emit(ctx, tx, "project.delete", p, nil); err != nil {
				return err
			}
		}
		return s.emit(ctx, tx, "domain.delete", id, nil)
	})
}

func domainOf(p Project) Domain {
	return Domain{
		ID: p.ID, Name: p.Name, Description: p.Description, Enabled: p.Enabled, Options: p.Options, Tags: p.Tags, Extra: p.Extra,
	}
}

func domainsOf(projects []Project) []Domain {
	domains := make([]Domain, len(projects))
	for i, p := range projects {
		domains[i] = domainOf(p)
	}
	return domains
}
