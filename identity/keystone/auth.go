package keystone

import (
	"errors"
	"net/http"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
	"github.com/nephos-cloud/nephos/identity"
)

var (
	pRefDomain = open(map[string]schema.Schema{"id": pText, "name": pText})

	pAuthUser = open(map[string]schema.Schema{
		"id": pText, "name": pText, "password": pText, "domain": pRefDomain,
	})

	authSchema = open(map[string]schema.Schema{
		"identity": open(map[string]schema.Schema{
			"methods":  listOf(pText),
			"password": open(map[string]schema.Schema{"user": pAuthUser}),
			"token":    open(map[string]schema.Schema{"id": pText}, "id"),
			"application_credential": open(map[string]schema.Schema{
				"id": pText, "name": pText, "secret": pText, "user": pAuthUser,
			}),
		}, "methods"),
		"scope": orText(open(map[string]schema.Schema{
			"project": open(map[string]schema.Schema{"id": pText, "name": pText, "domain": pRefDomain}),
			"domain":  pRefDomain,
			"system":  open(map[string]schema.Schema{"all": pBool}),
		})),
	}, "identity")
)

// authHint is what a refusal tells of how to authenticate.
type authHint map[string][]string

func (h *authHint) Error() string { return "it takes another way to authenticate" }

// hinted is the answer to a refusal with a hint; nil where there is none.
func (a *api) hinted(err error) *httpapi.Response {
	var e *nephos.Error
	var hint *authHint
	if !errors.As(err, &hint) || !errors.As(err, &e) {
		return nil
	}
	where := a.HTTP.AuthURL
	if a.HTTP.AuthURLFunc != nil {
		where = a.HTTP.AuthURLFunc()
	}
	return httpapi.Status(http.StatusUnauthorized, map[string]any{"error": map[string]any{
		"code": http.StatusUnauthorized, "title": "Unauthorized", "message": e.Message, "identity": hint,
	}}).Set("WWW-Authenticate", `Keystone uri="`+where+`"`)
}

// authRequest decodes the body of a request for a token.
func authRequest(r *httpapi.Request) (identity.AuthRequest, error) {
	var req identity.AuthRequest
	body, err := decode(r)
	if err != nil {
		return req, err
	}
	if body["auth"] == nil {
		return req, expecting("auth", "request body")
	}
	v, _ := body["auth"].(map[string]any)
	auth := object(v)
	if err := check(&authSchema, body["auth"]); err != nil {
		return req, err
	}
	id := auth.object("identity")
	seen := map[string]bool{}
	for _, m := range id["methods"].([]any) {
		method := m.(string)
		if seen[method] {
			continue
		}
		seen[method] = true
		req.Methods = append(req.Methods, method)
		if id[method] == nil {
			return req, expecting(method, "identity")
		}
		if err := authMethod(&req, method, id.object(method)); err != nil {
			return req, err
		}
	}
	if _, scoped := auth["scope"]; scoped && auth["scope"] != "unscoped" && req.AppCred != nil {
		e := nephos.Errorf(nephos.ErrUnauthenticated,
			"Error authenticating with application credential: Application credentials cannot request a scope.")
		e.Cause = &authHint{}
		return req, e
	}
	return req, authScope(&req.Scope, auth)
}

