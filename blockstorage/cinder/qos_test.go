package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi/apitest"
)

func TestQoSSpecsOnTheWire(t *testing.T) {
	s := serve(t)
	admin := func(method, path, body string) apitest.Answer { return s.Do("admin", method, "/v3"+path, body) }
	s.Do("member", "GET", "/v3/qos-specs", "").Want(403)
	require.JSONEq(t, `{"qos_specs": []}`, admin("GET", "/qos-specs", "").Want(200).Body)
	admin("POST", "/qos-specs", `{"qos_specs": {}}`).Want(400)
	admin("POST", "/qos-specs", `{"qos_specs": {"name": " "}}`).Want(400)
	admin("POST", "/qos-specs", `{"qos_specs": {"name": "x", "k": 1}}`).Want(400)
	admin("POST", "/qos-specs", `{"qos_specs": {"name": "x", "consumer": "nobody"}}`).
		Fault(400, "Invalid qos specs: Valid consumer of QoS specs are: ('back-end', 'front-end', 'both')")
	a := admin("POST", "/qos-specs", `{"qos_specs": {"name": " q ", "consumer": "front-end", "total_iops_sec": "50", "x": "y"}}`).Want(200)
	id := a.Text("qos_specs", "id")
	require.Equal(t, map[string]any{"id": id, "name": "q", "consumer": "front-end", "specs": map[string]any{"total_iops_sec": "50", "x": "y"}}, a.Get("qos_specs"))
	require.Equal(t, s.URL+"/v3/qos-specs/"+id, a.Text("links", 0, "href"))
	admin("POST", "/qos-specs", `{"qos_specs": {"name": "q"}}`).Fault(409, "QoS Specs q already exists.")
	require.Equal(t, a.Get("qos_specs"), admin("GET", "/qos-specs/"+id, "").Want(200).Get("qos_specs"))
	admin("GET", "/qos-specs/none", "").Fault(404, "No such QoS spec none.")
	require.JSONEq(t, `{"qos_specs": {"x": "z"}}`, admin("PUT", "/qos-specs/"+id, `{"qos_specs": {"x": "z"}}`).Want(200).Body)
	admin("PUT", "/qos-specs/"+id, `{"qos_specs": {"x": 1}}`).Want(400)
	admin("PUT", "/qos-specs/"+id+"/delete_keys", `{"keys": ["x", "x"]}`).Want(400)
	admin("PUT", "/qos-specs/"+id+"/delete_keys", `{"keys": [1]}`).Want(400)
	admin("PUT", "/qos-specs/"+id+"/delete_keys", `{"keys": ["x"]}`).Want(202)
	admin("PUT", "/qos-specs/"+id+"/delete_keys", `{"keys": ["x"]}`).Fault(404, "QoS spec "+id+" has no spec with key x.")

	typ := admin("POST", "/types", `{"volume_type": {"name": "limited"}}`).Want(200).Text("volume_type", "id")
	admin("GET", "/qos-specs/"+id+"/associate", "").Fault(400, "Volume Type id must not be None.")
	admin("GET", "/qos-specs/"+id+"/associate?vol_type_id=none", "").Want(404)
	admin("GET", "/qos-specs/"+id+"/associate?vol_type_id="+typ, "").Want(202)
	require.Equal(t, id, admin("GET", "/types/"+typ, "").Text("volume_type", "qos_specs_id"))
	require.JSONEq(t, `{"qos_associations": [{"association_type": "volume_type", "name": "limited", "id": "`+typ+`"}]}`,
		admin("GET", "/qos-specs/"+id+"/associations", "").Want(200).Body)

	vol := s.volume(`{"size": 1, "volume_type": "limited"}`)
	at := s.Do("member", "POST 3.54", "/v3/attachments", `{"attachment": {"volume_uuid": "`+vol+`", "connector": {"host": "a"}}}`).Want(200)
	require.Equal(t, map[string]any{"total_iops_sec": "50"}, at.Get("attachment", "connection_info", "qos_specs"))

	admin("DELETE", "/qos-specs/"+id, "").Fault(400, "Qos specs still in use.")
	admin("GET", "/qos-specs/"+id+"/disassociate?vol_type_id="+typ, "").Want(202)
	admin("GET", "/qos-specs/"+id+"/disassociate_all", "").Want(202)
	require.Nil(t, admin("GET", "/types/"+typ, "").Get("volume_type", "qos_specs_id"))
	admin("DELETE", "/qos-specs/"+id, "").Want(202)
	admin("POST", "/qos-specs", `{"qos_specs": {"name": "one"}}`).Want(200)
	admin("POST", "/qos-specs", `{"qos_specs": {"name": "two"}}`).Want(200)
	require.NotNil(t, admin("GET", "/qos-specs?limit=1", "").Want(200).Get("qos_specs_links"))
	require.Len(t, admin("GET", "/qos-specs?name=one", "").Want(200).Get("qos_specs"), 1)
}
