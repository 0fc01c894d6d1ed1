package glance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/image/glance"
	"github.com/nephos-cloud/nephos/store/storetest"
)

func TestAnUploadNamesItsStore(t *testing.T) {
	c := &steady{now: time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)}
	db := storetest.Open(t, c, image.Migrations())
	rules, err := policy.New(policy.Base(), image.Rules())
	require.NoError(t, err)
	var blobs []*blob.Store
	for _, name := range []string{"near", "far"} {
		b, err := blob.NewStore(t.Context(), mem.New(mem.Config{}), blob.StoreOptions{Name: name})
		require.NoError(t, err)
		blobs = append(blobs, b)
	}
	var service *image.Service
	s := newServer(t, db, c, func(cfg *glance.Config) {
		service, err = image.New(image.Config{Store: db, Policy: rules, Blobs: blobs, Clock: c})
		require.NoError(t, err)
		*cfg = glance.Config{Service: service, HTTP: cfg.HTTP}
	})
	require.Equal(t, []any{
		map[string]any{"id": "near", "default": "true"}, map[string]any{"id": "far"},
	}, s.do(member, "GET", "/v2/info/stores", "").is(200).object()["stores"])

	held := func(b *blob.Store) int {
		n := 0
		require.NoError(t, b.List(t.Context(), func(blob.Object) bool { n++; return true }))
		return n
	}
	made := s.do(member, "POST", "/v2/images", rawImage).is(201)
	require.Equal(t, "near,far", made.header.Get("OpenStack-image-store-ids"))
	require.NotContains(t, made.object(), "stores")
	id := made.object()["id"].(string)
	path := "/v2/images/" + id + "/file"
	s.do(member, "PUT", path, "12345", "Content-Type", "application/octet-stream", "X-Image-Meta-Store", "nowhere").is(400)
	s.do(member, "PUT", path, "12345", "Content-Type", "application/octet-stream", "X-Image-Meta-Store", "far").is(204)
	require.Equal(t, []int{0, 1}, []int{held(blobs[0]), held(blobs[1])})
	require.Equal(t, "far", s.do(member, "GET", "/v2/images/"+id, "").object()["stores"])
	require.Equal(t, "12345", s.do(member, "GET", path, "").is(200).raw)

	id = s.make(member, rawImage)
	s.upload(member, id, "67890").is(204)
	require.Equal(t, []int{1, 1}, []int{held(blobs[0]), held(blobs[1])})
	require.Equal(t, "near", s.do(member, "GET", "/v2/images/"+id, "").object()["stores"])

	id = s.make(member, rawImage)
	s.do(member, "PUT", "/v2/images/"+id+"/stage", "12345", "Content-Type", "application/octet-stream").is(204)
	require.NotContains(t, s.do(member, "GET", "/v2/images/"+id, "").object(), "stores")
	for rest, status := range map[string]int{
		`"stores":["nowhere"]`: 409, `"stores":["far"]`: 501, `"stores":[]`: 400, `"stores":"near"`: 400, `"stores":[5]`: 400,
		`"all_stores":true`: 501, `"all_stores":true,"stores":["near"]`: 400,
	} {
		s.do(member, "POST", "/v2/images/"+id+"/import", `{"method":{"name":"glance-direct"},`+rest+`}`).is(status)
	}
	s.do(member, "POST", "/v2/images/"+id+"/import", `{"method":{"name":"glance-direct"},"stores":["near"]}`).is(202)
	require.Equal(t, "near", s.do(member, "GET", "/v2/images/"+id, "").object()["stores"])

	const admin = "z/admin"
	only := "Cannot delete image data from the only store containing it. Consider deleting the image instead."
	s.do(member, "DELETE", "/v2/stores/nowhere/"+id, "").is(409).says("The selected store nowhere is not available on this node.")
	s.do(other, "DELETE", "/v2/stores/near/"+id, "").is(404).says("Failed to find image " + id)
	s.do(member, "DELETE", "/v2/stores/near/"+id, "").is(403).says("You are not authorized to complete delete_image_location action.")
	s.do(admin, "DELETE", "/v2/stores/near/"+id, "").is(403).says(only)
	s.do(admin, "DELETE", "/v2/stores/near/"+s.make(member, rawImage), "").is(409)
	s.do(member, "GET", "/v2/images/"+id+"/file", "").is(200)

	_, err = image.New(image.Config{Store: db, Policy: rules, Blobs: []*blob.Store{blobs[0], blobs[0]}})
	require.ErrorContains(t, err, "two stores are called near")
}
