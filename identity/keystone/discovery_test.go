package keystone_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResourcesAreFound(t *testing.T) {
	s := serve(t, cast)
	const rel = "https://docs.openstack.org/api/openstack-identity/3/rel/"
	for path, prefix := range map[string]string{"/": "/v3", "/v3": ""} {
		a := s.Do("", "GET", path, "", "Accept", "application/json-home").Want(200)
		require.Equal(t, "application/json-home", a.Header.Get("Content-Type"))
		require.Equal(t, map[string]any{"href": prefix + "/users"}, a.Get("resources", rel+"users"))
		require.Equal(t, map[string]any{
			"href-template": prefix + "/projects/{project_id}/tags/{value}",
			"href-vars": map[string]any{
				"project_id": "https://docs.openstack.org/api/openstack-identity/3/param/project_id",
				"value":      "https://docs.openstack.org/api/openstack-identity/3/param/tag_value",
			},
		}, a.Get("resources", rel+"project_tags"))
		for name, r := range a.Get("resources").(map[string]any) {
			r := r.(map[string]any)
			where, _ := r["href"].(string)
			if where == "" {
				where = r["href-template"].(string)
			}
			where = "/v3" + where[len(prefix):]
			require.NotEqual(t, 404, s.Do("admin", "OPTIONS", where, "").Status, "%s is served at %s", name, where)
		}
	}
	for _, accept := range []string{"", "*/*", "application/json", "application/json-home, application/json", "application/json-home;q=0.5, */*", "application/json-home;q=x"} {
		require.Equal(t, "v3.14", s.Do("", "GET", "/v3", "", "Accept", accept).Want(200).Get("version", "id"), accept)
	}
	s.Do("", "GET", "/v3", "", "Accept", "application/json;q=0.1, application/json-home;q=0.5").Want(200).Get("resources", rel+"users")
}

func TestRefusedMethodsNameThoseThatThereAre(t *testing.T) {
	s, _ := cloud(t)
	a := s.Do("", "POST", "/v3/auth/tokens", `{"auth": {"identity": {"methods": ["saml2"], "saml2": {}}}}`).Want(401)
	require.Equal(t, map[string]any{
		"code": 401.0, "title": "Unauthorized", "message": "Attempted to authenticate with an unsupported method.",
		"identity": map[string]any{"methods": []any{"application_credential", "password", "token"}},
	}, a.Get("error"))
	require.Equal(t, s.Do("", "GET", "/v3/users", "").Header.Get("WWW-Authenticate"), a.Header.Get("WWW-Authenticate"))
}

// Null is a description of its own, and updates show what is extra.
func TestDescriptionsAndExtras(t *testing.T) {
	s := serve(t, cast)
	domain := s.make("admin", "domain", `{"name": "home"}`)
	for kind, fields := range map[string]string{"project": `"domain_id": "` + domain + `", `, "group": `"domain_id": "` + domain + `", `, "domain": "", "service": `"type": "t", `} {
		a := s.Do("admin", "POST", "/v3/"+kind+"s", `{"`+kind+`": {`+fields+`"name": "a `+kind+`", "description": null}}`).Want(201)
		path := "/v3/" + kind + "s/" + a.Text(kind, "id")
		for _, change := range []struct{ body, want string }{
			{`{"name": "b"}`, `"description": null`},
			{`{"description": "d"}`, `"description": "d"`},
			{`{"name": "c"}`, `"description": "d"`},
			{`{"description": null}`, `"description": null`},
			{`{"description": ""}`, `"description": ""`},
		} {
			s.Do("admin", "PATCH", path, `{"`+kind+`": `+change.body+`}`).Want(200)
			value, there := s.Do("admin", "GET", path, "").Want(200).Get(kind).(map[string]any)["description"]
			require.True(t, there)
			var want any
			if change.want != `"description": null` {
				want = change.want[len(`"description": "`) : len(change.want)-1]
			}
			require.Equal(t, want, value, "%s %s", kind, change.body)
		}
	}
	user := s.make("admin", "user", `{"name": "u", "domain_id": "`+domain+`", "email": "a@b"}`)
	a := s.Do("admin", "PATCH", "/v3/users/"+user, `{"user": {"team": "red"}}`).Want(200)
	require.Equal(t, map[string]any{"email": "a@b", "team": "red"}, a.Get("user", "extra"))
	require.Equal(t, "red", a.Get("user", "team"))
	require.NotContains(t, s.Do("admin", "GET", "/v3/users/"+user, "").Body, `"extra"`)
	project := s.make("admin", "project", `{"name": "p", "domain_id": "`+domain+`"}`)
	require.Equal(t, map[string]any{}, s.Do("admin", "PATCH", "/v3/projects/"+project, `{"project": {"name": "q"}}`).Want(200).Get("project", "extra"))
}

func TestGrantsOfWhoIsGone(t *testing.T) {
	s := serve(t, cast)
	domain := s.make("admin", "domain", `{"name": "home"}`)
	role := s.make("admin", "role", `{"name": "r"}`)
	for _, actor := range []string{"users", "groups"} {
		path := "/v3/domains/" + domain + "/" + actor + "/gone/roles/"
		s.Do("admin", "DELETE", path+role, "").Fault(404,
			"Could not find role assignment with role: "+role+", user or group: gone, project, domain, or system: "+domain+".")
		s.Do("admin", "DELETE", path+"nosuch", "").Fault(404, "Could not find role: nosuch.")
	}
	user := s.make("admin", "user", `{"name": "u", "domain_id": "`+domain+`"}`)
	s.Do("admin", "PUT", "/v3/system/users/"+user+"/roles/"+role, "").Want(204)
	s.Do("admin", "PUT", "/v3/domains/"+domain+"/users/"+user+"/roles/"+role, "").Want(204)
	require.Len(t, s.Do("admin", "GET", "/v3/role_assignments?user.id="+user, "").Get("role_assignments"), 2)
	require.Len(t, s.Do("admin", "GET", "/v3/role_assignments?effective&user.id="+user, "").Get("role_assignments"), 1)
}
