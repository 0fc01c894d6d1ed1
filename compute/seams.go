package compute

import (
	"context"
	"time"

	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

// ImageSource is what servers need of images. The image service satisfies it.
type ImageSource interface {
	// Image returns an image that the context's caller may see.
	Image(ctx context.Context, id string) (image.Image, error)
	// SignedURL returns a URL from which a host may fetch the image's bytes for
	// the time, without a token.
	SignedURL(ctx context.Context, id string, life time.Duration) (string, error)
}

// ImageSink takes images that are made of servers. The image service satisfies
// it.
type ImageSink interface {
	// EnsureImage returns the image of an owner key, which it makes at the first
	// call; ErrGone when somebody has deleted it since.
	EnsureImage(ctx context.Context, ownerKey string, spec image.Spec) (image.Image, error)
	// SignedUploadURL returns a URL to which a host may send the image's bytes,
	// without a token.
	SignedUploadURL(ctx context.Context, id string, life time.Duration) (string, error)
	// DeleteOwned deletes the image of an owner key; one that is gone is success.
	DeleteOwned(ctx context.Context, ownerKey string) error
}

// PortRequest asks for a card: a port, a network, or the one network there is.
type PortRequest = network.PortRequest

// Ports is what servers need of networks. The network service satisfies it.
// Owner keys are ours: an owner's second call finds what the first made.
type Ports interface {
	// CheckPorts looks, as the context's caller, at what a server shall be
	// plugged into, and returns it resolved.
	CheckPorts(ctx context.Context, requests []network.PortRequest) ([]network.PortPlan, error)
	// EnsurePort makes a port, or takes the one that the spec names, and binds it
	// to the spec's host.
	EnsurePort(ctx context.Context, ownerKey string, spec network.PortSpec) (network.Port, error)
	// ReleasePort deletes a port that was made for the owner, and unbinds another.
	ReleasePort(ctx context.Context, ownerKey string) error
	// PortsOf returns the ports of servers with what their address lists show.
	PortsOf(ctx context.Context, serverIDs ...string) ([]network.PortView, error)
	// GroupsOf returns the security groups of a server's ports, with their rules.
	GroupsOf(ctx context.Context, serverID string) ([]network.SecurityGroup, error)
	// AddGroup and RemoveGroup put a server's ports into a security group of the
	// context's caller, by its name or ID, or take them out of it.
	AddGroup(ctx context.Context, serverID, group string) error
	RemoveGroup(ctx context.Context, serverID, group string) error
}

// NetworkGroups is what the Compute API's old view of security groups needs of
// the network service, which satisfies it.
type NetworkGroups interface {
	network.SecurityGroups
	CreateSecurityGroupRules(ctx context.Context, specs []network.RuleSpec) ([]network.SecurityGroupRule, error)
	DeleteSecurityGroupRule(ctx context.Context, id string) error
}

// BlockDevices is what servers need of volumes. The block storage service
// satisfies it. Owner keys are ours: an owner's second call finds what the
// first made.
type BlockDevices interface {
	// Volume returns a volume that the context's caller may see.
	Volume(ctx context.Context, id string) (blockstorage.Volume, error)
	// TypeNamed returns a type of volumes that the context's caller may use, by
	// its name or ID.
	TypeNamed(ctx context.Context, nameOrID string) (blockstorage.Type, error)
	// CheckAttach fails unless the caller may attach the volume now.
	CheckAttach(ctx context.Context, id string) error
	// ReserveVolume keeps others from a volume.
	ReserveVolume(ctx context.Context, ownerKey, volumeID, serverID string) (blockstorage.Attachment, error)
	// EnsureVolume makes a volume, which is creating at first.
	EnsureVolume(ctx context.Context, ownerKey string, spec blockstorage.VolumeSpec) (blockstorage.Volume, error)
	// EnsureAttachment connects a volume to a host.
	EnsureAttachment(ctx context.Context, ownerKey string, spec blockstorage.AttachSpec) (blockstorage.Attachment, error)
	// CompleteAttachment says that the guest has the volume.
	CompleteAttachment(ctx context.Context, ownerKey string) error
	// BeginDetach says that the guest is giving the volume back.
	BeginDetach(ctx context.Context, ownerKey string) error
	// ReleaseAttachment disconnects the volume and gives it back.
	ReleaseAttachment(ctx context.Context, ownerKey string) error
	// ReleaseVolume deletes the volume that was made for the owner.
	ReleaseVolume(ctx context.Context, ownerKey string) error
	// DeleteVolume deletes a volume in the name of the context's caller.
	DeleteVolume(ctx context.Context, id string) error
}

// Claims is where hosts' capacity is kept and given out. *sqlstore.Store
// satisfies it. Its rows are in the same database as the servers'.
type Claims interface {
	PutHost(ctx context.Context, h scheduler.Host) error
	RemoveHost(ctx context.Context, id string) error
	Schedule(ctx context.Context, req scheduler.Request, o sqlstore.Options,
		commit func(ctx context.Context, tx *store.Tx, host scheduler.HostRef) error) (scheduler.Decision, error)
	// ScheduleTogether is Schedule for several servers: all are placed, or none.
	ScheduleTogether(ctx context.Context, req scheduler.Request, consumers []sqlstore.Consumer, o sqlstore.Options,
		commit func(ctx context.Context, tx *store.Tx, hosts []scheduler.HostRef) error) (scheduler.Decision, error)
	Release(ctx context.Context, tx *store.Tx, consumerID string) error
	// Assignment tells which parts of its host a claim came to: its NUMA cells,
	// CPUs and devices; nephos.ErrNotFound if it asked for none.
	Assignment(ctx context.Context, consumerID string) (scheduler.Assignment, error)
}

// BuildWatcher is implemented by Claims that count builds, to avoid hosts that
// are busy or where nothing will run.
type BuildWatcher interface {
	// BuildEnded says, when the transaction is committed, how the build that a
	// Schedule with Options.Building began has ended.
	BuildEnded(tx *store.Tx, consumerID, hostID string, ok bool)
}

func (s *Service) buildEnded(tx *store.Tx, row *serverRow, ok bool) {
	if w, is := s.cfg.Claims.(BuildWatcher); is && row.Host != "" {
		w.BuildEnded(tx, row.ID, row.Host, ok)
	}
}

// connectionCopy is how a host reaches a volume, with its secrets. It is
// written to no log and no answer.
type connectionCopy struct {
	driver.Connection
}
