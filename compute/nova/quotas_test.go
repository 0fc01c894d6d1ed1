package nova_test

import (
	"slices"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/limits"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/quotasets"
	"github.com/stretchr/testify/require"
)

func TestQuotasAndLimitsByGophercloud(t *testing.T) {
	s := serveCatalog(t)
	ctx := t.Context()
	admin, member := s.client("admin", ""), s.client("member", "2.96")
	set, err := quotasets.Update(ctx, admin, memberProject, quotasets.UpdateOpts{Instances: gophercloud.IntToPointer(3), Cores: gophercloud.IntToPointer(-1), Force: true}).Extract()
	require.NoError(t, err)
	require.Equal(t, 3, set.Instances)
	got, err := quotasets.Get(ctx, member, memberProject).Extract()
	require.NoError(t, err)
	require.Equal(t, 3, got.Instances)
	require.Equal(t, -1, got.Cores)
	require.Equal(t, 51200, got.RAM)
	require.Equal(t, memberProject, got.ID)
	detail, err := quotasets.GetDetail(ctx, member, memberProject).Extract()
	require.NoError(t, err)
	require.Equal(t, quotasets.QuotaDetail{Limit: 3}, detail.Instances)
	defaults := s.Do("member", "GET", "/v2.1/os-quota-sets/"+memberProject+"/defaults", "").Want(200)
	require.EqualValues(t, 10, defaults.Get("quota_set", "instances"))
	l, err := limits.Get(ctx, s.client("admin", "2.96"), limits.GetOpts{TenantID: memberProject}).Extract()
	require.NoError(t, err)
	require.Equal(t, 3, l.Absolute.MaxTotalInstances)
	require.NoError(t, quotasets.Delete(ctx, admin, memberProject).Err)
	l, err = limits.Get(ctx, member, nil).Extract()
	require.NoError(t, err)
	require.Equal(t, 10, l.Absolute.MaxTotalInstances)
	_, err = limits.Get(ctx, member, limits.GetOpts{TenantID: "other"}).Extract()
	require.ErrorContains(t, err, "403")
}

func TestQuotasChangeWithMicroversions(t *testing.T) {
	s := serveCatalog(t)
	all := []string{
		"id", "instances", "cores", "ram", "metadata_items", "key_pairs", "server_groups", "server_group_members", "injected_files",
		"injected_file_content_bytes", "injected_file_path_bytes", "fixed_ips", "floating_ips", "security_groups", "security_group_rules",
	}
	no36, no57 := all[:11], all[:8]
	set := "/v2.1/os-quota-sets/" + memberProject
	require.ElementsMatch(t, all, s.Do("member", "GET 2.35", set, "").Keys("quota_set"))
	require.ElementsMatch(t, no36, s.Do("member", "GET 2.36", set, "").Keys("quota_set"))
	require.ElementsMatch(t, no57, s.Do("member", "GET 2.57", set+"/defaults", "").Keys("quota_set"))
	require.Equal(t, map[string]any{"limit": 20.0, "in_use": 0.0, "reserved": 0.0}, s.Do("member", "GET 2.57", set+"/detail", "").Get("quota_set", "cores"))
	class := "/v2.1/os-quota-class-sets/default"
	require.ElementsMatch(t, slices.DeleteFunc(slices.Clone(all), func(k string) bool { return k == "server_groups" || k == "server_group_members" }),
		s.Do("admin", "GET 2.49", class, "").Keys("quota_class_set"))
	require.ElementsMatch(t, no36, s.Do("admin", "GET 2.50", class, "").Keys("quota_class_set"))
	require.ElementsMatch(t, no57, s.Do("admin", "GET 2.57", class, "").Keys("quota_class_set"))
	require.EqualValues(t, 5, s.Do("admin", "PUT 2.57", class, `{"quota_class_set": {"instances": "5"}}`).Want(200).Get("quota_class_set", "instances"))

	for _, tc := range []struct{ method, body, message string }{
		{"PUT", `{"quota_set": {"instances": -2}}`, "Invalid input for field/attribute instances. Value: -2. -2 is less than the minimum of -1"},
		{"PUT", `{"quota_set": {"instances": "many"}}`, "Invalid input for field/attribute instances. Value: many. 'many' does not match '^-?[0-9]+$'"},
		{"PUT", `{"quota_set": {"dogs": 1}}`, "Invalid input for field/attribute quota_set. Value: {'dogs': 1}. Additional properties are not allowed ('dogs' was unexpected)"},
		{"PUT", `{"quota_set": {"networks": 1}}`, "The networks quota has been removed"},
		{"PUT 2.36", `{"quota_set": {"floating_ips": 1}}`, "Invalid input for field/attribute quota_set. Value: {'floating_ips': 1}. Additional properties are not allowed ('floating_ips' was unexpected)"},
		{"PUT 2.57", `{"quota_set": {"injected_files": 1}}`, "Invalid input for field/attribute quota_set. Value: {'injected_files': 1}. Additional properties are not allowed ('injected_files' was unexpected)"},
	} {
		s.Do("admin", tc.method, set, tc.body).Fault(400, tc.message)
	}
	s.Do("admin", "PUT", set+"?user_id=u", `{"quota_set": {"instances": 1}}`).Want(501)
	s.Do("member", "GET 2.75", set+"?x=1", "").Fault(400, "Additional properties are not allowed ('x' was unexpected)")
	require.NotContains(t, s.Do("admin", "PUT", set, `{"quota_set": {"instances": 1}}`).Want(200).Keys("quota_set"), "id")
	s.Do("admin", "DELETE", set, "").Want(202)
	s.Do("member", "PUT", set, `{"quota_set": {"instances": 1}}`).Want(403)
	s.Do("member", "GET", "/v2.1/os-quota-sets/other", "").Want(403)
}

func TestLimitsChangeWithMicroversions(t *testing.T) {
	s := serveCatalog(t)
	newest := []string{
		"maxTotalRAMSize", "totalRAMUsed", "maxTotalInstances", "totalInstancesUsed", "maxTotalCores", "totalCoresUsed", "maxTotalKeypairs",
		"maxServerMeta", "maxServerGroups", "totalServerGroupsUsed", "maxServerGroupMembers",
	}
	files := append(slices.Clone(newest), "maxPersonality", "maxPersonalitySize")
	image := append(slices.Clone(files), "maxImageMeta")
	oldest := append(slices.Clone(image), "maxTotalFloatingIps", "totalFloatingIpsUsed", "maxSecurityGroups", "totalSecurityGroupsUsed", "maxSecurityGroupRules")
	for version, names := range map[string][]string{"2.1": oldest, "2.35": oldest, "2.36": image, "2.38": image, "2.39": files, "2.56": files, "2.57": newest, "2.96": newest} {
		answer := s.Do("member", "GET "+version, "/v2.1/limits", "").Want(200)
		require.ElementsMatch(t, names, answer.Keys("limits", "absolute"), version)
		require.Empty(t, answer.Get("limits", "rate"))
	}
	s.Do("member", "GET 2.75", "/v2.1/limits?x=1", "").Want(400)
}
