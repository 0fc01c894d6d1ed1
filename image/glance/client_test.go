package glance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/members"
	"github.com/gophercloud/gophercloud/v2/pagination"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/image/glance"
)

func (s *server) gopher(token string) *gophercloud.ServiceClient {
	return &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{TokenID: token},
		Endpoint:       s.URL + "/", ResourceBase: s.URL + "/v2/", Type: "image",
	}
}

func TestGophercloud(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		ctx := t.Context()
		c := s.gopher(member)
		hidden := false
		img, err := images.Create(ctx, c, images.CreateOpts{
			Name: "x", DiskFormat: "raw", ContainerFormat: "bare", Tags: []string{"t"}, Hidden: &hidden,
			Properties: map[string]string{"os_distro": "debian"},
		}).Extract()
		require.NoError(t, err)
		require.Equal(t, images.ImageStatusQueued, img.Status)
		require.Equal(t, "debian", img.Properties["os_distro"])

		data := bytes.Repeat([]byte("nephos"), 50_000)
		require.NoError(t, imagedata.Upload(ctx, c, img.ID, bytes.NewReader(data)).ExtractErr())
		img, err = images.Get(ctx, c, img.ID).Extract()
		require.NoError(t, err)
		require.Equal(t, images.ImageStatusActive, img.Status)
		require.Equal(t, int64(len(data)), img.SizeBytes)
		down, err := imagedata.Download(ctx, c, img.ID).Extract()
		require.NoError(t, err)
		got, err := io.ReadAll(down)
		require.NoError(t, err)
		require.Equal(t, data, got)

		img, err = images.Update(ctx, c, img.ID, images.UpdateOpts{
			images.ReplaceImageName{NewName: "y"},
			images.ReplaceImageTags{NewTags: []string{"u"}},
			images.UpdateImageProperty{Op: images.AddOp, Name: "k", Value: "v"},
			images.UpdateImageProperty{Op: images.RemoveOp, Name: "os_distro"},
		}).Extract()
		require.NoError(t, err)
		require.Equal(t, "y", img.Name)
		require.Equal(t, []string{"u"}, img.Tags)
		require.Equal(t, "v", img.Properties["k"])

		_, err = members.Create(ctx, c, img.ID, "b").Extract()
		require.NoError(t, err)
		m, err := members.Update(ctx, s.gopher(other), img.ID, "b", members.UpdateOpts{Status: "accepted"}).Extract()
		require.NoError(t, err)
		require.Equal(t, "accepted", m.Status)

		for i := range 6 {
			_, err := images.Create(ctx, c, images.CreateOpts{Name: fmt.Sprint(i)}).Extract()
			require.NoError(t, err)
		}
		seen, pages := 0, 0
		err = images.List(c, images.ListOpts{Limit: 2}).EachPage(ctx, func(_ context.Context, p pagination.Page) (bool, error) {
			list, err := images.ExtractImages(p)
			seen, pages = seen+len(list), pages+1
			return true, err
		})
		require.NoError(t, err)
		require.Equal(t, 7, seen)
		require.Equal(t, 4, pages)
		require.NoError(t, images.Delete(ctx, c, img.ID).ExtractErr())
		_, err = images.Get(ctx, c, img.ID).Extract()
		require.True(t, gophercloud.ResponseCodeIs(err, 404), "%v", err)
	})
}

// TestASenderWhoHangsUpLeavesNothing cuts the connection in the middle.
func TestASenderWhoHangsUpLeavesNothing(t *testing.T) {
	s := start(t)
	id := s.make(member, rawImage)
	conn, err := net.Dial("tcp", s.HTTP.Listener.Addr().String())
	require.NoError(t, err)
	_, err = fmt.Fprintf(conn, "PUT /image/v2/images/%s/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\n"+
		"Content-Type: application/octet-stream\r\nContent-Length: 10000000\r\n\r\n%s", id, member, strings.Repeat("x", 3_000_000))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	// Closing the server waits until the handler has ended.
	s.HTTP.Close()
	ctx := nephos.WithCaller(t.Context(), nephos.Service("test", nephos.Caller{}))
	img, err := s.image.Image(ctx, id)
	require.NoError(t, err)
	require.Equal(t, image.Queued, img.Status)
	n := 0
	require.NoError(t, s.blobs.List(t.Context(), func(blob.Object) bool { n++; return true }))
	require.Zero(t, n)
}

// fewMembers is somebody else's implementation of one resource.
type fewMembers struct{ list []image.Member }

func (f *fewMembers) AddMember(_ context.Context, imageID, memberID string) (image.Member, error) {
	m := image.Member{ImageID: imageID, MemberID: memberID, Status: image.Pending}
	f.list = append(f.list, m)
	return m, nil
}

func (f *fewMembers) ListMembers(context.Context, string) ([]image.Member, error) { return f.list, nil }

func (f *fewMembers) find(imageID, memberID string) (*image.Member, error) {
	for i, m := range f.list {
		if m.ImageID == imageID && m.MemberID == memberID {
			return &f.list[i], nil
		}
	}
	return nil, nephos.NotFound("Member", memberID)
}

func (f *fewMembers) Member(_ context.Context, imageID, memberID string) (image.Member, error) {
	m, err := f.find(imageID, memberID)
	if err != nil {
		return image.Member{}, err
	}
	return *m, nil
}

func (f *fewMembers) UpdateMember(_ context.Context, imageID, memberID, status string) (image.Member, error) {
	m, err := f.find(imageID, memberID)
	if err != nil {
		return image.Member{}, err
	}
	m.Status = status
	return *m, nil
}

func (f *fewMembers) RemoveMember(context.Context, string, string) error {
	return errors.ErrUnsupported
}

func TestAnotherImplementationOfMembersStandsBehindTheAPI(t *testing.T) {
	s := start(t, func(cfg *glance.Config) { cfg.Members = &fewMembers{} })
	id := s.make(member, rawImage)
	path := "/v2/images/" + id + "/members"
	s.Do(member, "POST", path, `{"member":"x"}`).Want(200)
	require.Equal(t, "rejected", s.Do(member, "PUT", path+"/x", `{"status":"rejected"}`).Want(200).Object()["status"])
	require.Len(t, s.Do(member, "GET", path, "").Want(200).Object()["members"], 1)
	s.Do(member, "GET", path+"/y", "").Want(404)
	s.Do(member, "DELETE", path+"/x", "").Want(501)
	stored, err := s.image.ListMembers(nephos.WithCaller(t.Context(), nephos.Service("test", nephos.Caller{})), id)
	require.NoError(t, err)
	require.Empty(t, stored, "the service's own members are not asked")
}
