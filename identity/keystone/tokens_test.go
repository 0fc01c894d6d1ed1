package keystone_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const adminOnProject = `{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "admin", "domain": {"name": "Default"},
	"password": "secret"}}}, "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}}`

const adminUnscoped = `{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "admin", "domain": {"id": "default"},
	"password": "secret"}}}}}`

// token logs in with a body.
func (s *server) token(body string) string {
	s.T.Helper()
	token := s.Do("", "POST", "/v3/auth/tokens", body).Want(201).Header.Get("X-Subject-Token")
	require.NotEmpty(s.T, token)
	return token
}

func TestVersions(t *testing.T) {
	s := serve(t, cast)
	root := s.Do("", "GET", "/", "").Want(300)
	require.Equal(t, "v3.14", root.Get("versions", "values", 0, "id"))
	require.Equal(t, s.URL+"/v3/", root.Get("versions", "values", 0, "links", 0, "href"))
	require.Equal(t, s.URL+"/v3/", root.Header.Get("Location"))
	for _, path := range []string{"/v3", "/v3/"} {
		require.Equal(t, "stable", s.Do("", "GET", path, "").Want(200).Get("version", "status"))
	}
	for _, path := range []string{"/v2.0", "/v3/nosuch", "/v3/OS-TRUST/trusts", "/v3/limits"} {
		s.Do("admin", "GET", path, "").Want(404)
	}
}

func TestATokenOnTheWire(t *testing.T) {
	s, b := cloud(t)
	made := s.Do("", "POST", "/v3/auth/tokens", adminOnProject).Want(201)
	token := made.Header.Get("X-Subject-Token")
	require.Equal(t, "application/json", made.Header.Get("Content-Type"))
	body := made.Get("token").(map[string]any)
	keys := []string{}
	for k := range body {
		keys = append(keys, k)
	}
	require.ElementsMatch(t, []string{"methods", "user", "audit_ids", "expires_at", "issued_at", "project", "is_domain", "roles", "catalog"}, keys)
	require.Equal(t, []any{"password"}, body["methods"])
	require.Equal(t, "2030-01-02T04:04:05.000000Z", body["expires_at"])
	require.Equal(t, "2030-01-02T03:04:05.000000Z", body["issued_at"])
	require.Equal(t, false, body["is_domain"])
	require.Equal(t, map[string]any{"id": b.ProjectID, "name": "admin", "domain": map[string]any{"id": "default", "name": "Default"}}, body["project"])
	require.Equal(t, map[string]any{
		"id": b.UserID, "name": "admin", "domain": map[string]any{"id": "default", "name": "Default"}, "password_expires_at": nil,
	}, body["user"])
	require.Len(t, body["roles"], 4)
	endpoint := made.Get("token", "catalog", 1, "endpoints", 0).(map[string]any)
	require.Equal(t, "http://volume.example/v3/"+b.ProjectID, endpoint["url"])
	require.Equal(t, "RegionOne", endpoint["region"])
	require.Equal(t, "RegionOne", endpoint["region_id"])

	shown := s.Do(token, "GET", "/v3/auth/tokens", "", "X-Subject-Token", token).Want(200)
	require.Equal(t, made.Body, shown.Body)
	require.Equal(t, token, shown.Header.Get("X-Subject-Token"))
	require.Empty(t, s.Do(token, "HEAD", "/v3/auth/tokens", "", "X-Subject-Token", token).Want(200).Body)
	bare := s.Do(token, "GET", "/v3/auth/tokens?nocatalog", "", "X-Subject-Token", token).Want(200)
	require.NotContains(t, bare.Get("token"), "catalog")
	require.NotContains(t, s.Do("", "POST", "/v3/auth/tokens?nocatalog", adminOnProject).Want(201).Get("token"), "catalog")

	s.Do(token, "DELETE", "/v3/auth/tokens", "", "X-Subject-Token", token).Want(204)
	s.Do(token, "GET", "/v3/users", "").Fault(401, "The request you have made requires authentication.")
}

