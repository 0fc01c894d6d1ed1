package keystone

import (
	"net/url"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
	"github.com/nephos-cloud/nephos/identity"
)

var (
	pUserOptions = closed(map[string]schema.Schema{
		"ignore_change_password_upon_first_use": pNullBool, "ignore_password_expiry": pNullBool,
		"ignore_lockout_failure_attempts": pNullBool, "ignore_user_inactivity": pNullBool, "lock_password": pNullBool,
		"multi_factor_auth_enabled": pNullBool,
		"multi_factor_auth_rules":   {Types: []string{"array", "null"}, Items: &schema.Schema{Types: []string{"array"}, MinItems: 1, Unique: true, Items: &pText}},
	})
	userSchema = open(map[string]schema.Schema{
		"name": pName, "domain_id": pID, "default_project_id": pNullID, "description": pNullText, "enabled": pBool,
		"password": pNullText, "options": pUserOptions,
		"federated": listOf(schema.Schema{Types: typeObject}),
	}, "name")
	userUpdateSchema     = changed(userSchema)
	passwordChangeSchema = open(map[string]schema.Schema{
		"original_password": pText, "password": pText,
	}, "original_password", "password")
)

var userFields = []string{"name", "domain_id", "default_project_id", "enabled", "password", "options", "password_expires_at", "federated"}

func (a *api) userRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v3/users", Rules: rules("create_user"), Handler: a.createUser},
		{Pattern: "GET /v3/users", Rules: rules("list_users"), Handler: a.listUsers},
		{Pattern: "GET /v3/users/{id}", Rules: rules("get_user"), Handler: a.showUser},
		{Pattern: "PATCH /v3/users/{id}", Rules: rules("update_user"), Handler: a.updateUser},
		{Pattern: "DELETE /v3/users/{id}", Rules: rules("delete_user"), Handler: a.deleteUser},
		// The old password is all that it takes.
		{Pattern: "POST /v3/users/{id}/password", Public: true, Handler: a.changePassword},
	}
}

func userBody(r *httpapi.Request, u identity.User) map[string]any {
	body := map[string]any{
		"id": u.ID, "name": u.Name, "domain_id": u.DomainID, "enabled": u.Enabled, "options": u.Options,
		"password_expires_at": stampOrNull(u.PasswordExpiresAt), "links": self{link(r, "users", u.ID)},
	}
	if u.DefaultProjectID != "" {
		body["default_project_id"] = u.DefaultProjectID
	}
	return render(body, u.Extra)
}

func userList(r *httpapi.Request, users []identity.User, more bool) *httpapi.Response {
	bodies := mapped(users, func(u identity.User) map[string]any { return userBody(r, u) })
	return collection(r, "users", bodies, more, lastID(users, func(u identity.User) string { return u.ID }))
}

func (a *api) createUser(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "user", userSchema)
	if err != nil {
		return nil, a.refuse(r, err, "create_user", "")
	}
	u, err := a.Users.CreateUser(r.Context(), identity.UserSpec{
		Name: o.text("name"), DomainID: o.text("domain_id"), DefaultProjectID: o.text("default_project_id"), Enabled: o.flag("enabled"),
		Password: o.nullText("password"), Options: o.object("options"), Extra: o.rest(userFields...),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.Created(map[string]any{"user": userBody(r, u)}), nil
}

func userFilter(q url.Values) (identity.UserFilter, error) {
	f := identity.UserFilter{Name: matches(q, "name"), DomainID: q.Get("domain_id"), Enabled: flagFilter(q, "enabled")}
	for _, v := range q["password_expires_at"] {
		op, text, ok := strings.Cut(v, ":")
		if _, bare := time.Parse(time.RFC3339, v); bare == nil || !ok {
			op, text = "eq", v
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return f, nephos.Errorf(nephos.ErrInvalid, "Timestamp not in expected format. The server could not comply with the request since it is "+
				"either malformed or otherwise incorrect. The client is assumed to be in error.").WithField("password_expires_at")
		}
		f.PasswordExpires = append(f.PasswordExpires, identity.TimeMatch{Op: op, Time: t})
	}
	return f, nil
}

func (a *api) listUsers(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := paging(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	f, err := userFilter(q)
	if err != nil {
		return nil, err
	}
	for _, federated := range []string{"idp_id", "protocol_id", "unique_id"} {
		if q.Get(federated) != "" { // nobody comes from elsewhere
			return userList(r, nil, false), nil
		}
	}
	users, more, err := a.Users.ListUsers(r.Context(), f, p)
	if err != nil {
		return nil, err
	}
	return userList(r, users, more), nil
}

func (a *api) showUser(r *httpapi.Request) (*httpapi.Response, error) {
	u, err := a.Users.User(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"user": userBody(r, u)}), nil
}

func (a *api) updateUser(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "user", userUpdateSchema)
	if err != nil {
		return nil, a.refuse(r, err, "update_user", r.PathValue("id"))
	}
	id := r.PathValue("id")
	if err := o.checkID(id); err != nil {
		return nil, err
	}
	_, named := o["password"]
	u, err := a.Users.UpdateUser(r.Context(), id, identity.UserUpdate{
		Name: o.textPtr("name"), DomainID: o.textPtr("domain_id"), DefaultProjectID: o.textPtr("default_project_id"), Enabled: o.flag("enabled"),
		Password: o.nullText("password"), ClearPassword: named && o["password"] == nil,
		Options: o.object("options"), Extra: o.rest(userFields...),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"user": withExtra(userBody(r, u), u.Extra)}), nil
}

func (a *api) deleteUser(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Users.DeleteUser(r.Context(), r.PathValue("id"))
}

func (a *api) changePassword(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "user", passwordChangeSchema)
	if err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(o) {
		if passwordChangeSchema.Prop(name) == nil {
			return nil, nephos.Errorf(nephos.ErrInvalid, "Additional properties are not allowed (%s was unexpected)", quoting.Repr(name)).WithField(name)
		}
	}
	return nil, a.Users.ChangePassword(r.Context(), r.PathValue("id"), o.text("original_password"), o.text("password"))
}