func authMethod(req *identity.AuthRequest, method string, o object) error {
	switch method {
	case "password":
		user := o.object("user")
		if user == nil {
			return expecting("user", "None") // sic: so says Keystone
		}
		domain := user.object("domain")
		if err := checkAuthUser(user, "identity/password/user"); err != nil {
			return err
		}
		req.Password = &identity.PasswordAuth{
			UserID: user.text("id"), UserName: user.text("name"), DomainID: domain.text("id"), DomainName: domain.text("name"),
			Password: user.text("password"),
		}
		if req.Password.UserName != "" {
			req.Password.UserID = ""
		}
	case "external":
		return nephos.Errorf(nephos.ErrUnauthenticated, "The request you have made requires authentication.")
	case "token":
		req.Token = o.text("id")
	case "application_credential":
		user := o.object("user")
		domain := user.object("domain")
		if o.text("id") == "" && o.text("name") == "" {
			return expecting("name or ID", "application credential")
		}
		if o.text("id") == "" {
			if len(user) == 0 {
				return expecting("user", "application credential")
			}
			if user.text("id") == "" && user["domain"] == nil {
				return expecting("domain", "user")
			}
		}
		req.AppCred = &identity.AppCredAuth{
			ID: o.text("id"), Name: o.text("name"), Secret: o.text("secret"), UserID: user.text("id"), UserName: user.text("name"),
			DomainID: domain.text("id"), DomainName: domain.text("name"),
		}
	default:
		e := nephos.Errorf(nephos.ErrUnauthenticated, "Attempted to authenticate with an unsupported method.")
		e.Cause = &authHint{"methods": []string{"application_credential", "password", "token"}}
		return e
	}
	return nil
}

// checkAuthUser refuses a user that is not named well.
func checkAuthUser(user object, path string) error {
	if !user.names() {
		return nephos.Errorf(nephos.ErrInvalid, "Invalid input for field %s: id or name must be present.", path)
	}
	if v, has := user["domain"]; has {
		if domain, _ := v.(map[string]any); !object(domain).names() {
			return nephos.Errorf(nephos.ErrInvalid, "Invalid input for field %s/domain: id or name must be present.", path)
		}
		if user.text("id") == "" && user.text("name") == "" {
			return expecting("id or name", "user")
		}
		return nil
	}
	switch {
	case user.text("name") != "":
		return expecting("domain", "user")
	case user.text("id") == "":
		return expecting("id or name", "user")
	}
	return nil
}

// names reports whether an object names something by id or by name.
func (o object) names() bool {
	_, id := o["id"]
	_, name := o["name"]
	return id || name
}

func authScope(s *identity.Scope, auth object) error {
	if auth["scope"] == "unscoped" {
		s.Unscoped = true
		return nil
	}
	if _, has := auth["scope"]; !has {
		return nil
	}
	scope := auth.object("scope")
	n := 0
	for _, name := range []string{"project", "domain", "unscoped", "system", "OS-TRUST:trust"} {
		if _, has := scope[name]; has {
			n++
		}
	}
	if n != 1 {
		return expecting("system, project, domain, OS-TRUST:trust or unscoped", "scope")
	}
	switch {
	case scope["project"] != nil:
		p := scope.object("project")
		domain := p.object("domain")
		s.ProjectID, s.ProjectName = p.text("id"), p.text("name")
		s.DomainID, s.DomainName = domain.text("id"), domain.text("name")
		switch {
		case !p.names():
			return nephos.Errorf(nephos.ErrInvalid, "Invalid input for field scope/project: id or name must be present.")
		case domain != nil && !domain.names():
			return nephos.Errorf(nephos.ErrInvalid, "Invalid input for field scope/project/domain: id or name must be present.")
		case s.ProjectName != "" && domain == nil:
			return expecting("domain", "project")
		case s.ProjectName != "":
			s.ProjectID = ""
		case s.ProjectID != "":
			s.DomainID, s.DomainName = "", ""
		default:
			return nephos.Errorf(nephos.ErrUnauthenticated, "The request you have made requires authentication.")
		}
	case scope["domain"] != nil:
		d := scope.object("domain")
		s.DomainID, s.DomainName = d.text("id"), d.text("name")
		if s.DomainID == "" && s.DomainName == "" {
			return nephos.Errorf(nephos.ErrInvalid, "Invalid input for field scope/domain: id or name must be present.")
		}
	case scope["system"] != nil:
		s.System = true // whatever it says of all, as in Keystone
	case scope["OS-TRUST:trust"] != nil:
		if trust := scope.object("OS-TRUST:trust"); trust.text("id") == "" {
			return expecting("trust_id", "trust")
		}
		return nephos.Errorf(nephos.ErrUnauthenticated, "The request you have made requires authentication.")
	default:
		s.Unscoped = true
	}
	return nil
}