func TestTheThreeStepsOfLoggingIn(t *testing.T) {
	s, b := cloud(t)
	unscoped := s.Do("", "POST", "/v3/auth/tokens", adminUnscoped).Want(201)
	token := unscoped.Header.Get("X-Subject-Token")
	for _, absent := range []string{"project", "catalog", "roles", "is_domain"} {
		require.NotContains(t, unscoped.Get("token"), absent)
	}
	list := s.Do(token, "GET", "/v3/auth/projects", "").Want(200)
	require.Len(t, list.Get("projects"), 1)
	require.Equal(t, b.ProjectID, list.Get("projects", 0, "id"))
	require.Empty(t, s.Do(token, "GET", "/v3/auth/domains", "").Want(200).Get("domains"))
	require.Equal(t, []any{map[string]any{"all": true}}, s.Do(token, "GET", "/v3/auth/system", "").Want(200).Get("system"))
	s.Do(token, "GET", "/v3/auth/catalog", "").Fault(403, "You are not authorized to perform the requested action.")

	scoped := s.token(`{"auth": {"identity": {"methods": ["token"], "token": {"id": "` + token + `"}}, "scope": {"project": {"id": "` + b.ProjectID + `"}}}}`)
	require.Len(t, s.Do(scoped, "GET", "/v3/auth/catalog", "").Want(200).Get("catalog"), 2)
	system := s.Do("", "POST", "/v3/auth/tokens", strings.Replace(adminUnscoped, `}}}}}`, `}}}, "scope": {"system": {"all": true}}}}`, 1)).Want(201)
	require.Equal(t, map[string]any{"all": true}, system.Get("token", "system"))
	require.Contains(t, system.Get("token"), "catalog")
}

func TestBadLogins(t *testing.T) {
	s, _ := cloud(t)
	const unauthorized = "The request you have made requires authentication."
	expecting := func(what, where string) string {
		return "Expecting to find " + what + " in " + where + ". The server could not comply with the request since it is " +
			"either malformed or otherwise incorrect. The client is assumed to be in error."
	}
	for _, tc := range []struct {
		body    string
		status  int
		message string
	}{
		{``, 400, expecting("auth", "request body")},
		{`{"auth": {}}`, 400, "'identity' is a required property"},
		{`{"auth": {"identity": {}}}`, 400, "Invalid input for field 'identity': 'methods' is a required property"},
		{`{"auth": {"identity": {"methods": [7]}}}`, 400, "Invalid input for field 'identity/methods/0': 7 is not of type 'string'"},
		{`{"auth": {"identity": {"methods": []}}}`, 401, unauthorized},
		{`{"auth": {"identity": {"methods": ["password"]}}}`, 400, expecting("password", "identity")},
		{`{"auth": {"identity": {"methods": ["magic"], "magic": {}}}}`, 401, "Attempted to authenticate with an unsupported method."},
		{
			`{"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": "x"}}}}}`, 400,
			"Invalid input for field identity/password/user: id or name must be present.",
		},
		{`{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "admin", "password": "x"}}}}}`, 400, expecting("domain", "user")},
		{strings.Replace(adminUnscoped, "secret", "wrong", 1), 401, unauthorized},
		{strings.Replace(adminOnProject, `"project": {"name": "admin"`, `"project": {"name": "nosuch"`, 1), 401, unauthorized},
		{strings.Replace(adminUnscoped, `}}}}}`, `}}}, "scope": {}}}`, 1), 400, expecting("system, project, domain, OS-TRUST:trust or unscoped", "scope")},
		{`{"auth": {"identity": {"methods": ["token"], "token": {"id": "gAAAAA"}}}}`, 404, "Could not recognize Fernet token"},
	} {
		s.Do("", "POST", "/v3/auth/tokens", tc.body).Fault(tc.status, tc.message)
	}
}

