package cloudtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"net/netip"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/image"
	networking "github.com/nephos-cloud/nephos/network"
)

// Project is a project with all that a server needs, and people in it: a member,
// whose it all is, and a reader. Their password is [AdminPassword].
type Project struct {
	ID, Name string
	// The users' names are the project's with "-member" and "-reader".
	MemberID, MemberName string
	ReaderID, ReaderName string

	NetworkID       string // with a subnet 10.0.0.0/24 that has DHCP
	SubnetID        string
	RouterID        string // from the subnet to the external network "public"
	ExternalID      string // of that network
	SecurityGroupID string // lets in SSH and pings, named "ssh"
	KeyName         string // of the member's keypair
	PrivateKey      []byte // in OpenSSH's form
	ImageID         string // of a raw image of 4 KiB
	FlavorID        string // 1 CPU, 512 MiB, 1 GiB

	cloud *Cloud
}

// Project makes a project and all that is in it. The first is called "project-1".
// What it makes is no leak; see [Cloud.NoLeaks].
func (c *Cloud) Project() *Project {
	c.t.Helper()
	c.people++
	p := &Project{Name: fmt.Sprint("project-", c.people), FlavorID: "1", cloud: c}
	p.MemberName, p.ReaderName, p.KeyName = p.Name+"-member", p.Name+"-reader", p.Name+"-key"
	admin := c.AsAdmin()
	made, err := c.Identity.CreateProject(admin, identity.ProjectSpec{Name: p.Name, DomainID: identity.DefaultDomainID})
	require.NoError(c.t, err)
	p.ID = made.ID
	p.MemberID, p.ReaderID = p.addUser(p.MemberName, "member"), p.addUser(p.ReaderName, "reader")
	ctx := p.As("member", "reader")
	p.makeNetwork(ctx)
	p.makeKey(ctx)
	p.ImageID = c.image(ctx, p.Name+"-image", []byte(strings.Repeat("nephos\n", 585)+"\n"), "private")
	if c.virtual != nil && c.cancel == nil {
		c.Work()
	}
	c.Mark()
	return p
}

func (p *Project) addUser(name, role string) string {
	c := p.cloud
	password := AdminPassword
	user, err := c.Identity.CreateUser(c.AsAdmin(), identity.UserSpec{Name: name, DomainID: identity.DefaultDomainID, Password: &password})
	require.NoError(c.t, err)
	require.NoError(c.t, c.Identity.CreateGrant(c.AsAdmin(), identity.Grant{UserID: user.ID, ProjectID: p.ID, RoleID: c.Bootstrapped.Roles[role]}))
	return user.ID
}

func (p *Project) makeNetwork(ctx context.Context) {
	c := p.cloud
	external, _, err := c.Network.ListNetworks(ctx, networking.Filter{"name": {"public"}}, nephos.Page{Limit: 1})
	require.NoError(c.t, err)
	require.Len(c.t, external, 1)
	p.ExternalID = external[0].ID
	nets, err := c.Network.CreateNetworks(ctx, []networking.NetworkSpec{{Name: p.Name + "-network"}})
	require.NoError(c.t, err)
	p.NetworkID = nets[0].ID
	subnets, err := c.Network.CreateSubnets(ctx, []networking.SubnetSpec{{
		NetworkID: p.NetworkID, Name: p.Name + "-subnet", IPVersion: 4, CIDR: netip.MustParsePrefix("10.0.0.0/24"),
	}})
	require.NoError(c.t, err)
	p.SubnetID = subnets[0].ID
	routers, err := c.Network.CreateRouters(ctx, []networking.RouterSpec{{
		Name: p.Name + "-router", Gateway: &networking.GatewaySpec{NetworkID: p.ExternalID},
	}})
	require.NoError(c.t, err)
	p.RouterID = routers[0].ID
	_, err = c.Network.AddRouterInterface(ctx, p.RouterID, networking.InterfaceRequest{SubnetID: p.SubnetID})
	require.NoError(c.t, err)
	groups, err := c.Network.CreateSecurityGroups(ctx, []networking.SecurityGroupSpec{{Name: "ssh"}})
	require.NoError(c.t, err)
	p.SecurityGroupID = groups[0].ID
	port := 22
	_, err = c.Network.CreateSecurityGroupRules(ctx, []networking.RuleSpec{
		{GroupID: p.SecurityGroupID, Direction: "ingress", Protocol: "tcp", PortMin: &port, PortMax: &port},
		{GroupID: p.SecurityGroupID, Direction: "ingress", Protocol: "icmp"},
	})
	require.NoError(c.t, err)
}

// makeKey gives the member a keypair that follows from the seed: it opens
// nothing but simulated guests.
func (p *Project) makeKey(ctx context.Context) {
	c := p.cloud
	seed := make([]byte, ed25519.SeedSize)
	nephos.IDs{Rand: nephos.Seeded(c.options.Seed, p.KeyName)}.Fill(seed)
	key := ed25519.NewKeyFromSeed(seed)
	public, err := ssh.NewPublicKey(key.Public())
	require.NoError(c.t, err)
	block, err := ssh.MarshalPrivateKey(key, p.KeyName)
	require.NoError(c.t, err)
	p.PrivateKey = pem.EncodeToMemory(block)
	_, err = c.Compute.CreateKeyPair(ctx, compute.KeyPairSpec{Name: p.KeyName, PublicKey: string(ssh.MarshalAuthorizedKey(public))})
	require.NoError(c.t, err)
}

// As is the project's member with the roles, for calls of the services
// themselves.
func (p *Project) As(roles ...string) context.Context {
	return nephos.WithCaller(context.Background(), nephos.Caller{
		UserID: p.MemberID, UserName: p.MemberName, UserDomainID: identity.DefaultDomainID, UserDomainName: "Default",
		ProjectID: p.ID, ProjectName: p.Name, ProjectDomainID: identity.DefaultDomainID, ProjectDomainName: "Default", Roles: roles,
		RequestID: "req-" + p.cloud.config.IDs.New(),
	})
}

// Auth is how the member logs in.
func (p *Project) Auth() gophercloud.AuthOptions { return p.cloud.auth(p.MemberName, p.Name) }

// Member returns gophercloud's clients, logged in as the member.
func (p *Project) Member() *Clients {
	p.cloud.t.Helper()
	return p.cloud.clients(p.Auth())
}

// Reader returns gophercloud's clients, logged in as the reader.
func (p *Project) Reader() *Clients {
	p.cloud.t.Helper()
	return p.cloud.clients(p.cloud.auth(p.ReaderName, p.Name))
}

// AddImage makes a raw image that everybody may use and returns its id. It is no
// leak; see [Cloud.NoLeaks].
func (c *Cloud) AddImage(name string, content []byte) string {
	c.t.Helper()
	id := c.image(c.AsAdmin(), name, content, "public")
	c.Mark()
	return id
}

func (c *Cloud) image(ctx context.Context, name string, content []byte, visibility string) string {
	c.t.Helper()
	img, err := c.Image.CreateImage(ctx, image.Spec{Name: &name, Visibility: visibility, DiskFormat: "raw", ContainerFormat: "bare"})
	require.NoError(c.t, err)
	require.NoError(c.t, c.Image.Upload(ctx, img.ID, bytes.NewReader(content), int64(len(content))))
	return img.ID
}
