//go:build !race

// The race detector has nothing to find in examples, of which each does one thing
// after the other in a cloud of its own. What they show is tested with it, too.

package cloudtest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
)

// stand stands for the *testing.T that a test has and an example has not.
type stand struct {
	testing.TB
	ends []func()
}

func (s *stand) Helper()           {}
func (s *stand) Cleanup(f func())  { s.ends = append(s.ends, f) }
func (s *stand) Failed() bool      { return false }
func (s *stand) FailNow()          { panic("the example failed") }
func (s *stand) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (s *stand) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (s *stand) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (s *stand) Logf(format string, args ...any)   {}
func (s *stand) Context() context.Context          { return context.Background() }

func (s *stand) TempDir() string {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	s.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *stand) end() {
	for i := len(s.ends) - 1; i >= 0; i-- {
		s.ends[i]()
	}
}

var ctx = context.Background()

// create asks for a server of the project's and returns its id.
func create(p *cloudtest.Project, name string) string {
	s, err := servers.Create(ctx, p.Member().Compute, servers.CreateOpts{
		Name: name, ImageRef: p.ImageID, FlavorRef: p.FlavorID, Networks: []servers.Network{{UUID: p.NetworkID}}, SecurityGroups: []string{"ssh"},
	}, nil).Extract()
	if err != nil {
		panic(err)
	}
	return s.ID
}

func show(p *cloudtest.Project, id string) string {
	s, err := servers.Get(ctx, p.Member().Compute, id).Extract()
	if err != nil {
		return "gone"
	}
	return s.Status
}

func Example() {
	t := &stand{} // in a test: its *testing.T
	defer t.end()

	c := cloudtest.New(t)
	p := c.Project()
	member := p.Member()
	server, err := servers.Create(ctx, member.Compute, servers.CreateOpts{
		Name: "one", ImageRef: p.ImageID, FlavorRef: p.FlavorID, Networks: []servers.Network{{UUID: p.NetworkID}},
	}, nil).Extract()
	fmt.Println(err)
	fmt.Println(servers.WaitForStatus(ctx, member.Compute, server.ID, "ACTIVE"))
	fmt.Println(servers.Delete(ctx, member.Compute, server.ID).ExtractErr())
	c.NoLeaks(t)
	// Output:
	// <nil>
	// <nil>
	// <nil>
}

func ExampleNew() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	fmt.Println(c.URL, len(c.Hosts), c.Clock.Now().Format(time.DateOnly))
	// Output: http://nephos.test 3 2026-01-01
}

func ExampleOptions() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t, cloudtest.Options{Hosts: 1, Seed: 42, Listen: true})
	fmt.Println(len(c.Hosts), strings.HasPrefix(c.URL, "http://127.0.0.1:"))
	// Output: 1 true
}

func ExampleCloud() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	// The services themselves are there to be called.
	flavors, _, err := c.Compute.ListFlavors(c.AsAdmin(), compute.FlavorFilter{}, nephos.Page{Limit: 2})
	fmt.Println(len(flavors), err)
	// Output: 2 <nil>
}

func ExampleCloud_Project() {
	t := &stand{}
	defer t.end()
	p := cloudtest.New(t).Project()
	fmt.Println(p.Name, p.MemberName, p.ReaderName, p.KeyName)
	fmt.Println(show(p, create(p, "one")))
	// Output:
	// project-1 project-1-member project-1-reader project-1-key
	// ACTIVE
}

func ExampleProject_As() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	_, err := c.Compute.CreateFlavor(p.As("member"), compute.FlavorSpec{Name: "mine", VCPUs: 1, MemoryMiB: 64})
	fmt.Println(err)
	// Output: Policy doesn't allow os_compute_api:os-flavor-manage:create to be performed.
}

func ExampleProject_Reader() {
	t := &stand{}
	defer t.end()
	p := cloudtest.New(t).Project()
	_, err := networks.Create(ctx, p.Reader().Network, networks.CreateOpts{Name: "no"}).Extract()
	fmt.Println(strings.Contains(err.Error(), "got 403 instead"))
	// Output: true
}

func ExampleProject_FloatingIP() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	id := create(p, "one")
	c.Settle()
	address := p.FloatingIP(id)
	for _, port := range []int{22, 80} {
		ok, _ := c.Reachable("", address, "tcp", port)
		fmt.Println(port, ok)
	}
	// Output:
	// 22 true
	// 80 false
}

func ExampleCloud_AddImage() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	p.ImageID = c.AddImage("debian", bytes.Repeat([]byte("x"), 1<<20))
	fmt.Println(show(p, create(p, "one")))
	// Output: ACTIVE
}

func ExampleCloud_Provider() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	fmt.Println(c.Provider(t).Token() != "") // gophercloud's ProviderClient, the admin's
	// Output: true
}

