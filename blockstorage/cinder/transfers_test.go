package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTransfersOnTheWire(t *testing.T) {
	s := serve(t)
	id := s.volume(`{"size": 1}`)
	body := `{"transfer": {"volume_id": "` + id + `", "name": " gift "}}`
	s.Do("member", "POST", "/v3/volume-transfers", `{"transfer": {}}`).Want(400)
	s.Do("member", "POST 3.54", "/v3/volume-transfers", `{"transfer": {"volume_id": "`+id+`", "no_snapshots": true}}`).Want(400)
	s.Do("member", "POST 3.55", "/v3/os-volume-transfer", `{"transfer": {"volume_id": "`+id+`", "no_snapshots": true}}`).Want(400)
	s.Do("reader", "POST", "/v3/volume-transfers", body).Want(403)
	s.Do("stranger", "POST", "/v3/volume-transfers", body).Want(404)
	a := s.Do("member", "POST 3.57", "/v3/volume-transfers", body).Want(202)
	transfer, key := a.Text("transfer", "id"), a.Text("transfer", "auth_key")
	require.Equal(t, "gift", a.Text("transfer", "name"))
	require.Equal(t, false, a.Get("transfer", "accepted"))
	require.Equal(t, project, a.Text("transfer", "source_project_id"))
	require.Equal(t, s.URL+"/v3/os-volume-transfer/"+transfer, a.Text("transfer", "links", 0, "href"))
	s.Do("member", "POST", "/v3/volume-transfers", body).Fault(400, "Invalid volume: status must be available")

	for version, fields := range map[string]int{"3.54": 5, "3.55": 6, "3.57": 9} {
		require.Len(t, s.Do("member", "GET "+version, "/v3/volume-transfers/"+transfer, "").Want(200).Get("transfer"), fields)
	}
	require.Len(t, s.Do("member", "GET", "/v3/os-volume-transfer", "").Want(200).Get("transfers", 0), 4)
	require.Len(t, s.Do("member", "GET", "/v3/volume-transfers/detail", "").Want(200).Get("transfers", 0), 5)
	require.Empty(t, s.Do("stranger", "GET", "/v3/volume-transfers/detail", "").Want(200).Get("transfers"))
	s.Do("stranger", "GET", "/v3/volume-transfers/"+transfer, "").Fault(404, "Transfer "+transfer+" could not be found.")

	accept := "/v3/volume-transfers/" + transfer + "/accept"
	s.Do("stranger", "POST", accept, `{"accept": {}}`).Want(400)
	s.Do("stranger", "POST", accept, `{"accept": {"auth_key": 17}}`).
		Fault(400, "Invalid auth key: Attempt to transfer "+transfer+" with invalid auth key.")
	a = s.Do("stranger", "POST", accept, `{"accept": {"auth_key": "`+key+`"}}`).Want(202)
	require.Equal(t, id, a.Text("transfer", "volume_id"))
	s.Do("member", "GET", "/v3/volumes/"+id, "").Want(404)
	s.Do("stranger", "GET", "/v3/volumes/"+id, "").Want(200)

	a = s.Do("stranger", "POST", "/v3/os-volume-transfer", body).Want(202)
	require.NotContains(t, a.Body, "no_snapshots")
	s.Do("stranger", "DELETE", "/v3/os-volume-transfer/"+a.Text("transfer", "id"), "").Want(202)
	require.Equal(t, "available", s.Do("stranger", "GET", "/v3/volumes/"+id, "").Text("volume", "status"))
}
