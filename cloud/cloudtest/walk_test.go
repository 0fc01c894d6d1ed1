package cloudtest_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/snapshots"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/attachinterfaces"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/volumeattach"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
)

// stage is a cloud with what the operations below are done with.
type stage struct {
	*cloudtest.Cloud
	t *testing.T
	p *cloudtest.Project
	*cloudtest.Clients

	server, volume, other string
}

func newStage(t *testing.T, hosts int) *stage {
	s := &stage{Cloud: cloudtest.New(t, cloudtest.Options{Hosts: hosts}), t: t}
	s.p = s.Project()
	s.Clients = s.p.Member()
	return s
}

// ok fails the test unless the error is none, or says that the request had been
// carried out before its connection broke off.
func (s *stage) ok(err error) {
	s.t.Helper()
	if !gophercloud.ResponseCodeIs(err, 404) && !gophercloud.ResponseCodeIs(err, 409) && !gophercloud.ResponseCodeIs(err, 400) {
		require.NoError(s.t, err)
	}
}

func (s *stage) boot() {
	s.server = boot(s.t, s.p, s.Compute, "one").ID
	s.Settle()
}

// running boots a server that stays for the whole walk.
func (s *stage) running() {
	s.boot()
	s.Mark()
}

// several boots n servers by one request, after which two are left.
func (s *stage) several(n int, then func()) cloudtest.Operation {
	var two []servers.Server
	return cloudtest.Operation{Once: n > 2, Do: func() {
		one, err := servers.Create(s.t.Context(), s.Compute, servers.CreateOpts{
			Name: "some", FlavorRef: s.p.FlavorID, ImageRef: s.p.ImageID, Networks: []servers.Network{{UUID: s.p.NetworkID}}, Min: n,
		}, nil).Extract()
		require.NoError(s.t, err)
		s.server = one.ID
		then()
	}, Check: func() {
		pages, err := servers.List(s.Compute, servers.ListOpts{}).AllPages(s.t.Context())
		require.NoError(s.t, err)
		two, err = servers.ExtractServers(pages)
		require.NoError(s.t, err)
		require.Len(s.t, two, 2)
		for _, one := range two {
			require.Equal(s.t, "ACTIVE", one.Status)
		}
	}, CleanUp: func() {
		for _, one := range two {
			s.ok(servers.Delete(s.t.Context(), s.Compute, one.ID).ExtractErr())
		}
	}}
}

func (s *stage) active() {
	s.t.Helper()
	require.Equal(s.t, "ACTIVE", status(s.t, s.Compute, s.server), "%v", s.Explain(s.server))
	_, there := s.Guest(s.server)
	require.True(s.t, there)
}

func (s *stage) deleteServer() { s.ok(servers.Delete(s.t.Context(), s.Compute, s.server).ExtractErr()) }

func (s *stage) createVolume(opts volumes.CreateOpts) string {
	v, err := volumes.Create(s.t.Context(), s.BlockStorage, opts, nil).Extract()
	require.NoError(s.t, err)
	s.Settle()
	return v.ID
}

func (s *stage) volumeIs(id, want string) {
	s.t.Helper()
	v, err := volumes.Get(s.t.Context(), s.BlockStorage, id).Extract()
	require.NoError(s.t, err)
	require.Equal(s.t, want, v.Status)
}

func (s *stage) deleteVolume(id string) {
	s.ok(volumes.Delete(s.t.Context(), s.BlockStorage, id, nil).ExtractErr())
}

func (s *stage) images(name string) []images.Image {
	all, err := images.List(s.Clients.Image, images.ListOpts{Name: name}).AllPages(s.t.Context())
	require.NoError(s.t, err)
	list, err := images.ExtractImages(all)
	require.NoError(s.t, err)
	return list
}