func ExampleCloud_Auth() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	admin, member := c.Auth(), c.Project().Auth() // for gophercloud's openstack.AuthenticatedClient
	fmt.Println(admin.Username, member.Username, member.IdentityEndpoint)
	// Output: admin project-1-member http://nephos.test/identity/v3
}

func ExampleCloud_Transport() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	client := http.Client{Transport: c.Transport()} // for a client that makes its own
	resp, err := client.Head(c.URL + "/healthz")
	if err != nil {
		panic(err)
	}
	fmt.Println(resp.StatusCode, resp.Body.Close())
	// Output: 204 <nil>
}

func ExampleCloud_Handler() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	fmt.Println(w.Code)
	// Output: 204
}

func ExampleCloud_Clients() {
	t := &stand{}
	defer t.end()
	admin := cloudtest.New(t).Clients()
	all, err := servers.List(admin.Compute, servers.ListOpts{AllTenants: true}).AllPages(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(all.IsEmpty())
	// Output: true <nil>
}

func ExampleCloud_Client() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	resp, err := c.Client().Get(c.URL + "/healthz")
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	fmt.Println(resp.Status)
	// Output: 204 No Content
}

func ExampleCloud_CloudsYAML() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	fmt.Print(string(c.CloudsYAML()))
	// Output:
	// clouds:
	//   admin:
	//     auth:
	//       auth_url: http://nephos.test/identity/v3
	//       username: admin
	//       password: admin-of-a-test
	//       project_name: admin
	//       user_domain_name: Default
	//       project_domain_name: Default
	//     region_name: RegionOne
	//     identity_api_version: 3
}

func ExampleCloud_WriteCloudsYAML() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t, cloudtest.Options{Listen: true})
	path := c.WriteCloudsYAML(c.Project())
	// OS_CLIENT_CONFIG_FILE=path openstack --os-cloud project-1 server list
	fmt.Println(filepath.Base(path))
	// Output: clouds.yaml
}

func ExampleCloud_Settle() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	c.Faults.Add(fake.Fault{Method: "Ensure", Delay: 10 * time.Minute}) // a slow build
	id, begun := create(p, "one"), c.Clock.Now()
	fmt.Println(show(p, id))
	c.Settle()
	fmt.Println(show(p, id), c.Clock.Now().Sub(begun).Round(time.Minute))
	// Output:
	// BUILD
	// ACTIVE 10m0s
}

func ExampleCloud_Step() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t, cloudtest.Options{Stopped: true})
	c.Settle()
	p := c.Project()
	c.Settle()
	id := create(p, "one")
	fmt.Println(show(p, id))
	for c.Step() {
	}
	fmt.Println(show(p, id))
	// Output:
	// BUILD
	// ACTIVE
}

func ExampleCloud_Work() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t, cloudtest.Options{Stopped: true})
	c.Work() // the hosts say that they are there
	p := c.Project()
	id := create(p, "one")
	c.Work()
	fmt.Println(show(p, id))
	// Output: ACTIVE
}

func ExampleCloud_Advance() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	member := p.Member()
	member.Provider.ReauthFunc = nil
	c.Advance(24 * time.Hour)
	_, err := servers.List(member.Compute, nil).AllPages(ctx)
	fmt.Println(strings.Contains(err.Error(), "got 401 instead")) // the token has expired
	// Output: true
}

func ExampleCloud_Start() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t, cloudtest.Options{Live: true}) // as after Start
	c.Stop()                                             // nothing works
	c.Start(t)
}

func ExampleHost_Kill() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	id := create(p, "one")
	c.Settle()
	host := c.HostOf(id)
	host.Kill()
	c.Advance(5 * time.Minute)
	services, err := c.Compute.ListServices(c.AsAdmin(), host.Name, "nova-compute")
	fmt.Println(services[0].Up, err)
	host.Revive()
	c.Settle()
	guest, _ := c.Guest(id)
	fmt.Println(guest.State)
	// Output:
	// false <nil>
	// running
}

func ExampleHost_Silence() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	id := create(p, "one")
	c.Settle()
	c.HostOf(id).Silence() // nobody hears of it, and its guests run on
	guest, _ := c.Guest(id)
	fmt.Println(guest.State)
	// Output: running
}

func ExampleHost_Drain() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t, cloudtest.Options{Hosts: 2})
	p := c.Project()
	c.Host("host-1").Drain("a new fan")
	for range 3 {
		fmt.Println(c.HostOf(create(p, "one")) == nil) // not placed yet
	}
	c.Settle()
	fmt.Println(len(c.Hosts[0].Hypervisor.Guests()), len(c.Hosts[1].Hypervisor.Guests()))
	c.Host("host-1").Undrain()
	// Output:
	// true
	// true
	// true
	// 0 3
}

