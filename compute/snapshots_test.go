package compute_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/image"
)

// only returns the one image that was made.
func (i *testImages) only(t *testing.T) image.Image {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	require.Len(t, i.made, 1)
	for _, img := range i.made {
		return *img
	}
	return image.Image{}
}

func TestAnImageIsMadeOfAServer(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	id, err := c.service.CreateServerImage(c.user(), s.ID, "copy", map[string]string{"mood": "good"})
	require.NoError(t, err)
	require.Equal(t, image.Queued, c.images.only(t).Status)
	require.Equal(t, compute.TaskImage, c.server(s.ID).TaskState)
	require.ErrorContains(t, c.service.StopServer(c.user(), s.ID), "while it is in task_state image_uploading")
	_, err = c.service.CreateServerImage(c.user(), s.ID, "twice", nil)
	require.ErrorIs(t, err, nephos.ErrConflict)

	c.settle()
	img := c.images.only(t)
	require.Equal(t, id, img.ID)
	require.Equal(t, image.Active, img.Status)
	require.Equal(t, "copy", *img.Name)
	require.Equal(t, s.ProjectID, img.Owner)
	require.Equal(t, map[string]string{
		"mood": "good", "image_type": "snapshot", "instance_uuid": s.ID, "user_id": s.UserID, "base_image_ref": s.ImageID,
	}, img.Properties)
	require.NotEmpty(t, c.images.sent[id])
	require.Empty(t, c.server(s.ID).TaskState)
	require.Equal(t, compute.Active, c.server(s.ID).VMState)
	actions, _, err := c.service.ListActions(c.user(), s.ID, compute.ActionFilter{}, page())
	require.NoError(t, err)
	require.Equal(t, "createImage", actions[0].Action)
	require.NotNil(t, actions[0].FinishedAt)
	require.Nil(t, actions[0].Message)
	require.NoError(t, c.service.StopServer(c.user(), s.ID))
	c.settle()
	_, err = c.service.CreateServerImage(c.stranger(), s.ID, "theirs", nil)
	require.ErrorIs(t, err, nephos.ErrNotFound)
}

func TestAnImageThatCannotBeMadeFreesItsServer(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	c.images.full = true
	_, err := c.service.CreateServerImage(c.user(), s.ID, "copy", nil)
	require.NoError(t, err)
	for range 40 { // until it is given up
		c.settle()
		c.clock.Advance(10 * timeStep)
	}
	require.Empty(t, c.server(s.ID).TaskState)
	require.Empty(t, c.images.made)
	actions, _, err := c.service.ListActions(c.user(), s.ID, compute.ActionFilter{}, page())
	require.NoError(t, err)
	require.Equal(t, "createImage", actions[0].Action)
	require.Equal(t, "Error", *actions[0].Message)
	require.Equal(t, compute.Active, c.server(s.ID).VMState)
}

func TestAServerIsDeletedWhileAnImageIsMadeOfIt(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	_, err := c.service.CreateServerImage(c.user(), s.ID, "copy", nil)
	require.NoError(t, err)
	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	c.settle()
	require.Empty(t, c.images.made)
	_, err = c.service.Server(c.user(), s.ID)
	require.ErrorIs(t, err, nephos.ErrNotFound)
	c.empty()
}

func TestASuspendedServerGoesOnWhereItWas(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	require.ErrorIs(t, c.service.ResumeServer(c.user(), s.ID), nephos.ErrConflict)
	require.NoError(t, c.service.SuspendServer(c.user(), s.ID))
	require.Equal(t, compute.TaskSuspending, c.server(s.ID).TaskState)
	c.settle()
	now := c.server(s.ID)
	require.Equal(t, []any{compute.Suspended, "", compute.PowerShutdown}, []any{now.VMState, now.TaskState, now.PowerState})
	require.ErrorIs(t, c.service.StartServer(c.user(), s.ID), nephos.ErrConflict)

	// What is wished of it besides does not wake it.
	_, err := c.service.UpdateServer(c.user(), s.ID, compute.ServerUpdate{Name: ref("renamed")})
	require.NoError(t, err)
	c.settle()
	require.Equal(t, compute.Suspended, c.server(s.ID).VMState)

	require.NoError(t, c.service.ResumeServer(c.user(), s.ID))
	c.settle()
	require.Equal(t, compute.Active, c.server(s.ID).VMState)
	require.Equal(t, hypervisor.Running, c.guests(s.ID)[0].State)
}
