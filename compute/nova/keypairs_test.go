package nova_test

import (
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS me@here"

func TestKeyPairsByGophercloud(t *testing.T) {
	s := serveCatalog(t)
	ctx := t.Context()
	member := s.client("member", "2.91")
	made, err := keypairs.Create(ctx, member, keypairs.CreateOpts{Name: "made"}).Extract()
	require.NoError(t, err)
	_, err = ssh.ParsePrivateKey([]byte(made.PrivateKey))
	require.NoError(t, err)
	require.Equal(t, "u", made.UserID)
	member.Microversion = "2.96"
	_, err = keypairs.Create(ctx, member, keypairs.CreateOpts{Name: "made"}).Extract()
	require.ErrorContains(t, err, "'public_key' is a required property")
	got, err := keypairs.Create(ctx, member, keypairs.CreateOpts{Name: "me@my.host", PublicKey: publicKey}).Extract()
	require.NoError(t, err)
	require.Equal(t, "ssh", got.Type)
	require.Empty(t, got.PrivateKey)
	shown, err := keypairs.Get(ctx, member, "me@my.host", nil).Extract()
	require.NoError(t, err)
	require.Equal(t, got.Fingerprint, shown.Fingerprint)
	_, err = keypairs.Get(ctx, s.client("stranger", "2.96"), "made", keypairs.GetOpts{UserID: "u"}).Extract()
	require.ErrorContains(t, err, "403")
	pages, err := keypairs.List(s.client("admin", "2.96"), keypairs.ListOpts{UserID: "u"}).AllPages(ctx)
	require.NoError(t, err)
	all, err := keypairs.ExtractKeyPairs(pages)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.NoError(t, keypairs.Delete(ctx, member, "made", nil).ExtractErr())
	require.ErrorContains(t, keypairs.Delete(ctx, member, "made", nil).ExtractErr(), "404")
}

func TestKeyPairsChangeWithMicroversions(t *testing.T) {
	s := serveCatalog(t)
	body := `{"keypair": {"name": "k", "public_key": "` + publicKey + `"}}`
	made := s.Do("member", "POST", "/v2.1/os-keypairs", body).Want(200)
	require.ElementsMatch(t, []string{"name", "public_key", "fingerprint", "user_id"}, made.Keys("keypair"))
	require.ElementsMatch(t, []string{"name", "public_key", "fingerprint"}, s.Do("member", "GET", "/v2.1/os-keypairs", "").Keys("keypairs", 0, "keypair"))
	require.ElementsMatch(t, []string{"name", "public_key", "fingerprint", "type"}, s.Do("member", "GET 2.2", "/v2.1/os-keypairs", "").Keys("keypairs", 0, "keypair"))
	shown := s.Do("member", "GET 2.2", "/v2.1/os-keypairs/k", "").Want(200)
	require.Equal(t, map[string]any{
		"id": 1.0, "name": "k", "type": "ssh", "user_id": "u", "public_key": publicKey, "fingerprint": shown.Get("keypair", "fingerprint"),
		"created_at": "2030-01-02T03:04:05.000678", "updated_at": nil, "deleted_at": nil, "deleted": false,
	}, shown.Get("keypair"))
	require.Empty(t, s.Do("member", "DELETE", "/v2.1/os-keypairs/k", "").Want(202).Body)
	s.Do("member", "POST 2.2", "/v2.1/os-keypairs", strings.Replace(body, `"k"`, `"k", "type": "ssh"`, 1)).Want(201)
	s.Do("member", "POST 2.2", "/v2.1/os-keypairs", body).Fault(409, "Key pair 'k' already exists.")
	require.Empty(t, s.Do("admin", "GET 2.9", "/v2.1/os-keypairs?user_id=u", "").Get("keypairs"))
	require.Len(t, s.Do("admin", "GET 2.10", "/v2.1/os-keypairs?user_id=u", "").Get("keypairs"), 1)
	s.Do("member", "POST 2.2", "/v2.1/os-keypairs", strings.Replace(body, `"k"`, `"b"`, 1)).Want(201)
	require.Len(t, s.Do("member", "GET 2.34", "/v2.1/os-keypairs?limit=1", "").Get("keypairs"), 2)
	page := s.Do("member", "GET 2.35", "/v2.1/os-keypairs?limit=1", "").Want(200)
	require.Equal(t, s.URL+"/v2.1/os-keypairs?limit=1&marker=b", page.Get("keypairs_links", 0, "href"))
	s.Do("member", "DELETE 2.2", "/v2.1/os-keypairs/k", "").Want(204)
	s.Do("member", "GET", "/v2.1/os-keypairs/k", "").Fault(404, "Keypair k not found for user u")

	for b, message := range map[string]string{
		`{"keypair": {"name": "k", "type": "ssh"}}`: "Invalid input for field/attribute keypair. Value: {'name': 'k', 'type': 'ssh'}. Additional properties are not allowed ('type' was unexpected)",
		`{"keypair": {}}`:                               "Invalid input for field/attribute keypair. Value: {}. 'name' is a required property",
		`{"keypair": {"name": "a.b"}}`:                  "An invalid 'name' value was provided. The name must be: Only expected characters: [_- 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ]",
		`{"keypair": {"name": "a", "public_key": "x"}}`: "Keypair data is invalid: failed to generate fingerprint",
		`{"keypair": {"name": "a", "public_key": ""}}`:  "Keypair data is invalid: failed to generate fingerprint",
	} {
		s.Do("member", "POST", "/v2.1/os-keypairs", b).Fault(400, message)
	}
	s.Do("member", "POST 2.2", "/v2.1/os-keypairs", `{"keypair": {"name": "w", "type": "x509"}}`).Want(501)
}