func ExampleHost_Reboot() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t, cloudtest.Options{Hosts: 1})
	p := c.Project()
	id := create(p, "one")
	c.Settle()
	c.Hosts[0].Reboot()
	c.Settle()
	guest, _ := c.Guest(id)
	fmt.Println(guest.State)
	// Output: running
}

func ExampleHost_Restart() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t, cloudtest.Options{Hosts: 1})
	p := c.Project()
	id := create(p, "one")
	c.Settle()
	c.Hosts[0].Restart() // of its agent: guests do not notice
	c.Restart()          // of the controllers
	fmt.Println(show(p, id))
	// Output: ACTIVE
}

func ExampleGuests_Add() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	c.Guests.Add(
		cloudtest.Guest{Boots: time.Minute, Prints: "hello\n", Fetches: []string{"/latest/meta-data/hostname"}},
		cloudtest.Guest{Name: "weak", CrashAfter: time.Hour},
	)
	p := c.Project()
	strong, weak := create(p, "strong"), create(p, "weak")
	c.Settle()
	fmt.Println(show(p, strong), show(p, weak))
	fmt.Print(strings.ReplaceAll(c.Console(strong), "\r", ""))
	// Output:
	// ACTIVE SHUTOFF
	// hello
	// ci-info: address 10.0.0.2
	// cloud-init: /latest/meta-data/hostname: 200, 6 bytes
	//   strong
	// cloud-init: done
}

func ExampleCloud_Metadata() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	id := create(p, "one")
	c.Settle()
	fmt.Printf("%s\n", c.Metadata(id, "/latest/meta-data/local-ipv4"))
	// Output: 10.0.0.2
}

func ExampleCloud_Crash() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	one, two := create(p, "one"), create(p, "two")
	c.Settle()
	c.Crash(one)
	c.PowerOff(two)
	fmt.Println(show(p, one), show(p, two))
	// Output: SHUTOFF SHUTOFF
}

func ExampleCloud_Reachable() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project() // its security group lets in SSH and pings
	one, two := create(p, "one"), create(p, "two")
	c.Settle()
	for _, port := range []int{22, 80} {
		ok, _ := c.Reachable(one, two, "tcp", port)
		fmt.Println(port, ok)
	}
	_, why := c.Reachable(one, "198.51.100.1", "udp", 53)
	fmt.Println(why)
	// Output:
	// 22 true
	// 80 false
	// the world outside
}

func ExampleCloud_Explain() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	_, err := networks.Create(ctx, p.Reader().Network, networks.CreateOpts{Name: "no"}).Extract()
	fmt.Println(c.Explain(err).Denials[0].Rule)
	id := create(p, "one")
	c.Settle()
	fmt.Println(c.Explain(id).Placement.Summary())
	fmt.Print(c.Explain("of nothing").String()) // for people
	// Output:
	// create_network
	// Placed 1 server: 3 hosts, 3 suitable
	// nothing is known of it
}

func ExampleCloud_ExpectEvents() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	id := create(p, "one")
	c.Settle()
	c.ExpectEvents(id, "server.create", "server.*")
	fmt.Println(c.Events(id)[0].Type)
	// Output: server.create
}

func ExampleCloud_NoLeaks() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	id := create(p, "forgotten")
	func() {
		defer func() { fmt.Println(strings.Contains(fmt.Sprint(recover()), "compute_servers "+id+" forgotten")) }()
		c.NoLeaks(t) // fails the test, and names all that is left
	}()
	c.Mark() // from here on it counts as set-up
	c.NoLeaks(t)
	// Output: true
}

func ExampleCloud_CrashAt() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t)
	p := c.Project()
	times := 0
	c.CrashAt(func(host, point string) bool {
		if host != "" || point != "after compute.server" {
			return false
		}
		times++
		return times == 1
	})
	id := create(p, "one")
	c.Settle()
	fmt.Println(times > 0, show(p, id))
	// Output: true ACTIVE
}

func ExampleCloud_WalkCrashes() {
	t := &stand{}
	defer t.end()
	c := cloudtest.New(t, cloudtest.Options{Hosts: 1})
	p := c.Project()
	var id string
	points := c.WalkCrashes(t, cloudtest.Operation{
		Do: func() { id = create(p, "one") },
		Check: func() {
			if show(p, id) != "ACTIVE" {
				t.Fatalf("it is %s", show(p, id))
			}
		},
		CleanUp: func() { _ = servers.Delete(ctx, p.Member().Compute, id).ExtractErr() },
		Skip:    func(_ bool, point string) bool { return !strings.HasSuffix(point, "compute.server") },
	})
	fmt.Println(points)
	// Output: [after compute.server before compute.server settled compute.server]
}
