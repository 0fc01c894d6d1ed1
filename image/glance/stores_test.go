package glance_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/image/glance"
	"github.com/nephos-cloud/nephos/store/storetest"
)

func TestAnUploadNamesItsStore(t *testing.T) {
	c := stopped()
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
	}, s.Do(member, "GET", "/v2/info/stores", "").Want(200).Object()["stores"])

	held := func(b *blob.Store) int {
		n := 0
		require.NoError(t, b.List(t.Context(), func(blob.Object) bool { n++; return true }))
		return n
	}
	made := s.Do(member, "POST", "/v2/images", rawImage).Want(201)
	require.Equal(t, "near,far", made.Header.Get("OpenStack-image-store-ids"))
	require.NotContains(t, made.Object(), "stores")
	id := made.Object()["id"].(string)
	path := "/v2/images/" + id + "/file"
	s.Do(member, "PUT", path, "12345", "Content-Type", "application/octet-stream", "X-Image-Meta-Store", "nowhere").Want(400)
	s.Do(member, "PUT", path, "12345", "Content-Type", "application/octet-stream", "X-Image-Meta-Store", "far").Want(204)
	require.Equal(t, []int{0, 1}, []int{held(blobs[0]), held(blobs[1])})
	require.Equal(t, "far", s.Do(member, "GET", "/v2/images/"+id, "").Object()["stores"])
	require.Equal(t, "12345", s.Do(member, "GET", path, "").Want(200).Body)

	id = s.make(member, rawImage)
	s.upload(member, id, "67890").Want(204)
	require.Equal(t, []int{1, 1}, []int{held(blobs[0]), held(blobs[1])})
	require.Equal(t, "near", s.Do(member, "GET", "/v2/images/"+id, "").Object()["stores"])

	id = s.make(member, rawImage)
	s.Do(member, "PUT", "/v2/images/"+id+"/stage", "12345", "Content-Type", "application/octet-stream").Want(204)
	require.NotContains(t, s.Do(member, "GET", "/v2/images/"+id, "").Object(), "stores")
	for rest, status := range map[string]int{
		`"stores":["nowhere"]`: 409, `"stores":["far"]`: 501, `"stores":[]`: 400, `"stores":"near"`: 400, `"stores":[5]`: 400,
		`"all_stores":true`: 501, `"all_stores":true,"stores":["near"]`: 400,
	} {
		s.Do(member, "POST", "/v2/images/"+id+"/import", `{"method":{"name":"glance-direct"},`+rest+`}`).Want(status)
	}
	s.Do(member, "POST", "/v2/images/"+id+"/import", `{"method":{"name":"glance-direct"},"stores":["near"]}`).Want(202)
	require.Equal(t, "near", s.Do(member, "GET", "/v2/images/"+id, "").Object()["stores"])

	const admin = "z/admin"
	only := "Cannot delete image data from the only store containing it. Consider deleting the image instead."
	s.Do(member, "DELETE", "/v2/stores/nowhere/"+id, "").Want(409).Says("The selected store nowhere is not available on this node.")
	s.Do(other, "DELETE", "/v2/stores/near/"+id, "").Want(404).Says("Failed to find image " + id)
	s.Do(member, "DELETE", "/v2/stores/near/"+id, "").Want(403).Says("You are not authorized to complete delete_image_location action.")
	s.Do(admin, "DELETE", "/v2/stores/near/"+id, "").Want(403).Says(only)
	s.Do(admin, "DELETE", "/v2/stores/near/"+s.make(member, rawImage), "").Want(409)
	s.Do(member, "GET", "/v2/images/"+id+"/file", "").Want(200)

	_, err = image.New(image.Config{Store: db, Policy: rules, Blobs: []*blob.Store{blobs[0], blobs[0]}})
	require.ErrorContains(t, err, "two stores are called near")
}
