package keystone

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
	"github.com/nephos-cloud/nephos/identity"
)

var appCredSchema = open(map[string]schema.Schema{
	"name": pName, "description": pNullText, "secret": pNullText, "expires_at": pNullText, "unrestricted": pBool,
	"roles": listOf(closed(map[string]schema.Schema{"id": pID, "name": pName})),
	"access_rules": listOf(closed(map[string]schema.Schema{
		"path":    {Types: typeString, MaxLength: 225, Pattern: schema.Match(`^\/.*`)},
		"method":  {Types: typeString, Pattern: schema.Match(`^(POST|GET|HEAD|PATCH|PUT|DELETE)$`)},
		"service": pID, "id": pID,
	})),
}, "name")

func (a *api) appCredRoutes() []httpapi.Route {
	const all, one = " /v3/users/{id}/application_credentials", " /v3/users/{id}/application_credentials/{cred_id}"
	return []httpapi.Route{
		{Pattern: "POST" + all, Rules: rules("create_application_credential"), Handler: a.createAppCred},
		{Pattern: "GET" + all, Rules: rules("list_application_credentials"), Handler: a.listAppCreds},
		{Pattern: "GET" + one, Rules: rules("get_application_credential"), Handler: a.showAppCred},
		{Pattern: "DELETE" + one, Rules: rules("delete_application_credential"), Handler: a.deleteAppCred},
	}
}

func appCredBody(r *httpapi.Request, c identity.AppCredential) map[string]any {
	return map[string]any{
		"id": c.ID, "name": c.Name, "description": c.Description, "user_id": c.UserID, "project_id": c.ProjectID,
		"unrestricted": c.Unrestricted, "expires_at": stampOrNull(c.ExpiresAt),
		"roles": mapped(c.Roles, func(role identity.Role) map[string]any {
			return map[string]any{
				"id": role.ID, "name": role.Name, "domain_id": orNull(role.DomainID), "description": role.Description, "options": role.Options,
			}
		}),
		"system": nil, // on projects only
		"links":  self{r.Link("/v3/users/"+c.UserID+"/application_credentials/"+c.ID, nil)},
	}
}

func (a *api) createAppCred(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "application_credential", appCredSchema)
	if err != nil {
		return nil, a.refuse(r, err, "create_application_credential", r.PathValue("id"))
	}
	if list, _ := o["access_rules"].([]any); len(list) > 0 {
		return nil, nephos.Errorf(errors.ErrUnsupported, "Access rules are not implemented.").WithField("access_rules")
	}
	for _, name := range sortedKeys(o) {
		if appCredSchema.Prop(name) == nil && !slices.Contains([]string{"id", "user_id", "project_id", "system"}, name) {
			return nil, nephos.Errorf(nephos.ErrInvalid, "'%s' is an invalid keyword argument for ApplicationCredentialModel", name).WithField(name)
		}
	}
	spec := identity.AppCredSpec{
		UserID: r.PathValue("id"), Name: o.text("name"), Description: o.nullText("description"), Secret: o.text("secret"),
		Unrestricted: o.flagOr("unrestricted", false), By: r.Token(),
	}
	if text := o.text("expires_at"); text != "" {
		t, err := parseTime(text)
		if err != nil {
			return nil, err
		}
		spec.ExpiresAt = &t
	}
	list, _ := o["roles"].([]any)
	for i, v := range list {
		role := object(v.(map[string]any))
		switch at := below("roles", strconv.Itoa(i)); len(role) {
		case 0:
			return nil, invalid(at, "{} does not have enough properties")
		case 1:
		default:
			return nil, invalid(at, "%s has too many properties", quoting.Repr(v))
		}
		spec.Roles = append(spec.Roles, identity.Ref{ID: role.text("id"), Name: role.text("name")})
	}
	c, secret, err := a.AppCredentials.CreateAppCredential(r.Context(), spec)
	if err != nil {
		return nil, err
	}
	body := appCredBody(r, c)
	body["secret"] = secret
	return httpapi.Created(map[string]any{"application_credential": body}), nil
}

// parseTime reads a time with or without a zone, which is then UTC.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05.999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, nephos.Errorf(nephos.ErrInvalid, "Timestamp not in expected format. The server could not comply with the request since it is "+
		"either malformed or otherwise incorrect. The client is assumed to be in error.")
}

func (a *api) listAppCreds(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := paging(r)
	if err != nil {
		return nil, err
	}
	creds, more, err := a.AppCredentials.ListAppCredentials(r.Context(), r.PathValue("id"), matches(r.URL.Query(), "name"), p)
	if err != nil {
		return nil, err
	}
	bodies := mapped(creds, func(c identity.AppCredential) map[string]any { return appCredBody(r, c) })
	return collection(r, "application_credentials", bodies, more, lastID(creds, func(c identity.AppCredential) string { return c.ID })), nil
}

func (a *api) showAppCred(r *httpapi.Request) (*httpapi.Response, error) {
	c, err := a.AppCredentials.AppCredential(r.Context(), r.PathValue("id"), r.PathValue("cred_id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"application_credential": appCredBody(r, c)}), nil
}

func (a *api) deleteAppCred(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.AppCredentials.DeleteAppCredential(r.Context(), r.PathValue("id"), r.PathValue("cred_id"), r.Token())
}
