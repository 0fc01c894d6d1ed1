package nova_test

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servergroups"
	"github.com/stretchr/testify/require"
)

func TestServerGroupsByGophercloud(t *testing.T) {
	s := serveCatalog(t)
	ctx := t.Context()
	member := s.client("member", "2.64")
	made, err := servergroups.Create(ctx, member, servergroups.CreateOpts{
		Name: "g", Policy: "anti-affinity", Rules: &servergroups.Rules{MaxServerPerHost: 3},
	}).Extract()
	require.NoError(t, err)
	require.Equal(t, "anti-affinity", *made.Policy)
	require.Equal(t, 3, made.Rules.MaxServerPerHost)
	require.Equal(t, memberProject, made.ProjectID)
	got, err := servergroups.Get(ctx, member, made.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, made, got)
	_, err = servergroups.Get(ctx, s.client("stranger", "2.64"), made.ID).Extract()
	require.ErrorContains(t, err, "404")
	pages, err := servergroups.List(member, servergroups.ListOpts{Limit: 1}).AllPages(ctx)
	require.NoError(t, err)
	all, err := servergroups.ExtractServerGroups(pages)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.NoError(t, servergroups.Delete(ctx, member, made.ID).ExtractErr())
	require.ErrorContains(t, servergroups.Delete(ctx, member, made.ID).ExtractErr(), "404")
}

func TestServerGroupsChangeWithMicroversions(t *testing.T) {
	s := serveCatalog(t)
	made := s.Do("member", "POST", "/v2.1/os-server-groups", `{"server_group": {"name": "g", "policies": ["affinity"]}}`).Want(200)
	id := made.Get("server_group", "id").(string)
	require.Equal(t, map[string]any{"id": id, "name": "g", "policies": []any{"affinity"}, "metadata": map[string]any{}, "members": []any{}}, made.Get("server_group"))
	require.Equal(t, memberProject, s.Do("member", "GET 2.13", "/v2.1/os-server-groups/"+id, "").Get("server_group", "project_id"))
	newest := s.Do("member", "GET 2.64", "/v2.1/os-server-groups/"+id, "").Want(200)
	require.Equal(t, map[string]any{
		"id": id, "name": "g", "policy": "affinity", "rules": map[string]any{}, "members": []any{}, "project_id": memberProject, "user_id": "u",
	}, newest.Get("server_group"))
	require.Len(t, s.Do("admin", "GET", "/v2.1/os-server-groups?all_projects=1", "").Get("server_groups"), 1)
	require.Empty(t, s.Do("admin", "GET", "/v2.1/os-server-groups", "").Get("server_groups"))
	require.Empty(t, s.Do("member", "GET", "/v2.1/os-server-groups?offset=1", "").Get("server_groups"))

	for _, tc := range []struct{ version, body, message string }{
		{"", `{"server_group": {"name": "g", "policies": ["soft-affinity"]}}`, "Invalid input for field/attribute 0. Value: soft-affinity. 'soft-affinity' is not one of ['anti-affinity', 'affinity']"},
		{"", `{"server_group": {"name": "g", "policies": []}}`, "Invalid input for field/attribute policies. Value: []. [] is too short"},
		{"", `{"server_group": {"name": "g", "policies": ["affinity", "anti-affinity"]}}`, "Invalid input for field/attribute policies. Value: ['affinity', 'anti-affinity']. ['affinity', 'anti-affinity'] is too long"},
		{" 2.64", `{"server_group": {"name": "g", "policies": ["affinity"]}}`, "Invalid input for field/attribute server_group. Value: {'name': 'g', 'policies': ['affinity']}. 'policy' is a required property"},
		{" 2.64", `{"server_group": {"name": "g", "policy": "affinity", "rules": {"max_server_per_host": 2}}}`, "Only anti-affinity policy supports rules."},
		{" 2.64", `{"server_group": {"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": 0}}}`, "Invalid input for field/attribute max_server_per_host. Value: 0. 0 is less than the minimum of 1"},
	} {
		s.Do("member", "POST"+tc.version, "/v2.1/os-server-groups", tc.body).Fault(400, tc.message)
	}
	s.Do("member", "POST 2.15", "/v2.1/os-server-groups", `{"server_group": {"name": "g", "policies": ["soft-affinity"]}}`).Want(200)
	s.Do("admin", "PUT", "/v2.1/os-quota-sets/"+memberProject, `{"quota_set": {"server_groups": 2}}`).Want(200)
	s.Do("member", "POST 2.15", "/v2.1/os-server-groups", `{"server_group": {"name": "g", "policies": ["soft-affinity"]}}`).
		Fault(403, "Quota exceeded, too many server groups.")
}
