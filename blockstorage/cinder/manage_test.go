package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestManageOnTheWire(t *testing.T) {
	s := serve(t)
	s.state.Lay("one", 1<<30, nil)
	s.state.Lay("two", 2<<30, nil)
	const host = "nephos@volumes%23volumes"
	s.do("admin", "3.7", "GET", "/v3/manageable_volumes?host="+host, "").want(404)
	s.do("member", "3.8", "GET", "/v3/manageable_volumes?host="+host, "").want(403)
	s.do("admin", "3.8", "GET", "/v3/manageable_volumes", "").fault(400, "badRequest", "Invalid input received: Host field is missing.")
	s.do("admin", "3.17", "GET", "/v3/manageable_volumes?host=a&cluster=b", "").
		fault(400, "badRequest", "Invalid input received: One and only one of cluster and host must be set.")
	s.do("admin", "3.8", "GET", "/v3/manageable_volumes?host=moon", "").
		fault(404, "itemNotFound", "Service cinder-volume could not be found on host moon.")
	require.JSONEq(t, `{"manageable-volumes": [
		{"reference": {"source-name": "two"}, "size": 2, "safe_to_manage": true}, {"reference": {"source-name": "one"}, "size": 1, "safe_to_manage": true}
	]}`, s.do("admin", "3.8", "GET", "/v3/manageable_volumes?host="+host, "").want(200).body)
	require.JSONEq(t, `{"manageable-volumes": [{"reference": {"source-name": "two"}, "size": 2, "safe_to_manage": true, "reason_not_safe": null, "cinder_id": null, "extra_info": null}]}`,
		s.do("admin", "3.8", "GET", "/v3/manageable_volumes/detail?sort=size:asc&marker=%7B%22source-name%22%3A%22one%22%7D&limit=1&host="+host, "").want(200).body)
	s.do("admin", "3.8", "GET", "/v3/manageable_volumes?marker=x&host="+host, "").want(400)

	manage := func(token, version, body string) answer {
		return s.do(token, version, "POST", "/v3/manageable_volumes", `{"volume": `+body+`}`)
	}
	manage("admin", "3.8", `{"host": "nephos@volumes#volumes"}`).want(400)
	manage("admin", "3.8", `{"host": "nephos@volumes#volumes", "ref": {"path": "/etc"}}`).want(400)
	manage("admin", "3.8", `{"host": "moon", "ref": {"source-name": "one"}}`).fault(400, "badRequest", "Host 'moon' not found")
	manage("admin", "3.16", `{"cluster": "c", "ref": {"source-name": "one"}}`).fault(400, "badRequest", "Cluster 'c' not found")
	manage("member", "3.8", `{"host": "nephos@volumes#volumes", "ref": {"source-name": "one"}}`).want(403)
	a := manage("admin", "3.8", `{"host": "nephos@volumes#volumes", "ref": {"source-name": "one"}, "name": "n", "bootable": "true", "metadata": {"k": "v"}}`).want(202)
	require.Equal(t, "managing", a.text("volume", "status"))
	require.EqualValues(t, 0, a.get("volume", "size"))
	s.settle()
	id := a.text("volume", "id")
	a = s.do("admin", "", "GET", "/v3/volumes/"+id, "").want(200)
	require.Equal(t, "available", a.text("volume", "status"))
	require.EqualValues(t, 1, a.get("volume", "size"))
	require.Equal(t, "true", a.get("volume", "bootable"))
	a = s.do("admin", "", "GET", "/v3/os-volume-manage/detail?sort=size:asc&host="+host, "").want(200)
	require.Equal(t, id, a.get("manageable-volumes", 0, "cinder_id"))
	require.Equal(t, false, a.get("manageable-volumes", 0, "safe_to_manage"))

	s.do("member", "", "POST", "/v3/volumes/"+id+"/action", `{"os-unmanage": {}}`).want(404)
	s.do("admin", "", "POST", "/v3/volumes/"+id+"/action", `{"os-unmanage": {}}`).want(202)
	s.settle()
	s.do("admin", "", "GET", "/v3/volumes/"+id, "").want(404)
	s.do("admin", "", "POST", "/v3/os-volume-manage", `{"volume": {"host": "nephos@volumes#volumes", "ref": "one"}}`).want(202)
}
