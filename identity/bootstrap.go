package identity

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// BootstrapConfig is what a new cloud begins with.
type BootstrapConfig struct {
	// AdminPassword is the password of the user admin. It is set when the user is
	// made; later it is left as it is, unless ResetPassword says otherwise.
	AdminPassword string
	// Generated says that the password came from [GeneratePassword]: 256 random
	// bits need no slow hash.
	Generated     bool
	ResetPassword bool
	// Region is where the catalog's endpoints are; empty means RegionOne.
	Region string
	// Catalog is what is mounted. A service that was in an earlier call and is
	// not any more leaves the catalog; those that the API made stay.
	Catalog []CatalogEntry
}

// CatalogEntry is a service for the catalog.
type CatalogEntry struct {
	Type, Name, Description string
	// URLs are by interface: public, internal, admin. They may hold $(project_id)s.
	URLs   map[string]string
	Region string // empty: BootstrapConfig.Region
}

// Bootstrapped names what [Service.Bootstrap] made or found.
type Bootstrapped struct {
	DomainID, ProjectID, UserID string
	Roles                       map[string]string // ids by name
}

// GeneratePassword returns 256 random bits as text. A nil reader means crypto/rand.
func GeneratePassword(random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	raw := make([]byte, 32)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("generating a password: %w", err)
	}
	return b64.EncodeToString(raw), nil
}

// impliedAtStart is what the first roles imply: an admin is a manager, who is a
// member, who is a reader.
var impliedAtStart = []string{"admin", "manager", "member", "reader"}

// Bootstrap makes the domain Default, the project and the user admin, the roles
// admin, manager, member, reader and service, gives admin the role admin on the
// project and the system, and writes the catalog. Done again it makes what is
// missing and brings the catalog up to date. It needs no caller.
func (s *Service) Bootstrap(ctx context.Context, cfg BootstrapConfig) (Bootstrapped, error) {
	if cfg.Region == "" {
		cfg.Region = "RegionOne"
	}
	hash := ""
	if cfg.AdminPassword != "" {
		var err error
		if cfg.Generated {
			random := s.cfg.IDs.Rand
			if random == nil {
				random = rand.Reader
			}
			hash, err = hashGenerated(cfg.AdminPassword, random)
		} else {
			hash, err = hashChosen(cfg.AdminPassword, s.cfg.BcryptCost)
		}
		if err != nil {
			return Bootstrapped{}, err
		}
	}
	ctx = nephos.WithCaller(ctx, nephos.Service("identity", nephos.Caller{}))
	var out Bootstrapped
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		out = Bootstrapped{DomainID: DefaultDomainID, Roles: map[string]string{}}
		if err := s.ensureDefaultDomain(ctx, tx); err != nil {
			return err
		}
		if err := s.ensureRoles(ctx, tx, out.Roles); err != nil {
			return err
		}
		if err := s.ensureAdmin(ctx, tx, &out, hash, cfg.ResetPassword); err != nil {
			return err
		}
		if err := s.ensureCatalog(ctx, tx, cfg); err != nil {
			return err
		}
		return s.startWork(ctx, tx)
	})
	if err != nil {
		return Bootstrapped{}, fmt.Errorf("bootstrapping the identity service: %w", err)
	}
	return out, nil
}

func (s *Service) ensureDefaultDomain(ctx context.Context, tx *store.Tx) error {
	found, err := tx.NewSelect().Model((*projectRow)(nil)).Where("project.id = ?", DefaultDomainID).Exists(ctx)
	if err != nil || found {
		return err
	}
	description := "The default domain"
	return s.insertProject(ctx, tx, Project{
		ID: DefaultDomainID, Name: "Default", IsDomain: true, Enabled: true, Description: &description,
		Options: map[string]any{}, Extra: map[string]any{},
	})
}

func (s *Service) ensureRoles(ctx context.Context, tx *store.Tx, ids map[string]string) error {
	names := append(slices.Clone(impliedAtStart), "service")
	var rows []roleRow
	if err := tx.NewSelect().Model(&rows).Where("role.domain_id = '' AND role.name IN (?)", bun.List(names)).Scan(ctx); err != nil {
		return err
	}
	for _, r := range rows {
		ids[r.Name] = r.ID
	}
	for _, name := range names {
		if ids[name] != "" {
			continue
		}
		role := Role{ID: s.cfg.IDs.Hex(), Name: name, Options: map[string]any{"immutable": true}, Extra: map[string]any{}}
		if _, err := tx.NewInsert().Model(&roleRow{Role: role}).Exec(ctx); err != nil {
			return err
		}
		if err := s.emit(ctx, tx, "role.create", role.ID, nil); err != nil {
			return err
		}
		ids[name] = role.ID
	}
	for i, prior := range impliedAtStart[:len(impliedAtStart)-1] {
		_, err := tx.NewRaw("INSERT INTO identity_implied_roles (prior_id, implied_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
			ids[prior], ids[impliedAtStart[i+1]]).Exec(ctx)
		if err != nil {
			return err
		}
	}
	s.changed(tx)
	return nil
}

