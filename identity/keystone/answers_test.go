package keystone_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The answers below are those of Keystone 22.

func TestFixedAnswers(t *testing.T) {
	s := serve(t, cast)
	role := s.make("admin", "role", `{"name": "r"}`)
	domain := s.make("admin", "domain", `{"name": "home"}`)
	group := s.make("admin", "group", `{"name": "g", "domain_id": "`+domain+`"}`)
	expecting := func(what, where string) string {
		return "Expecting to find " + what + " in " + where + ". The server could not comply with the request since it is " +
			"either malformed or otherwise incorrect. The client is assumed to be in error."
	}
	denied := func(rule string) string {
		return "You are not authorized to perform the requested action: identity:" + rule + "."
	}
	for _, c := range []struct {
		request, token, body string
		status               int
		message              string
	}{
		// Who may not is told so before what is wrong with the body is.
		{"POST /v3/users", "member", `{}`, 403, denied("create_user")},
		{"POST /v3/roles", "member", `{"role": {}}`, 403, denied("create_role")},
		{"PATCH /v3/roles/" + role, "member", `{"role": {}}`, 403, denied("update_role")},
		{"PATCH /v3/groups/" + group, "stranger", `{"group": {"name": 7}}`, 403, denied("update_group")},
		{"PATCH /v3/domains/nosuch", "admin", `{"domain": {}}`, 404, "Could not find domain: nosuch."},
		{"PATCH /v3/users/nosuch", "admin", `{"user": {}}`, 404, "Could not find user: nosuch."},
		{"PUT /v3/projects/nosuch/tags", "member", `{"tags": 7}`, 403, denied("update_project_tags")},
		// What is not there is said before who may not.
		{"GET /v3/roles/nosuch", "member", "", 404, "Could not find role: nosuch."},
		{"DELETE /v3/endpoints/nosuch", "member", "", 404, "Could not find endpoint: nosuch."},
		{"DELETE /v3/domains/nosuch", "member", "", 404, "Could not find domain: nosuch."},
		{"GET /v3/domains/nosuch", "member", "", 403, denied("get_domain")},
		{"DELETE /v3/groups/nosuch", "member", "", 404, "Could not find group: nosuch."},
		{"DELETE /v3/services/nosuch", "member", "", 403, denied("delete_service")},
		// Bodies.
		{"POST /v3/users/u/password", "", `{"user": {"original_password": "a", "password": "b", "x": 1}}`, 400, "Additional properties are not allowed ('x' was unexpected)"},
		{"POST /v3/users", "admin", `{"user": null}`, 400, "None is not of type 'object'"},
		{"POST /v3/users", "admin", `{"x": {}}`, 400, "'name' is a required property"},
		{"POST /v3/services", "admin", `{"x": {}}`, 400, "None is not of type 'object'"},
		{"PATCH /v3/roles/" + role, "admin", `{"role": []}`, 400, "[] is not of type 'object'"},
		{"POST /v3/users", "admin", `{"user": {"name": "f", "federated": {}}}`, 400, "Invalid input for field 'federated': {} is not of type 'array'"},
		{
			"POST /v3/endpoints", "admin", `{"endpoint": {"interface": "public", "service_id": "x", "url": "http://x", "region": null}}`, 400,
			"Invalid input for field 'region': None is not of type 'string'",
		},
		{"POST /v3/domains", "admin", `{"domain": {"name": "d", "explicit_domain_id": "x"}}`, 400, "Domain ID does not conform to required UUID format."},
		{
			"POST /v3/groups", "admin", `{"group": {"name": "` + strings.Repeat("x", 65) + `"}}`, 400,
			"String length exceeded. The length of string '" + strings.Repeat("x", 65) + "' exceeds the limit of column name(CHAR(64)).",
		},
		{"PATCH /v3/roles/" + role, "admin", `{"role": {"description": "` + strings.Repeat("x", 256) + `"}}`, 400, ""},
		{"POST /v3/regions", "admin", `{"region": {"id": "` + strings.Repeat("x", 256) + `"}}`, 400, ""},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		got := s.Do(c.token, method, path, c.body).Want(c.status)
		if c.message != "" {
			require.Equal(t, c.message, got.Get("error", "message"), c.request)
		}
	}
	s.Do("admin", "POST", "/v3/users", `{"user": {"name": "t"}}`, "Content-Type", "text/plain").
		Fault(400, expecting("application/json", "Content-Type header"))
	s.Do("admin", "POST", "/v3/users", `{"user": {"name": "t", "domain_id": "`+domain+`", "extra": {"x": 1}}}`, "Content-Type", "application/json; charset=utf-8").Want(201)
	made := s.Do("admin", "POST", "/v3/domains", `{"domain": {"name": "d", "explicit_domain_id": "0123456789abcdef0123456789abcdef"}}`).Want(201)
	require.Equal(t, "0123456789abcdef0123456789abcdef", made.Get("domain", "id"))
	require.NotContains(t, made.Get("domain"), "explicit_domain_id")
	s.Do("admin", "POST", "/v3/domains", `{"domain": {"name": "d"}}`).Fault(409, "Conflict occurred attempting to store project - "+
		"it is not permitted to have two projects acting as domains with the same name: d.")
}

