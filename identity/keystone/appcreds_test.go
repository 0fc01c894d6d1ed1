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
	got := s.Do("", "POST", "/v3/auth/tokens", login).Want(201)
	require.Equal(t, []any{map[string]any{"id": b.Roles["member"], "name": "member"}}, got.Get("token", "roles"))
	require.Equal(t, map[string]any{"id": made.ID, "name": "robot", "restricted": true}, got.Get("token", "application_credential"))
	require.Equal(t, []any{"application_credential"}, got.Get("token", "methods"))
	require.Equal(t, "2030-01-02T03:34:05.000000Z", got.Text("token", "expires_at"))
	robot := got.Header.Get("X-Subject-Token")
	path := "/v3/users/" + b.UserID + "/application_credentials"
	s.Do(robot, "GET", path, "").Want(200)
	s.Do(robot, "POST", path, `{"application_credential": {"name": "child"}}`).Want(403)
	s.Do(robot, "DELETE", path+"/"+made.ID, "").Want(403)
	root := s.token(adminOnProject)
	s.Do(root, "POST", path, `{"application_credential": {"name": "r", "bogus": 1}}`).
		Fault(400, "'bogus' is an invalid keyword argument for ApplicationCredentialModel")
	s.Do(root, "POST", path, `{"application_credential": {"name": "r", "roles": [{}]}}`).
		Fault(400, "Invalid input for field 'roles/0': {} does not have enough properties")
	s.Do(robot, "POST", path, `{"application_credential": {"name": "r", "access_rules": [{"path": "/x"}]}}`).Want(501)
	s.Do("", "POST", "/v3/auth/tokens", `{"auth": {"identity": {"methods": ["token"], "token": {"id": "`+robot+`"}}}}`).Want(403)
	s.Do("", "POST", "/v3/auth/tokens", login[:len(login)-2]+`, "scope": {"system": {"all": true}}}}`).Want(401)
	s.Do("", "POST", "/v3/auth/tokens", `{"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"name": "robot",
		"secret": "wrong", "user": {"id": "`+b.UserID+`"}}}}}`).
		Want(401)
	byName, err := s.client(t, gophercloud.AuthOptions{
		ApplicationCredentialName: "robot", ApplicationCredentialSecret: made.Secret, Username: "admin", DomainName: "Default",
	})
	require.NoError(t, err)
	require.NotEmpty(t, byName.Token())

	s.Do(root, "DELETE", path+"/"+made.ID, "").Want(204)
	s.Do(robot, "GET", path, "").Want(401)
	s.Do("", "POST", "/v3/auth/tokens", login).Want(404)
}
