package keystone_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoles(t *testing.T) {
	s := serve(t, cast)
	made := s.Do("admin", "POST", "/v3/roles", `{"role": {"name": "auditor", "tone:of-voice": "low"}}`).Want(201)
	id := made.Text("role", "id")
	require.Equal(t, map[string]any{
		"id": id, "name": "auditor", "domain_id": nil, "description": nil, "options": map[string]any{}, "tone_of_voice": "low",
		"links": map[string]any{"self": s.URL + "/v3/roles/" + id},
	}, made.Get("role"))

	require.Equal(t, made.Body, s.Do("admin", "GET", "/v3/roles/"+id, "").Want(200).Body)
	require.Empty(t, s.Do("admin", "HEAD", "/v3/roles/"+id, "").Want(200).Body)
	s.Do("admin", "PATCH", "/v3/roles/"+id, `{"role": {"description": "looks on"}}`).Want(200)
	require.Equal(t, "looks on", s.Do("admin", "GET", "/v3/roles/"+id, "").Text("role", "description"))

	s.Do("admin", "POST", "/v3/roles", `{"role": {"name": "zebra"}}`).Want(201)
	list := s.Do("admin", "GET", "/v3/roles", "").Want(200)
	require.Len(t, list.Get("roles"), 2)
	require.Equal(t, map[string]any{"self": s.URL + "/v3/roles", "next": nil, "previous": nil}, list.Get("links"))
	list = s.Do("admin", "GET", "/v3/roles?name__istartswith=ZE", "").Want(200)
	require.Len(t, list.Get("roles"), 1)
	list = s.Do("admin", "GET", "/v3/roles?limit=1", "").Want(200)
	require.Len(t, list.Get("roles"), 1)
	next := list.Text("links", "next")[len(s.URL):]
	list = s.Do("admin", "GET", next, "").Want(200)
	require.Len(t, list.Get("roles"), 1)
	require.Nil(t, list.Get("links", "next"))

	require.Empty(t, s.Do("admin", "DELETE", "/v3/roles/"+id, "").Want(204).Body)
	s.Do("admin", "GET", "/v3/roles/"+id, "").Fault(404, "Could not find role: "+id+".")
}

func TestBadRoles(t *testing.T) {
	s := serve(t, cast)
	s.Do("", "POST", "/v3/roles", `{}`).Fault(401, "The request you have made requires authentication.")
	s.Do("member", "POST", "/v3/roles", `{"role": {"name": "x"}}`).
		Fault(403, "You are not authorized to perform the requested action: identity:create_role.")
	for body, message := range map[string]string{
		`{"role": {"name": 7}}`:   "Invalid input for field 'name': 7 is not of type 'string'",
		`{"role": {"name": ""}}`:  "Invalid input for field 'name': '' is too short",
		`{"role": {"name": " "}}`: `Invalid input for field 'name': ' ' does not match '[\\S]+'`,
		`{"role": {}}`:            "'name' is a required property",
		`{}`:                      "'name' is a required property",
		`{"role": {"name": "x", "description": null}}`:        "Invalid input for field 'description': None is not of type 'string'",
		`{"role": {"name": "x", "options": {"colour": "r"}}}`: "Invalid input for field 'options': Additional properties are not allowed ('colour' was unexpected)",
		`{"role": `: "Expecting to find valid JSON in request body. The server could not comply with the request since it is " +
			"either malformed or otherwise incorrect. The client is assumed to be in error.",
	} {
		s.Do("admin", "POST", "/v3/roles", body).Fault(400, message)
	}
	s.Do("admin", "POST", "/v3/roles", `{"role": {"name": "x"}}`).Want(201)
	s.Do("admin", "POST", "/v3/roles", `{"role": {"name": "x"}}`).
		Fault(409, "Conflict occurred attempting to store role - Duplicate entry found with name x.")
	s.Do("admin", "PATCH", "/v3/roles/nosuch", `{"role": {"name": "y"}}`).Fault(404, "Could not find role: nosuch.")
	s.Do("admin", "PUT", "/v3/roles", "").Want(405)
	s.Do("admin", "GET", "/v3/roles?limit=-1", "").Want(400)
}