func TestFixedLogins(t *testing.T) {
	s, b := cloud(t)
	const unauthorized = "The request you have made requires authentication."
	expecting := func(what, where string) string {
		return "Expecting to find " + what + " in " + where + ". The server could not comply with the request since it is " +
			"either malformed or otherwise incorrect. The client is assumed to be in error."
	}
	user := func(user string) string {
		return `{"auth": {"identity": {"methods": ["password"], "password": {"user": ` + user + `}}}}`
	}
	scope := func(scope string) string {
		return strings.Replace(adminUnscoped, `}}}}}`, `}}}, "scope": `+scope+`}}`, 1)
	}
	credential := func(c, rest string) string {
		return `{"auth": {"identity": {"methods": ["application_credential"], "application_credential": ` + c + `}` + rest + `}}`
	}
	for _, c := range []struct {
		body    string
		status  int
		message string
	}{
		{`{"auth": []}`, 400, "[] is not of type 'object'"},
		{`{"auth": {"identity": {"methods": ["token"], "token": {"id": ""}}}}`, 404, "No token in the request"},
		{`{"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}}}`, 404, "Could not recognize Fernet token"},
		{`{"auth": {"identity": {"methods": ["external"], "external": {}}}}`, 401, unauthorized},
		{user(`{"id": "` + b.UserID + `", "name": "zzz", "password": "secret"}`), 400, expecting("domain", "user")},
		{user(`{"name": "", "domain": {"id": "default"}, "password": "secret"}`), 400, expecting("id or name", "user")},
		{scope(`{"project": {"name": "admin", "domain": {}}}`), 400, "Invalid input for field scope/project/domain: id or name must be present."},
		{scope(`{"project": {"id": "` + b.ProjectID + `", "name": "x"}}`), 400, expecting("domain", "project")},
		{scope(`{"project": {"id": ""}}`), 401, unauthorized},
		{scope(`{"project": {}}`), 400, "Invalid input for field scope/project: id or name must be present."},
		{scope(`{"OS-TRUST:trust": {}}`), 400, expecting("trust_id", "trust")},
		{credential(`{}`, ""), 400, expecting("name or ID", "application credential")},
		{credential(`{"id": "x", "secret": "y"}`, ""), 404, "Could not find Application Credential: x."},
		{credential(`{"name": "x", "secret": "y", "user": {}}`, ""), 400, expecting("user", "application credential")},
		{credential(`{"name": "x", "secret": "y", "user": {"name": "admin"}}`, ""), 400, expecting("domain", "user")},
		{
			credential(`{"id": "x", "secret": "y"}`, `, "scope": {"system": {"all": true}}`), 401,
			"Error authenticating with application credential: Application credentials cannot request a scope.",
		},
	} {
		s.Do("", "POST", "/v3/auth/tokens", c.body).Fault(c.status, c.message)
	}
	require.Equal(t, map[string]any{"all": true}, s.Do("", "POST", "/v3/auth/tokens", scope(`{"system": {}}`)).Want(201).Get("token", "system"))
}

func TestFixedTagsAndImplications(t *testing.T) {
	s, _ := cloud(t)
	root := s.token(adminOnProject)
	project := s.make(root, "project", `{"name": "p"}`)
	path := "/v3/projects/" + project + "/tags"
	s.Do(root, "PUT", path, `{}`).Fault(400, "{} is not of type 'array'")
	s.Do(root, "PUT", path, `{"tags": ["a", "a"]}`).Fault(400, "['a', 'a'] has non-unique elements")
	s.Do(root, "PUT", path, `{"tags": ["a,b"]}`).Fault(400, "Invalid input for field '0': 'a,b' does not match '^[^,/]*$'")
	s.Do(root, "PUT", path+"/a", "").Want(201)
	s.Do(root, "PUT", path+"/a", "").Fault(400, "['a', 'a'] has non-unique elements")
	s.Do(root, "PUT", path+"/a,b", "").Fault(400, "'a,b' does not match '^[^,/]*$'")

	a, b := s.make(root, "role", `{"name": "a"}`), s.make(root, "role", `{"name": "b"}`)
	s.Do(root, "PUT", "/v3/roles/"+a+"/implies/"+b, "").Want(201)
	s.Do(root, "PUT", "/v3/roles/"+a+"/implies/"+b, "").Fault(409, "Conflict occurred attempting to store implied_role - Duplicate entry.")

	user, group := s.make(root, "user", `{"name": "u"}`), s.make(root, "group", `{"name": "g"}`)
	s.Do(root, "PUT", "/v3/groups/"+group+"/users/"+user, "").Want(204)
	require.Contains(t, s.Do(root, "GET", "/v3/users/"+user+"/groups", "").Want(200).Get("groups", 0), "membership_expires_at")
}

func TestQueriesThatADatabaseDoesNotTakeAreRefused(t *testing.T) {
	s := serve(t, cast)
	group := s.make("admin", "group", `{"name": "g", "domain_id": "`+s.make("admin", "domain", `{"name": "home"}`)+`"}`)
	for _, path := range []string{"/v3/users?name=a%00b", "/v3/groups/" + group + "/users?name=%00", "/v3/projects?tags=%ff", "/v3/roles?%00=x", "/v3/users?marker=%C3%28"} {
		s.Do("admin", "GET", path, "").Fault(400, "The query must be UTF-8 text without NUL.")
		require.Equal(t, 401, s.Do("", "GET", path, "").Status)
	}
	require.Equal(t, 404, s.Do("admin", "GET", "/v3/groups/a%00b/users", "").Status)
}

// A number that cannot be read back would make every list of users fail.
func TestExtraAttributesAreReadBack(t *testing.T) {
	s := serve(t, cast)
	domain := s.make("admin", "domain", `{"name": "home"}`)
	s.Do("admin", "POST", "/v3/users", `{"user": {"name": "u", "domain_id": "`+domain+`", "x": 1e400}}`).Want(400)
	s.Do("admin", "POST", "/v3/groups", `{"group": {"name": "g", "domain_id": "`+domain+`", "x": [1e308]}}`).Want(201)
	s.Do("admin", "GET", "/v3/users", "").Want(200)
	s.Do("admin", "GET", "/v3/groups", "").Want(200)
}
