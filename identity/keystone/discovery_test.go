package keystone_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResourcesAreFound(t *testing.T) {
	s := serve(t, cast)
	const rel = "https://docs.openstack.org/api/openstack-identity/3/rel/"
	for path, prefix := range map[string]string{"/": "/v3", "/v3": ""} {
		a := s.do("GET", path, "", "", "Accept", "application/json-home").want(200)
		require.Equal(t, "application/json-home", a.header.Get("Content-Type"))
		require.Equal(t, map[string]any{"href": prefix + "/users"}, a.get("resources", rel+"users"))
		require.Equal(t, map[string]any{
			"href-template": prefix + "/projects/{project_id}/tags/{value}",
			"href-vars": map[string]any{
				"project_id": "https://docs.openstack.org/api/openstack-identity/3/param/project_id",
				"value":      "https://docs.openstack.org/api/openstack-identity/3/param/tag_value",
			},
		}, a.get("resources", rel+"project_tags"))
		for name, r := range a.get("resources").(map[string]any) {
			r := r.(map[string]any)
			where, _ := r["href"].(string)
			if where == "" {
				where = r["href-template"].(string)
			}
			where = "/v3" + where[len(prefix):]
			require.NotEqual(t, 404, s.do("OPTIONS", where, "admin", "").status, "%s is served at %s", name, where)
		}
	}
	for _, accept := range []string{"", "*/*", "application/json", "application/json-home, application/json", "application/json-home;q=0.5, */*", "application/json-home;q=x"} {
		require.Equal(t, "v3.14", s.do("GET", "/v3", "", "", "Accept", accept).want(200).get("version", "id"), accept)
	}
	s.do("GET", "/v3", "", "", "Accept", "application/json;q=0.1, application/json-home;q=0.5").want(200).get("resources", rel+"users")
}

func TestRefusedMethodsNameThoseThatThereAre(t *testing.T) {
	s, _ := cloud(t)
	a := s.do("POST", "/v3/auth/tokens", "", `{"auth": {"identity": {"methods": ["saml2"], "saml2": {}}}}`).want(401)
	require.Equal(t, map[string]any{
		"code": 401.0, "title": "Unauthorized", "message": "Attempted to authenticate with an unsupported method.",
		"identity": map[string]any{"methods": []any{"application_credential", "password", "token"}},
	}, a.get("error"))
	require.Equal(t, s.do("GET", "/v3/users", "", "").header.Get("WWW-Authenticate"), a.header.Get("WWW-Authenticate"))
}

// Null is a description of its own, and updates show what is extra.
func TestDescriptionsAndExtras(t *testing.T) {
	s := serve(t, cast)
	domain := s.make("admin", "domain", `{"name": "home"}`)
	for kind, fields := range map[string]string{"project": `"domain_id": "` + domain + `", `, "group": `"domain_id": "` + domain + `", `, "domain": "", "service": `"type": "t", `} {
		a := s.do("POST", "/v3/"+kind+"s", "admin", `{"`+kind+`": {`+fields+`"name": "a `+kind+`", "description": null}}`).want(201)
		path := "/v3/" + kind + "s/" + a.text(kind, "id")
		for _, change := range []struct{ body, want string }{
			{`{"name": "b"}`, `"description": null`},
			{`{"description": "d"}`, `"description": "d"`},
			{`{"name": "c"}`, `"description": "d"`},
			{`{"description": null}`, `"description": null`},
			{`{"description": ""}`, `"description": ""`},
		} {
			s.do("PATCH", path, "admin", `{"`+kind+`": `+change.body+`}`).want(200)
			value, there := s.do("GET", path, "admin", "").want(200).get(kind).(map[string]any)["description"]
			require.True(t, there)
			var want any
			if change.want != `"description": null` {
				want = change.want[len(`"description": "`) : len(change.want)-1]
			}
			require.Equal(t, want, value, "%s %s", kind, change.body)
		}
	}
	user := s.make("admin", "user", `{"name": "u", "domain_id": "`+domain+`", "email": "a@b"}`)
	a := s.do("PATCH", "/v3/users/"+user, "admin", `{"user": {"team": "red"}}`).want(200)
	require.Equal(t, map[string]any{"email": "a@b", "team": "red"}, a.get("user", "extra"))
	require.Equal(t, "red", a.get("user", "team"))
	require.NotContains(t, s.do("GET", "/v3/users/"+user, "admin", "").body, `"extra"`)
	project := s.make("admin", "project", `{"name": "p", "domain_id": "`+domain+`"}`)
	require.Equal(t, map[string]any{}, s.do("PATCH", "/v3/projects/"+project, "admin", `{"project": {"name": "q"}}`).want(200).get("project", "extra"))
}

func TestGrantsOfWhoIsGone(t *testing.T) {
	s := serve(t, cast)
	domain := s.make("admin", "domain", `{"name": "home"}`)
	role := s.make("admin", "role", `{"name": "r"}`)
	for _, actor := range []string{"users", "groups"} {
		path := "/v3/domains/" + domain + "/" + actor + "/gone/roles/"
		s.do("DELETE", path+role, "admin", "").fault(404,
			"Could not find role assignment with role: "+role+", user or group: gone, project, domain, or system: "+domain+".")
		s.do("DELETE", path+"nosuch", "admin", "").fault(404, "Could not find role: nosuch.")
	}
	user := s.make("admin", "user", `{"name": "u", "domain_id": "`+domain+`"}`)
	s.do("PUT", "/v3/system/users/"+user+"/roles/"+role, "admin", "").want(204)
	s.do("PUT", "/v3/domains/"+domain+"/users/"+user+"/roles/"+role, "admin", "").want(204)
	require.Len(t, s.do("GET", "/v3/role_assignments?user.id="+user, "admin", "").get("role_assignments"), 2)
	require.Len(t, s.do("GET", "/v3/role_assignments?effective&user.id="+user, "admin", "").get("role_assignments"), 1)
}
