package keystone_test

import (
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/applicationcredentials"
	"github.com/stretchr/testify/require"
)

func TestApplicationCredentials(t *testing.T) {
	s, b := cloud(t)
	ctx := t.Context()
	admin, err := s.client(t, gophercloud.AuthOptions{Username: "admin", Password: "secret", DomainName: "Default", TenantName: "admin"})
	require.NoError(t, err)
	ends := s.clock.Now().Add(30 * time.Minute)
	made, err := applicationcredentials.Create(ctx, admin, b.UserID, applicationcredentials.CreateOpts{
		Name: "robot", Roles: []applicationcredentials.Role{{Name: "member"}}, ExpiresAt: &ends,
	}).Extract()
	require.NoError(t, err)
	require.NotEmpty(t, made.Secret)
	require.Len(t, made.Roles, 1)
	require.Equal(t, b.ProjectID, made.ProjectID)
	_, err = applicationcredentials.Create(ctx, admin, b.UserID, applicationcredentials.CreateOpts{Name: "robot"}).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, 409), err)

	login := `{"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": "` + made.ID + `", "secret": "` + made.Secret + `"}}}}`
	got := s.do("POST", "/v3/auth/tokens", "", login).want(201)
	require.Equal(t, []any{map[string]any{"id": b.Roles["member"], "name": "member"}}, got.get("token", "roles"))
	require.Equal(t, map[string]any{"id": made.ID, "name": "robot", "restricted": true}, got.get("token", "application_credential"))
	require.Equal(t, []any{"application_credential"}, got.get("token", "methods"))
	require.Equal(t, "2030-01-02T03:34:05.000000Z", got.text("token", "expires_at"))
	robot := got.header.Get("X-Subject-Token")
	path := "/v3/users/" + b.UserID + "/application_credentials"
	s.do("GET", path, robot, "").want(200)
	s.do("POST", path, robot, `{"application_credential": {"name": "child"}}`).want(403)
	s.do("DELETE", path+"/"+made.ID, robot, "").want(403)
	root := s.token(adminOnProject)
	s.do("POST", path, root, `{"application_credential": {"name": "r", "bogus": 1}}`).
		fault(400, "'bogus' is an invalid keyword argument for ApplicationCredentialModel")
	s.do("POST", path, root, `{"application_credential": {"name": "r", "roles": [{}]}}`).
		fault(400, "Invalid input for field 'roles/0': {} does not have enough properties")
	s.do("POST", path, robot, `{"application_credential": {"name": "r", "access_rules": [{"path": "/x"}]}}`).want(501)
	s.do("POST", "/v3/auth/tokens", "", `{"auth": {"identity": {"methods": ["token"], "token": {"id": "`+robot+`"}}}}`).want(403)
	s.do("POST", "/v3/auth/tokens", "", login[:len(login)-2]+`, "scope": {"system": {"all": true}}}}`).want(401)
	s.do("POST", "/v3/auth/tokens", "", `{"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"name": "robot",
		"secret": "wrong", "user": {"id": "`+b.UserID+`"}}}}}`).want(401)
	byName, err := s.client(t, gophercloud.AuthOptions{
		ApplicationCredentialName: "robot", ApplicationCredentialSecret: made.Secret, Username: "admin", DomainName: "Default",
	})
	require.NoError(t, err)
	require.NotEmpty(t, byName.Token())

	s.do("DELETE", path+"/"+made.ID, root, "").want(204)
	s.do("GET", path, robot, "").want(401)
	s.do("POST", "/v3/auth/tokens", "", login).want(404)
}
