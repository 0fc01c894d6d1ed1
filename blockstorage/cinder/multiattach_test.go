package cinder_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSeveralAttachmentsOnTheWire(t *testing.T) {
	s := serve(t)
	s.do("admin", "", "POST", "/v3/types", `{"volume_type": {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}}`).want(200)
	id := s.volume(`{"size": 1, "volume_type": "shared"}`)
	require.Equal(t, true, s.do("member", "", "GET", "/v3/volumes/"+id, "").want(200).get("volume", "multiattach"))
	require.Equal(t, true, s.do("admin", "", "GET", "/v3/scheduler-stats/get_pools?detail=true", "").want(200).get("pools", 0, "capabilities", "multiattach"))
	var ids []string
	for _, host := range []string{"a", "b"} {
		a := s.do("member", "3.54", "POST", "/v3/attachments", `{"attachment": {"volume_uuid": "`+id+`", "connector": {"host": "`+host+`"}}}`).want(200)
		ids = append(ids, a.text("attachment", "id"))
		s.do("member", "3.44", "POST", "/v3/attachments/"+ids[len(ids)-1]+"/action", `{"os-complete": {}}`).want(204)
	}
	require.Len(t, s.do("member", "", "GET", "/v3/volumes/"+id, "").want(200).get("volume", "attachments"), 2)
	s.do("member", "3.54", "DELETE", "/v3/attachments/"+ids[0], "").want(200)
	require.Equal(t, "in-use", s.do("member", "", "GET", "/v3/volumes/"+id, "").text("volume", "status"))
	s.do("member", "", "POST", "/v3/volumes", `{"volume": {"size": 1, "multiattach": true}}`).want(400)
}
