package metadata_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/compute/metadata"
)

func example() metadata.Server {
	return metadata.Server{
		ID: "0c2f9b1e-1111-4222-8333-444444444444", Name: "My web", Hostname: "my-web", ProjectID: "p1", Zone: "nova", ReservationID: "r-1",
		FlavorName: "m1.small", ImageID: "img", Metadata: map[string]string{"role": "web"}, KeyName: "me", KeyData: "ssh-ed25519 AAAA me",
		UserData: base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\n")), RootDevice: "/dev/vda", SecurityGroups: []string{"default", "web"},
		Seed: []byte("seed"), Files: []metadata.File{{Path: "/etc/motd", Data: []byte("hi")}},
		Cards: []metadata.Card{{ID: "ce531f90-199f-48c0-816c-13e38010b442", MAC: "fa:16:3e:00:00:01", MTU: 1450, NetworkID: "net", Tag: "front", Addresses: []metadata.Address{
			{IP: "10.0.0.5", Floating: []string{"192.0.2.7"}, Subnet: metadata.Subnet{CIDR: "10.0.0.0/24", Gateway: "10.0.0.1", DHCP: true}},
			{IP: "10.1.0.5", Subnet: metadata.Subnet{
				CIDR: "10.1.0.0/16", Gateway: "10.1.0.1", DNS: []string{"10.1.0.2"}, Routes: []metadata.Route{{Destination: "10.2.0.0/16", NextHop: "10.1.0.9"}},
			}},
			{IP: "2001:db8::5", Subnet: metadata.Subnet{CIDR: "2001:db8::/64", Gateway: "2001:db8::1"}},
		}}},
		Disks: []metadata.Disk{{Tag: "data", Serial: "0123", Device: "/dev/vdb"}, {Serial: "untagged"}},
	}
}

func TestOpenStackFiles(t *testing.T) {
	files := metadata.Render(example())
	var md map[string]any
	require.NoError(t, json.Unmarshal(files["openstack/latest/meta_data.json"], &md))
	require.Equal(t, "0c2f9b1e-1111-4222-8333-444444444444", md["uuid"])
	require.Equal(t, "my-web", md["hostname"])
	require.Equal(t, "My web", md["name"])
	require.Equal(t, map[string]any{"me": "ssh-ed25519 AAAA me"}, md["public_keys"])
	require.Equal(t, map[string]any{"role": "web"}, md["meta"])
	require.Equal(t, []any{map[string]any{"content_path": "/content/0000", "path": "/etc/motd"}}, md["files"])
	require.Len(t, md["devices"], 2, "what has a tag")
	seed, err := base64.StdEncoding.DecodeString(md["random_seed"].(string))
	require.NoError(t, err)
	require.Len(t, seed, 512)
	require.Equal(t, "hi", string(files["openstack/content/0000"]))
	require.Equal(t, "#!/bin/sh\n", string(files["openstack/latest/user_data"]))
	require.Contains(t, files, "openstack/latest/password")
	require.JSONEq(t, "{}", string(files["openstack/latest/vendor_data.json"]))

	var net struct {
		Links    []map[string]any
		Networks []map[string]any
		Services []map[string]any
	}
	require.NoError(t, json.Unmarshal(files["openstack/latest/network_data.json"], &net))
	require.Equal(t, []map[string]any{{
		"id": "tapce531f90-19", "vif_id": "ce531f90-199f-48c0-816c-13e38010b442", "type": "phy", "mtu": 1450.0, "ethernet_mac_address": "fa:16:3e:00:00:01",
	}}, net.Links)
	require.Equal(t, map[string]any{"id": "network0", "type": "ipv4_dhcp", "link": "tapce531f90-19", "network_id": "net"}, net.Networks[0])
	require.Equal(t, "255.255.0.0", net.Networks[1]["netmask"])
	require.Len(t, net.Networks[1]["routes"], 2)
	require.Equal(t, "ipv6", net.Networks[2]["type"])
	require.Equal(t, "ffff:ffff:ffff:ffff::", net.Networks[2]["netmask"])
	require.Equal(t, []map[string]any{{"type": "dns", "address": "10.1.0.2"}}, net.Services)
}

func TestEC2Files(t *testing.T) {
	files := metadata.Render(example())
	for name, want := range map[string]string{
		"local-ipv4": "10.0.0.5", "public-ipv4": "192.0.2.7", "hostname": "my-web", "instance-type": "m1.small",
		"placement/availability-zone": "nova", "public-keys/0/openssh-key": "ssh-ed25519 AAAA me", "security-groups": "default\nweb",
		"reservation-id": "r-1", "block-device-mapping/root": "/dev/vda",
	} {
		require.Equal(t, want, string(files["latest/meta-data/"+name]), name)
	}
	require.Regexp(t, "^i-[0-9a-f]{8}$", string(files["latest/meta-data/instance-id"]))
	require.Equal(t, "#!/bin/sh\n", string(files["latest/user-data"]))
	require.Equal(t, "latest", metadata.Aliases()["2009-04-04"])
	require.Equal(t, "openstack/latest", metadata.Aliases()["openstack/2012-08-10"])
}

func TestWithoutKeyUserDataAndCards(t *testing.T) {
	files := metadata.Render(metadata.Server{ID: "x"})
	require.NotContains(t, files, "openstack/latest/user_data")
	require.NotContains(t, files, "latest/meta-data/public-keys")
	require.JSONEq(t, `{"links": [], "networks": [], "services": []}`, string(files["openstack/latest/network_data.json"]))
}

func FuzzRender(f *testing.F) {
	f.Add("id", "name", "10.0.0.1", "10.0.0.0/8", "aGk=")
	f.Fuzz(func(t *testing.T, id, name, ip, cidr, data string) {
		files := metadata.Render(metadata.Server{
			ID: id, Name: name, UserData: data, Metadata: map[string]string{name: ip}, KeyName: name, KeyData: data,
			Cards: []metadata.Card{{ID: id, Addresses: []metadata.Address{{IP: ip, Subnet: metadata.Subnet{CIDR: cidr, Gateway: ip, Routes: []metadata.Route{{Destination: cidr, NextHop: ip}}}}}}},
		})
		require.True(t, json.Valid(files["openstack/latest/meta_data.json"]))
		require.True(t, json.Valid(files["openstack/latest/network_data.json"]))
	})
}

func Example() {
	files := metadata.Render(metadata.Server{ID: "0c2f9b1e-1111-4222-8333-444444444444", Hostname: "web"})
	fmt.Println(string(files["latest/meta-data/hostname"]))
	// Output: web
}
