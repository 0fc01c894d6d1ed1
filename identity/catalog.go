package identity

import (
	"context"
	"strings"

	"github.com/uptrace/bun"
)

// Catalog is the cloud's services as one project sees them: what is disabled is
// left out, and ids are filled into the URLs. It is shared: nobody may change it.
// The same pointer is returned while nothing changes.
type Catalog struct {
	Services []CatalogService

	generation uint64 // of the catalog
}

// CatalogService is a service and where to reach it.
type CatalogService struct {
	ID, Type, Name string
	Endpoints      []CatalogEndpoint
}

// CatalogEndpoint is a URL of a service. Interface is public, internal or admin.
type CatalogEndpoint struct {
	ID, Interface, RegionID, URL string
}

// catalogFor returns the catalog for a user in a project, which may be empty.
func (s *Service) catalogFor(ctx context.Context, db bun.IDB, userID, projectID string) (*Catalog, error) {
	generation := s.catalog.now()
	// Most catalogs do not depend on the user; those that do are kept for each.
	for _, key := range []string{projectID, projectID + "/" + userID} {
		if c, ok := s.catalogs.get(key); ok && c.generation == generation {
			return c, nil
		}
	}
	var services []serviceRow
	if err := db.NewSelect().Model(&services).Where("service.enabled").Order("service.type", "service.id").Scan(ctx); err != nil {
		return nil, err
	}
	var endpoints []endpointRow
	if err := db.NewSelect().Model(&endpoints).Where("endpoint.enabled").Order("endpoint.service_id", "endpoint.id").Scan(ctx); err != nil {
		return nil, err
	}
	byService := map[string][]CatalogEndpoint{}
	key := projectID
	for _, e := range endpoints {
		url, perUser, ok := expandURL(e.URL, userID, projectID)
		if !ok {
			continue
		}
		if perUser {
			key = projectID + "/" + userID
		}
		byService[e.ServiceID] = append(byService[e.ServiceID], CatalogEndpoint{e.ID, e.Interface, e.RegionID, url})
	}
	c := &Catalog{generation: generation, Services: make([]CatalogService, 0, len(services))}
	for _, v := range services {
		name := ""
		if v.Name != nil {
			name = *v.Name
		}
		c.Services = append(c.Services, CatalogService{v.ID, v.Type, name, byService[v.ID]})
	}
	s.catalogs.put(key, c)
	return c, nil
}

// expandURL fills ids into an endpoint's template: $(project_id)s, and the same
// with a percent sign, tenant_id or user_id. One that needs a project is left
// out where there is none, as is one that asks for anything else.
func expandURL(template, userID, projectID string) (url string, perUser, ok bool) {
	if !strings.Contains(template, "(") {
		return template, false, true
	}
	var b strings.Builder
	rest := template
	for {
		i := strings.IndexAny(rest, "$%")
		if i < 0 || i+1 >= len(rest) {
			b.WriteString(rest)
			return b.String(), perUser, true
		}
		b.WriteString(rest[:i])
		if rest[i+1] != '(' {
			b.WriteByte(rest[i])
			rest = rest[i+1:]
			continue
		}
		name, after, found := strings.Cut(rest[i+2:], ")s")
		switch {
		case found && (name == "project_id" || name == "tenant_id") && projectID != "":
			b.WriteString(projectID)
		case found && name == "user_id":
			b.WriteString(userID)
			perUser = true
		default:
			return "", perUser, false
		}
		rest = after
	}
}
