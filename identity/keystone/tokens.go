package keystone

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
)

func (a *api) tokenRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v3/auth/tokens", Public: true, Handler: a.issueToken},
		{Pattern: "GET /v3/auth/tokens", Rules: rules("validate_token", "check_token"), Handler: a.showToken},
		{Pattern: "DELETE /v3/auth/tokens", Rules: rules("revoke_token"), Handler: a.revokeToken},
		{Pattern: "GET /v3/auth/catalog", Rules: rules("get_auth_catalog"), Handler: a.authCatalog},
		{Pattern: "GET /v3/auth/projects", Rules: rules("get_auth_projects"), Handler: a.authProjects},
		{Pattern: "GET /v3/auth/domains", Rules: rules("get_auth_domains"), Handler: a.authDomains},
		{Pattern: "GET /v3/auth/system", Rules: rules("get_auth_system"), Handler: a.authSystem},
	}
}

const subjectToken = "X-Subject-Token"

func (a *api) issueToken(r *httpapi.Request) (*httpapi.Response, error) {
	req, err := authRequest(r)
	if resp := a.hinted(err); resp != nil {
		return resp, nil
	}
	if err != nil {
		return nil, err
	}
	t, token, err := a.Tokens.Authenticate(r.Context(), req)
	if err != nil {
		return nil, err
	}
	body, err := a.tokenBody(t, r.URL.Query().Has("nocatalog"))
	if err != nil {
		return nil, err
	}
	return httpapi.Created(body).Set(subjectToken, token), nil
}

func (a *api) showToken(r *httpapi.Request) (*httpapi.Response, error) {
	token := r.Header.Get(subjectToken)
	var o identity.TokenOptions
	o.Check = r.Method == http.MethodHead
	nocatalog := false
	if r.URL.RawQuery != "" {
		q := r.URL.Query()
		nocatalog = q.Has("nocatalog")
		switch strings.ToLower(strings.TrimSpace(q.Get("allow_expired"))) {
		case "1", "t", "true", "on", "y", "yes":
			o.AllowExpired = true
		}
	}
	t, err := a.Tokens.ShowToken(r.Context(), token, o)
	if err != nil {
		return nil, err
	}
	body, err := a.tokenBody(t, nocatalog)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(body).Set(subjectToken, token), nil
}

func (a *api) revokeToken(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Tokens.RevokeToken(r.Context(), r.Header.Get(subjectToken))
}

// The wire structs of a token, in Keystone's order of fields.
type (
	wireDomain struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	wireUser struct {
		Domain            wireDomain `json:"domain"`
		ID                string     `json:"id"`
		Name              string     `json:"name"`
		PasswordExpiresAt *string    `json:"password_expires_at"`
	}
	wireProject struct {
		Domain wireDomain `json:"domain"`
		ID     string     `json:"id"`
		Name   string     `json:"name"`
	}
	wireAppCred struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		Restricted bool   `json:"restricted"`
	}
	wireToken struct {
		Methods   []string        `json:"methods"`
		User      wireUser        `json:"user"`
		AuditIDs  []string        `json:"audit_ids"`
		ExpiresAt string          `json:"expires_at"`
		IssuedAt  string          `json:"issued_at"`
		Project   *wireProject    `json:"project,omitempty"`
		IsDomain  *bool           `json:"is_domain,omitempty"`
		Domain    *wireDomain     `json:"domain,omitempty"`
		System    map[string]bool `json:"system,omitempty"`
		Roles     []wireDomain    `json:"roles,omitempty"`
		AppCred   *wireAppCred    `json:"application_credential,omitempty"`
	}
)

