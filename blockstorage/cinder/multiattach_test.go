package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSeveralAttachmentsOnTheWire(t *testing.T) {
	s := serve(t)
	s.Do("admin", "POST", "/v3/types", `{"volume_type": {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}}`).Want(200)
	id := s.volume(`{"size": 1, "volume_type": "shared"}`)
	require.Equal(t, true, s.Do("member", "GET", "/v3/volumes/"+id, "").Want(200).Get("volume", "multiattach"))
	require.Equal(t, true, s.Do("admin", "GET", "/v3/scheduler-stats/get_pools?detail=true", "").Want(200).Get("pools", 0, "capabilities", "multiattach"))
	require.Equal(t, false, s.Do("admin", "GET", "/v3/scheduler-stats/get_pools?detail=true", "").Get("pools", 0, "capabilities", "QoS_support"))
	require.NotEmpty(t, s.Do("admin", "GET", "/v3/scheduler-stats/get_pools?detail=true", "").Get("pools", 0, "capabilities", "updated"))
	var ids []string
	for _, host := range []string{"a", "b"} {
		a := s.Do("member", "POST 3.54", "/v3/attachments", `{"attachment": {"volume_uuid": "`+id+`", "connector": {"host": "`+host+`"}}}`).Want(200)
		ids = append(ids, a.Text("attachment", "id"))
		s.Do("member", "POST 3.44", "/v3/attachments/"+ids[len(ids)-1]+"/action", `{"os-complete": {}}`).Want(204)
	}
	require.Len(t, s.Do("member", "GET", "/v3/volumes/"+id, "").Want(200).Get("volume", "attachments"), 2)
	s.Do("member", "DELETE 3.54", "/v3/attachments/"+ids[0], "").Want(200)
	require.Equal(t, "in-use", s.Do("member", "GET", "/v3/volumes/"+id, "").Text("volume", "status"))
	s.Do("member", "POST", "/v3/volumes", `{"volume": {"size": 1, "multiattach": true}}`).Want(400)
}
