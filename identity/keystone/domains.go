package keystone

import (
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
	"github.com/nephos-cloud/nephos/identity"
)

var (
	domainSchema = open(map[string]schema.Schema{
		"name": pShortName, "description": pNullText, "enabled": pBool, "tags": pTags, "options": pImmutable,
		"explicit_domain_id": pNullText,
	}, "name")
	domainUpdateSchema = changed(domainSchema)
)

func (a *api) domainRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v3/domains", Rules: rules("create_domain"), Handler: a.createDomain},
		{Pattern: "GET /v3/domains", Rules: rules("list_domains"), Handler: a.listDomains},
		{Pattern: "GET /v3/domains/{id}", Rules: rules("get_domain"), Handler: a.showDomain},
		{Pattern: "PATCH /v3/domains/{id}", Rules: rules("update_domain"), Handler: a.updateDomain},
		{Pattern: "DELETE /v3/domains/{id}", Rules: rules("delete_domain"), Handler: a.deleteDomain},
	}
}

func domainBody(r *httpapi.Request, d identity.Domain) map[string]any {
	return render(map[string]any{
		"id": d.ID, "name": d.Name, "description": d.Description, "enabled": d.Enabled, "options": d.Options, "tags": d.Tags,
		"links": self{link(r, "domains", d.ID)},
	}, d.Extra)
}

func domainList(r *httpapi.Request, domains []identity.Domain, more bool) *httpapi.Response {
	bodies := mapped(domains, func(d identity.Domain) map[string]any { return domainBody(r, d) })
	return collection(r, "domains", bodies, more, lastID(domains, func(d identity.Domain) string { return d.ID }))
}

func (a *api) createDomain(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "domain", domainSchema)
	if err != nil {
		return nil, a.refuse(r, err, "create_domain", "")
	}
	d, err := a.Domains.CreateDomain(r.Context(), identity.DomainSpec{
		ID: o.text("explicit_domain_id"), Name: o.text("name"), Description: o.nullText("description"), NoDescription: o.isNull("description"), Enabled: o.flag("enabled"), Options: o.object("options"),
		Tags: o.texts("tags"), Extra: o.rest("explicit_domain_id", "name", "description", "enabled", "options", "tags"),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.Created(map[string]any{"domain": domainBody(r, d)}), nil
}

func (a *api) listDomains(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := paging(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	domains, more, err := a.Domains.ListDomains(r.Context(), identity.DomainFilter{Name: matches(q, "name"), Enabled: flagFilter(q, "enabled")}, p)
	if err != nil {
		return nil, err
	}
	return domainList(r, domains, more), nil
}

func (a *api) showDomain(r *httpapi.Request) (*httpapi.Response, error) {
	d, err := a.Domains.Domain(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"domain": domainBody(r, d)}), nil
}

func (a *api) updateDomain(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "domain", domainUpdateSchema)
	if err != nil {
		return nil, a.refuse(r, err, "update_domain", r.PathValue("id"))
	}
	id := r.PathValue("id")
	if err := o.checkID(id); err != nil {
		return nil, err
	}
	u := identity.DomainUpdate{
		Name: o.textPtr("name"), Description: o.nullText("description"), NoDescription: o.isNull("description"), Enabled: o.flag("enabled"), Options: o.object("options"),
		Extra: o.rest("name", "description", "enabled", "options", "tags"),
	}
	if _, ok := o["tags"]; ok {
		tags := o.texts("tags")
		u.Tags = &tags
	}
	d, err := a.Domains.UpdateDomain(r.Context(), id, u)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"domain": domainBody(r, d)}), nil
}

func (a *api) deleteDomain(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Domains.DeleteDomain(r.Context(), r.PathValue("id"))
}
