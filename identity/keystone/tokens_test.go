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
	s.t.Helper()
	token := s.do("POST", "/v3/auth/tokens", "", body).want(201).header.Get("X-Subject-Token")
	require.NotEmpty(s.t, token)
	return token
}

func TestVersions(t *testing.T) {
	s := serve(t, cast)
	root := s.do("GET", "/", "", "").want(300)
	require.Equal(t, "v3.14", root.get("versions", "values", 0, "id"))
	require.Equal(t, s.url+"/v3/", root.get("versions", "values", 0, "links", 0, "href"))
	require.Equal(t, s.url+"/v3/", root.header.Get("Location"))
	for _, path := range []string{"/v3", "/v3/"} {
		require.Equal(t, "stable", s.do("GET", path, "", "").want(200).get("version", "status"))
	}
	for _, path := range []string{"/v2.0", "/v3/nosuch", "/v3/OS-TRUST/trusts", "/v3/limits"} {
		s.do("GET", path, "admin", "").want(404)
	}
}

func TestATokenOnTheWire(t *testing.T) {
	s, b := cloud(t)
	made := s.do("POST", "/v3/auth/tokens", "", adminOnProject).want(201)
	token := made.header.Get("X-Subject-Token")
	require.Equal(t, "application/json", made.header.Get("Content-Type"))
	body := made.get("token").(map[string]any)
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
	endpoint := made.get("token", "catalog", 1, "endpoints", 0).(map[string]any)
	require.Equal(t, "http://volume.example/v3/"+b.ProjectID, endpoint["url"])
	require.Equal(t, "RegionOne", endpoint["region"])
	require.Equal(t, "RegionOne", endpoint["region_id"])

	shown := s.do("GET", "/v3/auth/tokens", token, "", "X-Subject-Token", token).want(200)
	require.Equal(t, made.body, shown.body)
	require.Equal(t, token, shown.header.Get("X-Subject-Token"))
	require.Empty(t, s.do("HEAD", "/v3/auth/tokens", token, "", "X-Subject-Token", token).want(200).body)
	bare := s.do("GET", "/v3/auth/tokens?nocatalog", token, "", "X-Subject-Token", token).want(200)
	require.NotContains(t, bare.get("token"), "catalog")
	require.NotContains(t, s.do("POST", "/v3/auth/tokens?nocatalog", "", adminOnProject).want(201).get("token"), "catalog")

	s.do("DELETE", "/v3/auth/tokens", token, "", "X-Subject-Token", token).want(204)
	s.do("GET", "/v3/users", token, "").fault(401, "The request you have made requires authentication.")
}

func TestTheThreeStepsOfLoggingIn(t *testing.T) {
	s, b := cloud(t)
	unscoped := s.do("POST", "/v3/auth/tokens", "", adminUnscoped).want(201)
	token := unscoped.header.Get("X-Subject-Token")
	for _, absent := range []string{"project", "catalog", "roles", "is_domain"} {
		require.NotContains(t, unscoped.get("token"), absent)
	}
	list := s.do("GET", "/v3/auth/projects", token, "").want(200)
	require.Len(t, list.get("projects"), 1)
	require.Equal(t, b.ProjectID, list.get("projects", 0, "id"))
	require.Empty(t, s.do("GET", "/v3/auth/domains", token, "").want(200).get("domains"))
	require.Equal(t, []any{map[string]any{"all": true}}, s.do("GET", "/v3/auth/system", token, "").want(200).get("system"))
	s.do("GET", "/v3/auth/catalog", token, "").fault(403, "You are not authorized to perform the requested action.")

	scoped := s.token(`{"auth": {"identity": {"methods": ["token"], "token": {"id": "` + token + `"}}, "scope": {"project": {"id": "` + b.ProjectID + `"}}}}`)
	require.Len(t, s.do("GET", "/v3/auth/catalog", scoped, "").want(200).get("catalog"), 2)
	system := s.do("POST", "/v3/auth/tokens", "", strings.Replace(adminUnscoped, `}}}}}`, `}}}, "scope": {"system": {"all": true}}}}`, 1)).want(201)
	require.Equal(t, map[string]any{"all": true}, system.get("token", "system"))
	require.Contains(t, system.get("token"), "catalog")
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
		s.do("POST", "/v3/auth/tokens", "", tc.body).fault(tc.status, tc.message)
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
		answer := s.do("GET", "/v3/users", bad, "").want(401)
		require.Equal(t, `Keystone uri="`+s.url+`/v3"`, answer.header.Get("WWW-Authenticate"))
		if bad != "" {
			s.do("GET", "/v3/auth/tokens", token, "", "X-Subject-Token", bad).fault(404, "Could not recognize Fernet token")
		}
	}
	s.do("GET", "/v3/auth/tokens", token, "").fault(404, "No token in the request")
}

func TestAnExpiredTokenIsShownToServicesForAWhile(t *testing.T) {
	s, _ := cloud(t)
	old := s.token(adminOnProject)
	s.clock.Advance(61 * time.Minute)
	s.do("GET", "/v3/users", old, "").want(401)
	fresh := s.token(adminOnProject)
	s.do("GET", "/v3/auth/tokens", fresh, "", "X-Subject-Token", old).fault(404, "Failed to validate token")
	s.do("GET", "/v3/auth/tokens?allow_expired=1", fresh, "", "X-Subject-Token", old).want(200)
	s.clock.Advance(48 * time.Hour)
	fresh = s.token(adminOnProject)
	s.do("GET", "/v3/auth/tokens?allow_expired=1", fresh, "", "X-Subject-Token", old).want(404)
}

func TestUsersShowTheirOwnTokensOnly(t *testing.T) {
	s, b := cloud(t)
	root := s.token(adminOnProject)
	made := s.do("POST", "/v3/users", root, `{"user": {"name": "ann", "password": "pw", "email": "a@b", "default_project_id": "`+b.ProjectID+`"}}`).want(201)
	require.NotContains(t, made.body, "pw\"")
	id := made.text("user", "id")
	user := made.get("user").(map[string]any)
	require.Equal(t, "a@b", user["email"])
	require.Nil(t, user["password_expires_at"])
	require.NotContains(t, user, "password")
	login := `{"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "` + id + `", "password": "pw"}}}}}`
	ann := s.token(login)
	s.do("GET", "/v3/auth/tokens", ann, "", "X-Subject-Token", ann).want(200)
	s.do("GET", "/v3/auth/tokens", ann, "", "X-Subject-Token", root).
		fault(403, "You are not authorized to perform the requested action: identity:validate_token.")
	s.do("GET", "/v3/users/"+id, ann, "").want(200)
	s.do("GET", "/v3/users/"+b.UserID, ann, "").want(403)
	s.do("GET", "/v3/users/"+id+"/projects", ann, "").want(200)
	s.do("GET", "/v3/users/nosuch", root, "").fault(404, "Could not find user: nosuch.")

	s.do("POST", "/v3/users/"+id+"/password", "", `{"user": {"original_password": "bad", "password": "x"}}`).want(401)
	s.do("POST", "/v3/users/"+id+"/password", "", `{"user": {"original_password": "pw", "password": "x"}}`).want(204)
	s.do("GET", "/v3/users/"+id, ann, "").want(401)
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
		s := *s
		s.t = t
		if a := s.do("POST", "/v3/auth/tokens", "", body); a.status >= 500 {
			t.Fatal(a.status, a.body)
		}
	})
}