func wireTokenOf(t *identity.Token) wireToken {
	w := wireToken{
		Methods: t.Methods, AuditIDs: t.AuditIDs, ExpiresAt: stamp(t.ExpiresAt), IssuedAt: stamp(t.IssuedAt),
		User: wireUser{
			Domain: wireDomain(t.UserDomain), ID: t.User.ID, Name: t.User.Name, PasswordExpiresAt: stampOrNull(t.PasswordExpiresAt),
		},
	}
	for _, r := range t.Roles {
		w.Roles = append(w.Roles, wireDomain(r))
	}
	switch {
	case t.Project != nil:
		w.Project = &wireProject{wireDomain(t.ProjectDomain), t.Project.ID, t.Project.Name}
		w.IsDomain = &t.IsDomain
	case t.Domain != nil:
		d := wireDomain(*t.Domain)
		w.Domain = &d
	case t.System:
		w.System = map[string]bool{"all": true}
	}
	if t.AppCred != nil {
		w.AppCred = &wireAppCred{t.AppCred.ID, t.AppCred.Name, !t.AppCred.Unrestricted}
	}
	return w
}

// tokenBody encodes a token. What was encoded is remembered by the token's and
// the catalog's pointers, which change when what they stand for does.
func (a *api) tokenBody(t *identity.Token, nocatalog bool) (json.RawMessage, error) {
	nocatalog = nocatalog || t.Catalog == nil
	if !nocatalog {
		if body, ok := a.tokens.get(t); ok {
			return body, nil
		}
	}
	head, err := encode(wireTokenOf(t))
	if err != nil {
		return nil, err
	}
	if nocatalog {
		return slices.Concat([]byte(`{"token":`), head, []byte(`}`)), nil
	}
	catalog, err := a.catalogBody(t.Catalog)
	if err != nil {
		return nil, err
	}
	body := slices.Concat([]byte(`{"token":`), head[:len(head)-1], []byte(`,"catalog":`), catalog, []byte(`}}`))
	a.tokens.put(t, body)
	return body, nil
}

// encode writes JSON without HTML escapes.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

type (
	wireEndpoint struct {
		ID        string  `json:"id"`
		Interface string  `json:"interface"`
		RegionID  *string `json:"region_id"`
		URL       string  `json:"url"`
		Region    *string `json:"region"`
	}
	wireService struct {
		Endpoints []wireEndpoint `json:"endpoints"`
		ID        string         `json:"id"`
		Type      string         `json:"type"`
		Name      string         `json:"name"`
	}
)

func (a *api) catalogBody(c *identity.Catalog) ([]byte, error) {
	if b, ok := a.catalogs.get(c); ok {
		return b, nil
	}
	services := make([]wireService, len(c.Services))
	for i, s := range c.Services {
		services[i] = wireService{ID: s.ID, Type: s.Type, Name: s.Name, Endpoints: []wireEndpoint{}}
		for _, e := range s.Endpoints {
			w := wireEndpoint{ID: e.ID, Interface: e.Interface, URL: e.URL}
			if e.RegionID != "" {
				w.RegionID, w.Region = &e.RegionID, &e.RegionID
			}
			services[i].Endpoints = append(services[i].Endpoints, w)
		}
	}
	b, err := encode(services)
	if err == nil {
		a.catalogs.put(c, b)
	}
	return b, err
}

func (a *api) authCatalog(r *httpapi.Request) (*httpapi.Response, error) {
	c, err := a.Tokens.AuthCatalog(r.Context())
	if err != nil {
		return nil, err
	}
	b, err := a.catalogBody(c)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"catalog": json.RawMessage(b), "links": self{link(r, "auth/catalog")}}), nil
}

func (a *api) authProjects(r *httpapi.Request) (*httpapi.Response, error) {
	projects, err := a.Tokens.AuthProjects(r.Context())
	if err != nil {
		return nil, err
	}
	return projectList(r, projects, false), nil
}

func (a *api) authDomains(r *httpapi.Request) (*httpapi.Response, error) {
	domains, err := a.Tokens.AuthDomains(r.Context())
	if err != nil {
		return nil, err
	}
	return domainList(r, domains, false), nil
}

func (a *api) authSystem(r *httpapi.Request) (*httpapi.Response, error) {
	ok, err := a.Tokens.AuthSystem(r.Context())
	if err != nil {
		return nil, err
	}
	system := []map[string]bool{}
	if ok {
		system = append(system, map[string]bool{"all": true})
	}
	return httpapi.OK(map[string]any{"system": system, "links": self{link(r, "auth/system")}}), nil
}