func TestForeignTokensAreNoTokens(t *testing.T) {
	s, _ := cloud(t)
	token := s.token(adminOnProject)
	last := byte('A')
	if token[40] == last {
		last = 'B'
	}
	forged := token[:40] + string(last) + token[41:]
	for _, bad := range []string{"", "x", forged, token[:len(token)-4], token + "AAAA", strings.Repeat("A", 300), "gAAAAA" + token[6:20]} {
		answer := s.Do(bad, "GET", "/v3/users", "").Want(401)
		require.Equal(t, `Keystone uri="`+s.URL+`/v3"`, answer.Header.Get("WWW-Authenticate"))
		if bad != "" {
			s.Do(token, "GET", "/v3/auth/tokens", "", "X-Subject-Token", bad).Fault(404, "Could not recognize Fernet token")
		}
	}
	s.Do(token, "GET", "/v3/auth/tokens", "").Fault(404, "No token in the request")
}

func TestAnExpiredTokenIsShownToServicesForAWhile(t *testing.T) {
	s, _ := cloud(t)
	old := s.token(adminOnProject)
	s.clock.Advance(61 * time.Minute)
	s.Do(old, "GET", "/v3/users", "").Want(401)
	fresh := s.token(adminOnProject)
	s.Do(fresh, "GET", "/v3/auth/tokens", "", "X-Subject-Token", old).Fault(404, "Failed to validate token")
	s.Do(fresh, "GET", "/v3/auth/tokens?allow_expired=1", "", "X-Subject-Token", old).Want(200)
	s.clock.Advance(48 * time.Hour)
	fresh = s.token(adminOnProject)
	s.Do(fresh, "GET", "/v3/auth/tokens?allow_expired=1", "", "X-Subject-Token", old).Want(404)
}

func TestUsersShowTheirOwnTokensOnly(t *testing.T) {
	s, b := cloud(t)
	root := s.token(adminOnProject)
	made := s.Do(root, "POST", "/v3/users", `{"user": {"name": "ann", "password": "pw", "email": "a@b", "default_project_id": "`+b.ProjectID+`"}}`).Want(201)
	require.NotContains(t, made.Body, "pw\"")
	id := made.Text("user", "id")
	user := made.Get("user").(map[string]any)
	require.Equal(t, "a@b", user["email"])
	require.Nil(t, user["password_expires_at"])
	require.NotContains(t, user, "password")
	login := `{"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "` + id + `", "password": "pw"}}}}}`
	ann := s.token(login)
	s.Do(ann, "GET", "/v3/auth/tokens", "", "X-Subject-Token", ann).Want(200)
	s.Do(ann, "GET", "/v3/auth/tokens", "", "X-Subject-Token", root).
		Fault(403, "You are not authorized to perform the requested action: identity:validate_token.")
	s.Do(ann, "GET", "/v3/users/"+id, "").Want(200)
	s.Do(ann, "GET", "/v3/users/"+b.UserID, "").Want(403)
	s.Do(ann, "GET", "/v3/users/"+id+"/projects", "").Want(200)
	s.Do(root, "GET", "/v3/users/nosuch", "").Fault(404, "Could not find user: nosuch.")

	s.Do("", "POST", "/v3/users/"+id+"/password", `{"user": {"original_password": "bad", "password": "x"}}`).Want(401)
	s.Do("", "POST", "/v3/users/"+id+"/password", `{"user": {"original_password": "pw", "password": "x"}}`).Want(204)
	s.Do(ann, "GET", "/v3/users/"+id, "").Want(401)
	s.token(strings.Replace(login, `"pw"`, `"x"`, 1))
}

func FuzzLogin(f *testing.F) {
	s, _ := cloud(f)
	f.Add(adminOnProject)
	f.Add(`{"auth": {"identity": {"methods": ["token"], "token": {"id": "gAAAAABl"}}, "scope": "unscoped"}}`)
	f.Add(`{"auth": {"scope": null, "identity": null}}`)
	f.Fuzz(func(t *testing.T, body string) {
		if !json.Valid([]byte(body)) {
			t.Skip()
		}
		s := *s.Server
		s.T = t
		if a := s.Do("", "POST", "/v3/auth/tokens", body); a.Status >= 500 {
			t.Fatal(a.Status, a.Body)
		}
	})
}
