package keystone_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// make creates something and returns its id.
func (s *server) make(token, kind, body string) string {
	s.T.Helper()
	return s.Do(token, "POST", "/v3/"+kind+"s", `{"`+kind+`": `+body+`}`).Want(201).Text(kind, "id")
}

func TestGrantsAndWhatTheyAmountTo(t *testing.T) {
	s, b := cloud(t)
	root := s.token(adminOnProject)
	user := s.make(root, "user", `{"name": "u"}`)
	group := s.make(root, "group", `{"name": "g"}`)
	top := s.make(root, "project", `{"name": "top"}`)
	leaf := s.make(root, "project", `{"name": "leaf", "parent_id": "`+top+`"}`)
	s.Do(root, "PUT", "/v3/groups/"+group+"/users/"+user, "").Want(204)
	member, reader := b.Roles["member"], b.Roles["reader"]

	direct := "/v3/projects/" + top + "/users/" + user + "/roles/" + member
	inherited := "/v3/OS-INHERIT/projects/" + top + "/groups/" + group + "/roles/" + member + "/inherited_to_projects"
	system := "/v3/system/users/" + user + "/roles/" + reader
	domain := "/v3/domains/default/groups/" + group + "/roles/" + reader
	for _, path := range []string{direct, inherited, system, domain} {
		s.Do(root, "GET", path, "").Want(404)
		s.Do(root, "PUT", path, "").Want(204)
		s.Do(root, "PUT", path, "").Want(204)
		s.Do(root, "GET", path, "").Want(204)
		s.Do(root, "HEAD", path, "").Want(204)
	}
	require.Len(t, s.Do(root, "GET", "/v3/projects/"+top+"/users/"+user+"/roles", "").Want(200).Get("roles"), 1)
	require.Empty(t, s.Do(root, "GET", "/v3/projects/"+leaf+"/users/"+user+"/roles", "").Want(200).Get("roles"))
	require.Len(t, s.Do(root, "GET", "/v3/system/users/"+user+"/roles", "").Want(200).Get("roles"), 1)

	lines := s.Do(root, "GET", "/v3/role_assignments?user.id="+user, "").Want(200)
	require.Len(t, lines.Get("role_assignments"), 2)
	lines = s.Do(root, "GET", "/v3/role_assignments?group.id="+group+"&scope.OS-INHERIT:inherited_to=projects&include_names", "").Want(200)
	require.Equal(t, []any{map[string]any{
		"links": map[string]any{"assignment": s.URL + inherited},
		"scope": map[string]any{
			"project":                 map[string]any{"id": top, "name": "top", "domain": map[string]any{"id": "default", "name": "Default"}},
			"OS-INHERIT:inherited_to": "projects",
		},
		"group": map[string]any{"id": group, "name": "g", "domain": map[string]any{"id": "default", "name": "Default"}},
		"role":  map[string]any{"id": member, "name": "member"},
	}}, lines.Get("role_assignments"))

	lines = s.Do(root, "GET", "/v3/role_assignments?effective&user.id="+user+"&scope.project.id="+leaf+"&role.id="+member, "").Want(200)
	require.Equal(t, []any{map[string]any{
		"links": map[string]any{"assignment": s.URL + inherited, "membership": s.URL + "/v3/groups/" + group + "/users/" + user},
		"scope": map[string]any{"project": map[string]any{"id": leaf}, "OS-INHERIT:inherited_to": "projects"},
		"user":  map[string]any{"id": user},
		"role":  map[string]any{"id": member},
	}}, lines.Get("role_assignments"))
	lines = s.Do(root, "GET", "/v3/role_assignments?effective&user.id="+user+"&scope.project.id="+top, "").Want(200)
	require.Len(t, lines.Get("role_assignments"), 2) // member, and reader by implication
	lines = s.Do(root, "GET", "/v3/role_assignments?include_subtree&effective&scope.project.id="+top, "").Want(200)
	require.Len(t, lines.Get("role_assignments"), 4)
	lines = s.Do(root, "GET", "/v3/role_assignments?scope.system=all&user.id="+user, "").Want(200)
	require.Equal(t, map[string]any{"all": true}, lines.Get("role_assignments", 0, "scope", "system"))
	s.Do(root, "GET", "/v3/role_assignments?effective&group.id="+group, "").Want(400)
	s.Do(root, "GET", "/v3/role_assignments?include_subtree", "").Want(400)

	for _, path := range []string{direct, inherited, system, domain} {
		s.Do(root, "DELETE", path, "").Want(204)
		s.Do(root, "DELETE", path, "").Want(404)
	}
	s.Do(root, "PUT", "/v3/projects/nosuch/users/"+user+"/roles/"+member, "").Fault(404, "Could not find project: nosuch.")
	s.Do(root, "PUT", "/v3/projects/"+top+"/users/"+user+"/roles/nosuch", "").Fault(404, "Could not find role: nosuch.")
}

