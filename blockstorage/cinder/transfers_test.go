package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTransfersOnTheWire(t *testing.T) {
	s := serve(t)
	id := s.volume(`{"size": 1}`)
	body := `{"transfer": {"volume_id": "` + id + `", "name": " gift "}}`
	s.do("member", "", "POST", "/v3/volume-transfers", `{"transfer": {}}`).want(400)
	s.do("member", "3.54", "POST", "/v3/volume-transfers", `{"transfer": {"volume_id": "`+id+`", "no_snapshots": true}}`).want(400)
	s.do("member", "3.55", "POST", "/v3/os-volume-transfer", `{"transfer": {"volume_id": "`+id+`", "no_snapshots": true}}`).want(400)
	s.do("reader", "", "POST", "/v3/volume-transfers", body).want(403)
	s.do("stranger", "", "POST", "/v3/volume-transfers", body).want(404)
	a := s.do("member", "3.57", "POST", "/v3/volume-transfers", body).want(202)
	transfer, key := a.text("transfer", "id"), a.text("transfer", "auth_key")
	require.Equal(t, "gift", a.text("transfer", "name"))
	require.Equal(t, false, a.get("transfer", "accepted"))
	require.Equal(t, project, a.text("transfer", "source_project_id"))
	require.Equal(t, s.url+"/v3/os-volume-transfer/"+transfer, a.text("transfer", "links", 0, "href"))
	s.do("member", "", "POST", "/v3/volume-transfers", body).fault(400, "badRequest", "Invalid volume: status must be available")

	for version, fields := range map[string]int{"3.54": 5, "3.55": 6, "3.57": 9} {
		require.Len(t, s.do("member", version, "GET", "/v3/volume-transfers/"+transfer, "").want(200).get("transfer"), fields)
	}
	require.Len(t, s.do("member", "", "GET", "/v3/os-volume-transfer", "").want(200).get("transfers", 0), 4)
	require.Len(t, s.do("member", "", "GET", "/v3/volume-transfers/detail", "").want(200).get("transfers", 0), 5)
	require.Empty(t, s.do("stranger", "", "GET", "/v3/volume-transfers/detail", "").want(200).get("transfers"))
	s.do("stranger", "", "GET", "/v3/volume-transfers/"+transfer, "").fault(404, "itemNotFound", "Transfer "+transfer+" could not be found.")

	accept := "/v3/volume-transfers/" + transfer + "/accept"
	s.do("stranger", "", "POST", accept, `{"accept": {}}`).want(400)
	s.do("stranger", "", "POST", accept, `{"accept": {"auth_key": 17}}`).
		fault(400, "badRequest", "Invalid auth key: Attempt to transfer "+transfer+" with invalid auth key.")
	a = s.do("stranger", "", "POST", accept, `{"accept": {"auth_key": "`+key+`"}}`).want(202)
	require.Equal(t, id, a.text("transfer", "volume_id"))
	s.do("member", "", "GET", "/v3/volumes/"+id, "").want(404)
	s.do("stranger", "", "GET", "/v3/volumes/"+id, "").want(200)

	a = s.do("stranger", "", "POST", "/v3/os-volume-transfer", body).want(202)
	require.NotContains(t, a.body, "no_snapshots")
	s.do("stranger", "", "DELETE", "/v3/os-volume-transfer/"+a.text("transfer", "id"), "").want(202)
	require.Equal(t, "available", s.do("stranger", "", "GET", "/v3/volumes/"+id, "").text("volume", "status"))
}
