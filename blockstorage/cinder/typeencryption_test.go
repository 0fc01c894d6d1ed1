package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTypeEncryption(t *testing.T) {
	s := serve(t)
	id := s.do("admin", "", "POST", "/v3/types", `{"volume_type": {"name": "secret"}}`).want(200).text("volume_type", "id")
	path := "/v3/types/" + id + "/encryption"
	require.Equal(t, "{}", s.do("admin", "", "GET", path, "").want(200).body)
	s.do("member", "", "POST", path, `{"encryption": {"provider": "luks", "control_location": "front-end"}}`).want(403)
	s.do("admin", "", "POST", path, `{"encryption": {"provider": "luks"}}`).want(400)
	s.do("admin", "", "POST", path, `{"encryption": {"provider": "luks", "control_location": "middle"}}`).want(400)
	s.do("admin", "", "POST", path, `{"encryption": {"provider": "luks", "control_location": "front-end", "key_size": "big"}}`).want(400)
	s.do("admin", "", "PUT", path+"/x", `{"encryption": {"key_size": 64}}`).
		fault(404, "itemNotFound", "Volume type encryption for type "+id+" does not exist.")

	a := s.do("admin", "", "POST", path, `{"encryption": {"provider": "luks", "control_location": "front-end", "key_size": "256", "cipher": null}}`).want(200)
	require.EqualValues(t, 256, a.get("encryption", "key_size"))
	require.Equal(t, id, a.get("encryption", "volume_type_id"))
	encryptionID := a.text("encryption", "encryption_id")
	s.do("admin", "", "POST", path, `{"encryption": {"provider": "luks", "control_location": "front-end"}}`).
		fault(400, "badRequest", "Volume type encryption for type "+id+" already exists.")
	require.JSONEq(t, `{"encryption": {"key_size": 128, "cipher": "aes-xts-plain64"}}`,
		s.do("admin", "", "PUT", path+"/"+encryptionID, `{"encryption": {"key_size": 128, "cipher": "aes-xts-plain64"}}`).want(200).body)
	a = s.do("admin", "", "GET", path, "").want(200)
	require.Equal(t, encryptionID, a.get("encryption_id"))
	require.EqualValues(t, 128, a.get("key_size"))
	require.Equal(t, "luks", a.get("provider"))
	require.Equal(t, false, a.get("deleted"))
	require.JSONEq(t, `{"cipher": "aes-xts-plain64"}`, s.do("admin", "", "GET", path+"/cipher", "").want(200).body)
	s.do("admin", "", "GET", path+"/nothing", "").want(404)

	// Nothing here keeps keys, so no volume pretends to be encrypted.
	s.do("member", "", "POST", "/v3/volumes", `{"volume": {"size": 1, "volume_type": "secret"}}`).
		fault(400, "badRequest", "Invalid volume type: volumes of secret are to be encrypted, which no pool offers")
	s.do("admin", "", "DELETE", path+"/"+encryptionID, "").want(202)
	s.do("admin", "", "DELETE", path+"/"+encryptionID, "").want(404)
	s.volume(`{"size": 1, "volume_type": "secret"}`)
	s.do("admin", "", "POST", path, `{"encryption": {"provider": "luks", "control_location": "front-end"}}`).
		fault(400, "badRequest", "Cannot create encryption specs. Volume type in use.")
	s.do("admin", "", "GET", "/v3/types/00000000-0000-4000-8000-000000000000/encryption", "").want(404)
}
