package keystone_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoles(t *testing.T) {
	s := serve(t, cast)
	made := s.do("POST", "/v3/roles", "admin", `{"role": {"name": "auditor", "tone:of-voice": "low"}}`).want(201)
	id := made.text("role", "id")
	require.Equal(t, map[string]any{
		"id": id, "name": "auditor", "domain_id": nil, "description": nil, "options": map[string]any{}, "tone_of_voice": "low",
		"links": map[string]any{"self": s.url + "/v3/roles/" + id},
	}, made.get("role"))

	require.Equal(t, made.body, s.do("GET", "/v3/roles/"+id, "admin", "").want(200).body)
	require.Empty(t, s.do("HEAD", "/v3/roles/"+id, "admin", "").want(200).body)
	s.do("PATCH", "/v3/roles/"+id, "admin", `{"role": {"description": "looks on"}}`).want(200)
	require.Equal(t, "looks on", s.do("GET", "/v3/roles/"+id, "admin", "").text("role", "description"))

	s.do("POST", "/v3/roles", "admin", `{"role": {"name": "zebra"}}`).want(201)
	list := s.do("GET", "/v3/roles", "admin", "").want(200)
	require.Len(t, list.get("roles"), 2)
	require.Equal(t, map[string]any{"self": s.url + "/v3/roles", "next": nil, "previous": nil}, list.get("links"))
	list = s.do("GET", "/v3/roles?name__istartswith=ZE", "admin", "").want(200)
	require.Len(t, list.get("roles"), 1)
	list = s.do("GET", "/v3/roles?limit=1", "admin", "").want(200)
	require.Len(t, list.get("roles"), 1)
	next := list.text("links", "next")[len(s.url):]
	list = s.do("GET", next, "admin", "").want(200)
	require.Len(t, list.get("roles"), 1)
	require.Nil(t, list.get("links", "next"))

	require.Empty(t, s.do("DELETE", "/v3/roles/"+id, "admin", "").want(204).body)
	s.do("GET", "/v3/roles/"+id, "admin", "").fault(404, "Could not find role: "+id+".")
}

func TestBadRoles(t *testing.T) {
	s := serve(t, cast)
	s.do("POST", "/v3/roles", "", `{}`).fault(401, "The request you have made requires authentication.")
	s.do("POST", "/v3/roles", "member", `{"role": {"name": "x"}}`).
		fault(403, "You are not authorized to perform the requested action: identity:create_role.")
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
		s.do("POST", "/v3/roles", "admin", body).fault(400, message)
	}
	s.do("POST", "/v3/roles", "admin", `{"role": {"name": "x"}}`).want(201)
	s.do("POST", "/v3/roles", "admin", `{"role": {"name": "x"}}`).
		fault(409, "Conflict occurred attempting to store role - Duplicate entry found with name x.")
	s.do("PATCH", "/v3/roles/nosuch", "admin", `{"role": {"name": "y"}}`).fault(404, "Could not find role: nosuch.")
	s.do("PUT", "/v3/roles", "admin", "").want(405)
	s.do("GET", "/v3/roles?limit=-1", "admin", "").want(400)
}
