package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi/apitest"
)

func TestManageOnTheWire(t *testing.T) {
	s := serve(t)
	s.state.Lay("one", 1<<30, nil)
	s.state.Lay("two", 2<<30, nil)
	const host = "nephos@volumes%23volumes"
	s.Do("admin", "GET 3.7", "/v3/manageable_volumes?host="+host, "").Want(404)
	s.Do("member", "GET 3.8", "/v3/manageable_volumes?host="+host, "").Want(403)
	s.Do("admin", "GET 3.8", "/v3/manageable_volumes", "").Fault(400, "Invalid input received: Host field is missing.")
	s.Do("admin", "GET 3.17", "/v3/manageable_volumes?host=a&cluster=b", "").
		Fault(400, "Invalid input received: One and only one of cluster and host must be set.")
	s.Do("admin", "GET 3.8", "/v3/manageable_volumes?host=moon", "").
		Fault(404, "Service cinder-volume could not be found on host moon.")
	require.JSONEq(t, `{"manageable-volumes": [
		{"reference": {"source-name": "two"}, "size": 2, "safe_to_manage": true}, {"reference": {"source-name": "one"}, "size": 1, "safe_to_manage": true}
	]}`, s.Do("admin", "GET 3.8", "/v3/manageable_volumes?host="+host, "").Want(200).Body)
	require.JSONEq(t, `{"manageable-volumes": [{"reference": {"source-name": "two"}, "size": 2, "safe_to_manage": true, "reason_not_safe": null, "cinder_id": null, "extra_info": null}]}`,
		s.Do("admin", "GET 3.8", "/v3/manageable_volumes/detail?sort=size:asc&marker=%7B%22source-name%22%3A%22one%22%7D&limit=1&host="+host, "").Want(200).Body)
	s.Do("admin", "GET 3.8", "/v3/manageable_volumes?marker=x&host="+host, "").Want(400)

	manage := func(token, version, body string) apitest.Answer {
		return s.Do(token, "POST "+version, "/v3/manageable_volumes", `{"volume": `+body+`}`)
	}
	manage("admin", "3.8", `{"host": "nephos@volumes#volumes"}`).Want(400)
	manage("admin", "3.8", `{"host": "nephos@volumes#volumes", "ref": {"path": "/etc"}}`).Want(400)
	manage("admin", "3.8", `{"host": "moon", "ref": {"source-name": "one"}}`).Fault(400, "Host 'moon' not found")
	manage("admin", "3.16", `{"cluster": "c", "ref": {"source-name": "one"}}`).Fault(400, "Cluster 'c' not found")
	manage("member", "3.8", `{"host": "nephos@volumes#volumes", "ref": {"source-name": "one"}}`).Want(403)
	a := manage("admin", "3.8", `{"host": "nephos@volumes#volumes", "ref": {"source-name": "one"}, "name": "n", "bootable": "true", "metadata": {"k": "v"}}`).Want(202)
	require.Equal(t, "managing", a.Text("volume", "status"))
	require.EqualValues(t, 0, a.Get("volume", "size"))
	s.settle()
	id := a.Text("volume", "id")
	a = s.Do("admin", "GET", "/v3/volumes/"+id, "").Want(200)
	require.Equal(t, "available", a.Text("volume", "status"))
	require.EqualValues(t, 1, a.Get("volume", "size"))
	require.Equal(t, "true", a.Get("volume", "bootable"))
	a = s.Do("admin", "GET", "/v3/os-volume-manage/detail?sort=size:asc&host="+host, "").Want(200)
	require.Equal(t, id, a.Get("manageable-volumes", 0, "cinder_id"))
	require.Equal(t, false, a.Get("manageable-volumes", 0, "safe_to_manage"))

	s.Do("member", "POST", "/v3/volumes/"+id+"/action", `{"os-unmanage": {}}`).Want(404)
	s.Do("admin", "POST", "/v3/volumes/"+id+"/action", `{"os-unmanage": {}}`).Want(202)
	s.settle()
	s.Do("admin", "GET", "/v3/volumes/"+id, "").Want(404)
	s.Do("admin", "POST", "/v3/os-volume-manage", `{"volume": {"host": "nephos@volumes#volumes", "ref": "one"}}`).Want(202)
}
