package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTypeEncryption(t *testing.T) {
	s := serve(t)
	id := s.Do("admin", "POST", "/v3/types", `{"volume_type": {"name": "secret"}}`).Want(200).Text("volume_type", "id")
	path := "/v3/types/" + id + "/encryption"
	require.Equal(t, "{}", s.Do("admin", "GET", path, "").Want(200).Body)
	s.Do("member", "POST", path, `{"encryption": {"provider": "luks", "control_location": "front-end"}}`).Want(403)
	s.Do("admin", "POST", path, `{"encryption": {"provider": "luks"}}`).Want(400)
	s.Do("admin", "POST", path, `{"encryption": {"provider": "luks", "control_location": "middle"}}`).Want(400)
	s.Do("admin", "POST", path, `{"encryption": {"provider": "luks", "control_location": "front-end", "key_size": "big"}}`).Want(400)
	s.Do("admin", "PUT", path+"/x", `{"encryption": {"key_size": 64}}`).
		Fault(404, "Volume type encryption for type "+id+" does not exist.")

	const whole = `{"encryption": {"provider": "luks", "control_location": "front-end", "key_size": "256", "cipher": null}}`
	a := s.Do("admin", "POST", path, whole, "Idempotency-Key", "k").Want(200)
	require.Equal(t, a.Body, s.Do("admin", "POST", path, whole, "Idempotency-Key", "k").Want(200).Body, "a retry")
	require.EqualValues(t, 256, a.Get("encryption", "key_size"))
	require.Equal(t, id, a.Get("encryption", "volume_type_id"))
	encryptionID := a.Text("encryption", "encryption_id")
	s.Do("admin", "POST", path, `{"encryption": {"provider": "luks", "control_location": "front-end"}}`).
		Fault(400, "Volume type encryption for type "+id+" already exists.")
	require.JSONEq(t, `{"encryption": {"key_size": 128, "cipher": "aes-xts-plain64"}}`,
		s.Do("admin", "PUT", path+"/"+encryptionID, `{"encryption": {"key_size": 128, "cipher": "aes-xts-plain64"}}`).Want(200).Body)
	a = s.Do("admin", "GET", path, "").Want(200)
	require.Equal(t, encryptionID, a.Get("encryption_id"))
	require.EqualValues(t, 128, a.Get("key_size"))
	require.Equal(t, "luks", a.Get("provider"))
	require.Equal(t, false, a.Get("deleted"))
	require.JSONEq(t, `{"cipher": "aes-xts-plain64"}`, s.Do("admin", "GET", path+"/cipher", "").Want(200).Body)
	s.Do("admin", "GET", path+"/nothing", "").Want(404)

	// Nothing here keeps keys, so no volume pretends to be encrypted.
	s.Do("member", "POST", "/v3/volumes", `{"volume": {"size": 1, "volume_type": "secret"}}`).
		Fault(400, "Invalid volume type: volumes of secret are to be encrypted, which no pool offers")
	s.Do("admin", "DELETE", path+"/"+encryptionID, "").Want(202)
	s.Do("admin", "DELETE", path+"/"+encryptionID, "").Want(404)
	s.volume(`{"size": 1, "volume_type": "secret"}`)
	s.Do("admin", "POST", path, `{"encryption": {"provider": "luks", "control_location": "front-end"}}`).
		Fault(400, "Cannot create encryption specs. Volume type in use.")
	s.Do("admin", "GET", "/v3/types/00000000-0000-4000-8000-000000000000/encryption", "").Want(404)
}