func (s *Service) ensureAdmin(ctx context.Context, tx *store.Tx, out *Bootstrapped, hash string, reset bool) error {
	var project projectRow
	found, err := one(ctx, tx.NewSelect().Model(&project).Where("project.name = 'admin' AND project.domain_id = ?", DefaultDomainID))
	if err != nil {
		return err
	}
	if !found {
		description := "Bootstrap project for initializing the cloud."
		project.Project = Project{
			ID: s.cfg.IDs.Hex(), Name: "admin", DomainID: DefaultDomainID, ParentID: DefaultDomainID, Enabled: true,
			Description: &description, Options: map[string]any{}, Extra: map[string]any{},
		}
		if err := s.insertProject(ctx, tx, project.Project); err != nil {
			return err
		}
	}
	var user userRow
	found, err = one(ctx, tx.NewSelect().Model(&user).Where("usr.name = 'admin' AND usr.domain_id = ?", DefaultDomainID))
	switch {
	case err != nil:
		return err
	case !found && hash == "":
		return nephos.Errorf(nephos.ErrInvalid, "the user admin needs a password")
	case !found:
		user = userRow{PasswordHash: hash, User: User{
			ID: s.cfg.IDs.Hex(), Name: "admin", DomainID: DefaultDomainID, Enabled: true, Options: map[string]any{}, Extra: map[string]any{},
		}}
		if _, err := tx.NewInsert().Model(&user).Exec(ctx); err != nil {
			return err
		}
		if err := s.emit(ctx, tx, "user.create", user.ID, nil); err != nil {
			return err
		}
	case reset && hash != "":
		user.PasswordHash, user.PasswordExpiresAt, user.Enabled = hash, nil, true
		user.TokensAfter = voidUntil(user.TokensAfter, tx.Now())
		if _, err := tx.NewUpdate().Model(&user).WherePK().Exec(ctx); err != nil {
			return err
		}
		if err := s.emit(ctx, tx, "user.update", user.ID, nil); err != nil {
			return err
		}
	}
	out.ProjectID, out.UserID = project.ID, user.ID
	for _, g := range []Grant{
		{UserID: user.ID, ProjectID: project.ID, RoleID: out.Roles["admin"]},
		{UserID: user.ID, System: true, RoleID: out.Roles["admin"]},
	} {
		if err := s.grant(ctx, tx, g); err != nil {
			return err
		}
	}
	return nil
}

// ensureCatalog writes the rows of the entries, whose ids follow from what they
// are, and drops those of entries that are no more.
func (s *Service) ensureCatalog(ctx context.Context, tx *store.Tx, cfg BootstrapConfig) error {
	s.catalogChanged(tx)
	services, endpoints := []string{""}, []string{""}
	regions := map[string]bool{cfg.Region: true}
	for _, e := range cfg.Catalog {
		if e.Region != "" {
			regions[e.Region] = true
		}
	}
	for region := range regions {
		_, err := tx.NewRaw("INSERT INTO identity_regions (id, parent_id, description, extra) VALUES (?, '', '', '{}') ON CONFLICT DO NOTHING", region).Exec(ctx)
		if err != nil {
			return err
		}
	}
	for _, e := range cfg.Catalog {
		name := e.Name
		row := serviceRow{Managed: true, CloudService: CloudService{
			ID: hexID("catalog", e.Type), Type: e.Type, Name: &name, Description: &e.Description, Enabled: true, Extra: map[string]any{},
		}}
		services = append(services, row.ID)
		_, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").Set("type = excluded.type").Set("name = excluded.name").
			Set("description = excluded.description").Returning("NULL").Exec(ctx)
		if err != nil {
			return err
		}
		region := e.Region
		if region == "" {
			region = cfg.Region
		}
		for face, url := range e.URLs {
			row := endpointRow{Managed: true, Endpoint: Endpoint{
				ID: hexID("catalog", e.Type+"/"+region+"/"+face), ServiceID: row.ID, Interface: face, RegionID: region, URL: url,
				Enabled: true, Extra: map[string]any{},
			}}
			endpoints = append(endpoints, row.ID)
			_, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").Set("url = excluded.url").Returning("NULL").Exec(ctx)
			if err != nil {
				return err
			}
		}
	}
	if _, err := tx.NewRaw("DELETE FROM identity_endpoints WHERE managed AND id NOT IN (?)", bun.List(endpoints)).Exec(ctx); err != nil {
		return err
	}
	_, err := tx.NewRaw(`DELETE FROM identity_services WHERE managed AND id NOT IN (?)
		AND id NOT IN (SELECT service_id FROM identity_endpoints)`, bun.List(services)).Exec(ctx)
	return err
}

func hexID(parent, name string) string {
	return strings.ReplaceAll(nephos.ChildID(parent, name), "-", "")
}