// operations are the long operations. A kind of work, or a crash point, that none
// of them passes fails the test.
var operations = map[string]func(*stage) cloudtest.Operation{
	"boot": func(s *stage) cloudtest.Operation {
		return cloudtest.Operation{Do: s.boot, Check: s.active, CleanUp: s.deleteServer}
	},
	"delete": func(s *stage) cloudtest.Operation {
		return cloudtest.Operation{SetUp: s.boot, Do: s.deleteServer, Check: func() {
			_, err := servers.Get(s.t.Context(), s.Compute, s.server).Extract()
			require.True(s.t, gophercloud.ResponseCodeIs(err, 404), "%v", err)
		}}
	},
	"boot from a volume": func(s *stage) cloudtest.Operation {
		return cloudtest.Operation{Do: func() {
			one, err := servers.Create(s.t.Context(), s.Compute, servers.CreateOpts{
				Name: "one", FlavorRef: s.p.FlavorID, Networks: []servers.Network{{UUID: s.p.NetworkID}},
				BlockDevice: []servers.BlockDevice{{
					SourceType: "image", UUID: s.p.ImageID, DestinationType: "volume", VolumeSize: 1, DeleteOnTermination: true,
				}},
			}, nil).Extract()
			require.NoError(s.t, err)
			s.server = one.ID
		}, Check: s.active, CleanUp: s.deleteServer}
	},
	"boot several": func(s *stage) cloudtest.Operation { return s.several(2, func() {}) },
	// The first of them is to find hosts for all.
	"boot several, and delete the first": func(s *stage) cloudtest.Operation { return s.several(3, s.deleteServer) },
	"stop and start": func(s *stage) cloudtest.Operation {
		s.running()
		return cloudtest.Operation{Do: func() {
			s.ok(servers.Stop(s.t.Context(), s.Compute, s.server).ExtractErr())
			s.Settle()
			s.ok(servers.Start(s.t.Context(), s.Compute, s.server).ExtractErr())
		}, Check: s.active}
	},
	"a card": func(s *stage) cloudtest.Operation {
		cards := func() []attachinterfaces.Interface {
			all, err := attachinterfaces.List(s.Compute, s.server).AllPages(s.t.Context())
			require.NoError(s.t, err)
			list, err := attachinterfaces.ExtractInterfaces(all)
			require.NoError(s.t, err)
			return list
		}
		s.running()
		return cloudtest.Operation{Do: func() {
			_, err := attachinterfaces.Create(s.t.Context(), s.Compute, s.server, attachinterfaces.CreateOpts{NetworkID: s.p.NetworkID}).Extract()
			s.ok(err)
			s.Settle()
			for _, card := range cards()[1:] {
				s.ok(attachinterfaces.Delete(s.t.Context(), s.Compute, s.server, card.PortID).ExtractErr())
			}
		}, Check: func() {
			s.active()
			guest, _ := s.Guest(s.server)
			require.Len(s.t, guest.NICs, len(cards()))
			require.Len(s.t, guest.NICs, 1)
		}}
	},
	"a disk": func(s *stage) cloudtest.Operation {
		s.volume = s.createVolume(volumes.CreateOpts{Size: 1})
		s.running()
		return cloudtest.Operation{Do: func() {
			_, err := volumeattach.Create(s.t.Context(), s.Compute, s.server, volumeattach.CreateOpts{VolumeID: s.volume}).Extract()
			s.ok(err)
			s.Settle()
			s.ok(volumeattach.Delete(s.t.Context(), s.Compute, s.server, s.volume).ExtractErr())
		}, Check: func() {
			s.active()
			s.volumeIs(s.volume, "available")
			guest, _ := s.Guest(s.server)
			require.Len(s.t, guest.Disks, 1)
			require.Empty(s.t, s.Volumes.Attachments(s.volume))
		}}
	},
	"an image of a server": func(s *stage) cloudtest.Operation {
		s.running()
		return cloudtest.Operation{Do: func() {
			_, err := servers.CreateImage(s.t.Context(), s.Compute, s.server, servers.CreateImageOpts{Name: "of one"}).ExtractImageID()
			s.ok(err)
		}, Check: func() {
			s.active()
			made := s.images("of one")
			require.NotEmpty(s.t, made)
			require.Equal(s.t, images.ImageStatusActive, made[0].Status)
		}, CleanUp: func() {
			for _, img := range s.images("of one") {
				s.ok(images.Delete(s.t.Context(), s.Clients.Image, img.ID).ExtractErr())
			}
		}}
	},
	"an image": func(s *stage) cloudtest.Operation {
		content := bytes.Repeat([]byte("nephos"), 1000)
		return cloudtest.Operation{Do: func() {
			img, err := images.Create(s.t.Context(), s.Clients.Image, images.CreateOpts{Name: "new", DiskFormat: "raw", ContainerFormat: "bare"}).Extract()
			require.NoError(s.t, err)
			s.other = img.ID
			s.ok(imagedata.Upload(s.t.Context(), s.Clients.Image, s.other, bytes.NewReader(content)).ExtractErr())
			s.Advance(2 * time.Minute) // an upload that died is given up
			img, err = images.Get(s.t.Context(), s.Clients.Image, s.other).Extract()
			require.NoError(s.t, err)
			if img.Status == images.ImageStatusQueued {
				s.ok(imagedata.Upload(s.t.Context(), s.Clients.Image, s.other, bytes.NewReader(content)).ExtractErr())
				s.Advance(2 * time.Minute)
				img, err = images.Get(s.t.Context(), s.Clients.Image, s.other).Extract()
				require.NoError(s.t, err)
			}
			require.Equal(s.t, images.ImageStatusActive, img.Status)
			s.ok(images.Delete(s.t.Context(), s.Clients.Image, s.other).ExtractErr())
		}}
	},
	"a volume": func(s *stage) cloudtest.Operation {
		return cloudtest.Operation{Do: func() {
			s.volume = s.createVolume(volumes.CreateOpts{Size: 1, ImageID: s.p.ImageID})
			s.other = s.createVolume(volumes.CreateOpts{Size: 1, SourceVolID: s.volume})
			s.ok(volumes.ExtendSize(s.t.Context(), s.BlockStorage, s.other, volumes.ExtendSizeOpts{NewSize: 2}).ExtractErr())
			s.Settle()
		}, Check: func() {
			s.volumeIs(s.volume, "available")
			s.volumeIs(s.other, "available")
			v, err := volumes.Get(s.t.Context(), s.BlockStorage, s.other).Extract()
			require.NoError(s.t, err)
			require.Equal(s.t, 2, v.Size)
		}, CleanUp: func() { s.deleteVolume(s.volume); s.deleteVolume(s.other) }}
	},
	"the end of a volume": func(s *stage) cloudtest.Operation {
		return cloudtest.Operation{
			SetUp: func() { s.volume = s.createVolume(volumes.CreateOpts{Size: 1}) },
			Do:    func() { s.deleteVolume(s.volume) },
			Check: func() {
				_, err := volumes.Get(s.t.Context(), s.BlockStorage, s.volume).Extract()
				require.True(s.t, gophercloud.ResponseCodeIs(err, 404), "%v", err)
			},
		}
	},
	"a snapshot": func(s *stage) cloudtest.Operation {
		return cloudtest.Operation{
			SetUp: func() { s.volume = s.createVolume(volumes.CreateOpts{Size: 1}) },
			Do: func() {
				snap, err := snapshots.Create(s.t.Context(), s.BlockStorage, snapshots.CreateOpts{VolumeID: s.volume}).Extract()
				require.NoError(s.t, err)
				s.Settle()
				snap, err = snapshots.Get(s.t.Context(), s.BlockStorage, snap.ID).Extract()
				require.NoError(s.t, err)
				require.Equal(s.t, "available", snap.Status)
				s.other = s.createVolume(volumes.CreateOpts{Size: 1, SnapshotID: snap.ID})
				s.ok(snapshots.Delete(s.t.Context(), s.BlockStorage, snap.ID).ExtractErr())
			},
			Check:   func() { s.volumeIs(s.volume, "available"); s.volumeIs(s.other, "available") },
			CleanUp: func() { s.deleteVolume(s.volume); s.deleteVolume(s.other) },
		}
	},
	"a network": func(s *stage) cloudtest.Operation {
		// The server is on the project's network; the router goes to both.
		var network, subnet string
		s.running()
		return cloudtest.Operation{Do: func() {
			n, err := networks.Create(s.t.Context(), s.Network, networks.CreateOpts{Name: "second"}).Extract()
			require.NoError(s.t, err)
			network = n.ID
			sub, err := subnets.Create(s.t.Context(), s.Network, subnets.CreateOpts{NetworkID: network, CIDR: "10.1.0.0/24", IPVersion: 4}).Extract()
			require.NoError(s.t, err)
			subnet = sub.ID
			_, err = routers.AddInterface(s.t.Context(), s.Network, s.p.RouterID, routers.AddInterfaceOpts{SubnetID: subnet}).Extract()
			s.ok(err)
		}, Check: func() {
			s.active()
			ok, why := s.Reachable(s.server, "10.1.0.1", "icmp", 8)
			require.True(s.t, ok, why)
		}, CleanUp: func() {
			_, err := routers.RemoveInterface(s.t.Context(), s.Network, s.p.RouterID, routers.RemoveInterfaceOpts{SubnetID: subnet}).Extract()
			require.NoError(s.t, err)
			require.NoError(s.t, networks.Delete(s.t.Context(), s.Network, network).ExtractErr())
		}}
	},
	"a day": func(s *stage) cloudtest.Operation {
		return cloudtest.Operation{Do: func() { s.Advance(26 * time.Hour) }}
	},
}

