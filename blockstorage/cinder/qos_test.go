package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQoSSpecsOnTheWire(t *testing.T) {
	s := serve(t)
	admin := func(method, path, body string) answer { return s.do("admin", "", method, "/v3"+path, body) }
	s.do("member", "", "GET", "/v3/qos-specs", "").want(403)
	require.JSONEq(t, `{"qos_specs": []}`, admin("GET", "/qos-specs", "").want(200).body)
	admin("POST", "/qos-specs", `{"qos_specs": {}}`).want(400)
	admin("POST", "/qos-specs", `{"qos_specs": {"name": " "}}`).want(400)
	admin("POST", "/qos-specs", `{"qos_specs": {"name": "x", "k": 1}}`).want(400)
	admin("POST", "/qos-specs", `{"qos_specs": {"name": "x", "consumer": "nobody"}}`).
		fault(400, "badRequest", "Invalid qos specs: Valid consumer of QoS specs are: ('back-end', 'front-end', 'both')")
	a := admin("POST", "/qos-specs", `{"qos_specs": {"name": " q ", "consumer": "front-end", "total_iops_sec": "50", "x": "y"}}`).want(200)
	id := a.text("qos_specs", "id")
	require.Equal(t, map[string]any{"id": id, "name": "q", "consumer": "front-end", "specs": map[string]any{"total_iops_sec": "50", "x": "y"}}, a.get("qos_specs"))
	require.Equal(t, s.url+"/v3/qos-specs/"+id, a.text("links", 0, "href"))
	admin("POST", "/qos-specs", `{"qos_specs": {"name": "q"}}`).fault(409, "conflictingRequest", "QoS Specs q already exists.")
	require.Equal(t, a.get("qos_specs"), admin("GET", "/qos-specs/"+id, "").want(200).get("qos_specs"))
	admin("GET", "/qos-specs/none", "").fault(404, "itemNotFound", "No such QoS spec none.")
	require.JSONEq(t, `{"qos_specs": {"x": "z"}}`, admin("PUT", "/qos-specs/"+id, `{"qos_specs": {"x": "z"}}`).want(200).body)
	admin("PUT", "/qos-specs/"+id, `{"qos_specs": {"x": 1}}`).want(400)
	admin("PUT", "/qos-specs/"+id+"/delete_keys", `{"keys": ["x", "x"]}`).want(400)
	admin("PUT", "/qos-specs/"+id+"/delete_keys", `{"keys": [1]}`).want(400)
	admin("PUT", "/qos-specs/"+id+"/delete_keys", `{"keys": ["x"]}`).want(202)
	admin("PUT", "/qos-specs/"+id+"/delete_keys", `{"keys": ["x"]}`).fault(404, "itemNotFound", "QoS spec "+id+" has no spec with key x.")

	typ := admin("POST", "/types", `{"volume_type": {"name": "limited"}}`).want(200).text("volume_type", "id")
	admin("GET", "/qos-specs/"+id+"/associate", "").fault(400, "badRequest", "Volume Type id must not be None.")
	admin("GET", "/qos-specs/"+id+"/associate?vol_type_id=none", "").want(404)
	admin("GET", "/qos-specs/"+id+"/associate?vol_type_id="+typ, "").want(202)
	require.Equal(t, id, admin("GET", "/types/"+typ, "").text("volume_type", "qos_specs_id"))
	require.JSONEq(t, `{"qos_associations": [{"association_type": "volume_type", "name": "limited", "id": "`+typ+`"}]}`,
		admin("GET", "/qos-specs/"+id+"/associations", "").want(200).body)

	vol := s.volume(`{"size": 1, "volume_type": "limited"}`)
	at := s.do("member", "3.54", "POST", "/v3/attachments", `{"attachment": {"volume_uuid": "`+vol+`", "connector": {"host": "a"}}}`).want(200)
	require.Equal(t, map[string]any{"total_iops_sec": "50"}, at.get("attachment", "connection_info", "qos_specs"))

	admin("DELETE", "/qos-specs/"+id, "").fault(400, "badRequest", "Qos specs still in use.")
	admin("GET", "/qos-specs/"+id+"/disassociate?vol_type_id="+typ, "").want(202)
	admin("GET", "/qos-specs/"+id+"/disassociate_all", "").want(202)
	require.Nil(t, admin("GET", "/types/"+typ, "").get("volume_type", "qos_specs_id"))
	admin("DELETE", "/qos-specs/"+id, "").want(202)
	admin("POST", "/qos-specs", `{"qos_specs": {"name": "one"}}`).want(200)
	admin("POST", "/qos-specs", `{"qos_specs": {"name": "two"}}`).want(200)
	require.NotNil(t, admin("GET", "/qos-specs?limit=1", "").want(200).get("qos_specs_links"))
	require.Len(t, admin("GET", "/qos-specs?name=one", "").want(200).get("qos_specs"), 1)
}