func TestImpliedRoles(t *testing.T) {
	s, b := cloud(t)
	root := s.token(adminOnProject)
	boss := s.make(root, "role", `{"name": "boss"}`)
	path := "/v3/roles/" + boss + "/implies/" + b.Roles["member"]
	s.Do(root, "GET", path, "").Fault(404, boss+" does not imply "+b.Roles["member"]+".")
	made := s.Do(root, "PUT", path, "").Want(201)
	require.Equal(t, "boss", made.Get("role_inference", "prior_role", "name"))
	require.Equal(t, "member", made.Get("role_inference", "implies", "name"))
	s.Do(root, "HEAD", path, "").Want(204)
	require.Len(t, s.Do(root, "GET", "/v3/roles/"+boss+"/implies", "").Want(200).Get("role_inference", "implies"), 1)
	require.Len(t, s.Do(root, "GET", "/v3/role_inferences", "").Want(200).Get("role_inferences"), 4)
	s.Do(root, "PUT", "/v3/roles/"+boss+"/implies/"+b.Roles["admin"], "").Want(403)
	s.Do(root, "PUT", "/v3/roles/"+b.Roles["reader"]+"/implies/"+boss, "").Want(403) // a circle
	s.Do(root, "DELETE", path, "").Want(204)
	s.Do(root, "DELETE", path, "").Want(404)
}

// TestMembersMayLittle asks every operation that takes a token as a member of
// some project who is not its target.
func TestMembersMayLittle(t *testing.T) {
	s := serve(t, cast)
	free := map[string]bool{
		"GET /v3/auth/catalog": true, "GET /v3/auth/projects": true, "GET /v3/auth/domains": true, "GET /v3/auth/system": true,
		"GET /v3/regions": true, "GET /v3/regions/{id}": true,
	}
	// Of these Keystone says that they do not exist before it says who may not.
	existsFirst := map[string]bool{
		"PATCH /v3/domains/{id}": true, "DELETE /v3/domains/{id}": true, "DELETE /v3/groups/{id}": true,
		"GET /v3/roles/{id}": true, "PATCH /v3/roles/{id}": true, "DELETE /v3/roles/{id}": true,
		"GET /v3/endpoints/{id}": true, "PATCH /v3/endpoints/{id}": true, "DELETE /v3/endpoints/{id}": true,
	}
	asked := 0
	for _, route := range s.api.Routes() {
		if route.Public || free[route.Pattern] {
			continue
		}
		method, path, _ := strings.Cut(route.Pattern, " ")
		for i := strings.IndexByte(path, '{'); i >= 0; i = strings.IndexByte(path, '{') {
			path = path[:i] + "x" + path[strings.IndexByte(path, '}')+1:]
		}
		body := `{"user": {"name": "x"}, "group": {"name": "x"}, "project": {"name": "x"}, "domain": {"name": "x"}, "role": {"name": "x"},
			"region": {"description": "x"}, "service": {"type": "x"}, "endpoint": {"interface": "public", "service_id": "x", "url": "http://x"}, "tags": [],
			"application_credential": {"name": "x"}}`
		for _, who := range []string{"member", "stranger"} {
			got := s.Do(who, method, path, body).Status
			want := http.StatusForbidden
			if existsFirst[route.Pattern] {
				want = http.StatusNotFound
			}
			require.Equal(t, want, got, fmt.Sprint(who, " ", route.Pattern))
			asked++
		}
	}
	require.Greater(t, asked, 100)
}