func TestACrashAnywhereEndsRightAndLeaksNothing(t *testing.T) {
	if race {
		t.Skip("with the race detector the walk takes ten times as long: make unit walks without it")
	}
	var mu sync.Mutex
	passed := map[string]bool{}
	t.Run("operations", func(t *testing.T) {
		for name, make := range operations {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				hosts := 1
				if strings.HasPrefix(name, "boot") || name == "delete" {
					hosts = 2
				}
				s := newStage(t, hosts)
				op := make(s)
				points := s.WalkCrashes(t, op)
				mu.Lock()
				defer mu.Unlock()
				for _, p := range points {
					passed[p] = true
				}
			})
		}
	})
	if t.Failed() {
		return
	}
	c := cloudtest.New(t)
	for _, kind := range c.Queue.Kinds() {
		for _, point := range []string{"before ", "after ", "settled "} {
			if !passed[point+kind] {
				t.Errorf("no operation passes %q: add one that does such work", point+kind)
			}
		}
	}
	for where, point := range crashPoints(t) {
		some := false
		for p := range passed {
			some = some || strings.HasPrefix(p, point)
		}
		if !some {
			t.Errorf("no operation passes the crash point %q, at %s", point, where)
		}
	}
}

// crashPoints finds the crash points in the sources: the names, or what they
// begin with, by where they are.
func crashPoints(t *testing.T) map[token.Position]string {
	found := map[token.Position]string{}
	root := filepath.Join("..", "..")
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil // somebody is writing it
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Here" {
				return true
			}
			arg := call.Args[0]
			if sum, ok := arg.(*ast.BinaryExpr); ok {
				arg = sum.X
			}
			if lit, ok := arg.(*ast.BasicLit); ok {
				name, err := strconv.Unquote(lit.Value)
				require.NoError(t, err)
				found[files.Position(call.Pos())] = name
			}
			return true
		})
		return nil
	}))
	require.Greater(t, len(found), 10)
	return found
}
