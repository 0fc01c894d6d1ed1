package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/instanceactions"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/volumeattach"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

const name = "demo"

// demo is what was made, so that it can be taken down.
type demo struct {
	cloud *cloud
	image string

	guest    *guest
	address  string
	cleanups []cleanup
}

type cleanup struct {
	what string
	f    func(context.Context) error
}

func (d *demo) undo(what string, f func(context.Context) error) {
	d.cleanups = append(d.cleanups, cleanup{what, f})
}

func (d *demo) show(ctx context.Context) error {
	if err := d.forgetEarlier(ctx); err != nil {
		return err
	}
	var imageID, flavorID, networkID, serverID, volumeID, ip string
	steps := []struct {
		what string
		f    func(context.Context) (string, error)
	}{
		{"upload image", func(ctx context.Context) (_ string, err error) {
			imageID, err = d.upload(ctx)
			return "image " + name, err
		}},
		{"flavor, key", func(ctx context.Context) (_ string, err error) {
			flavorID, err = d.flavorAndKey(ctx)
			return "1 CPU, 128 MiB; a new ed25519 key", err
		}},
		{"network, router", func(ctx context.Context) (_ string, err error) {
			networkID, err = d.networks(ctx)
			return "10.10.0.0/24, routed to public; ping and ssh allowed in", err
		}},
		{"volume", func(ctx context.Context) (_ string, err error) {
			volumeID, err = d.makeVolume(ctx)
			return "1 GiB, available", err
		}},
		{"boot server", func(ctx context.Context) (_ string, err error) {
			serverID, err = d.boot(ctx, imageID, flavorID, networkID)
			return "ACTIVE " + serverID, err
		}},
		{"floating IP", func(ctx context.Context) (_ string, err error) { ip, err = d.float(ctx, serverID); return ip, err }},
		{"login prompt", func(ctx context.Context) (string, error) { return d.waitForLogin(ctx, serverID) }},
		{"ssh", func(ctx context.Context) (string, error) {
			d.address = ip
			if err := d.guest.connect(ctx, ip); err != nil {
				return "", err
			}
			said, err := d.guest.run("uname -srm; cat /root/hello")
			return "root@" + ip + ": " + said, err
		}},
		{"attach volume", func(ctx context.Context) (string, error) { return d.attach(ctx, serverID, volumeID) }},
	}
	for _, s := range steps {
		if err := step(ctx, s.what, s.f); err != nil {
			return err
		}
	}
	return d.timeline(ctx, serverID)
}

// forgetEarlier deletes a server of an earlier demo on the same data.
func (d *demo) forgetEarlier(ctx context.Context) error {
	page, err := servers.List(d.cloud.compute, servers.ListOpts{Name: "^" + name + "$"}).AllPages(ctx)
	if err != nil {
		return err
	}
	old, err := servers.ExtractServers(page)
	if err != nil {
		return err
	}
	if len(old) > 0 {
		return errors.New("this cloud has a server \"demo\" already: delete it first (openstack server delete demo), or use another -data")
	}
	return nil
}

func (d *demo) upload(ctx context.Context) (string, error) {
	c := d.cloud.image
	img, err := images.Create(ctx, c, images.CreateOpts{Name: name, DiskFormat: "qcow2", ContainerFormat: "bare"}).Extract()
	if err != nil {
		return "", err
	}
	d.undo("image", func(ctx context.Context) error { return images.Delete(ctx, c, img.ID).ExtractErr() })
	f, err := os.Open(d.image)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return img.ID, imagedata.Upload(ctx, c, img.ID, f).ExtractErr()
}

func (d *demo) flavorAndKey(ctx context.Context) (string, error) {
	c := d.cloud.compute
	disk := 1
	f, err := flavors.Create(ctx, c, flavors.CreateOpts{Name: name + time.Now().UTC().Format("-150405"), RAM: 128, VCPUs: 1, Disk: &disk}).Extract()
	if err != nil {
		return "", err
	}
	d.undo("flavor", func(ctx context.Context) error { return flavors.Delete(ctx, c, f.ID).ExtractErr() })
	if d.guest, err = newGuest(filepath.Join(d.cloud.data, "demo.key")); err != nil {
		return "", err
	}
	if err := keypairs.Delete(ctx, c, name, nil).ExtractErr(); err != nil && !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return "", err
	}
	if _, err := keypairs.Create(ctx, c, keypairs.CreateOpts{Name: name, PublicKey: d.guest.publicKey}).Extract(); err != nil {
		return "", err
	}
	d.undo("key", func(ctx context.Context) error { return keypairs.Delete(ctx, c, name, nil).ExtractErr() })
	return f.ID, nil
}

func (d *demo) networks(ctx context.Context) (string, error) {
	c := d.cloud.network
	public, err := d.public(ctx)
	if err != nil {
		return "", err
	}
	n, err := networks.Create(ctx, c, networks.CreateOpts{Name: name}).Extract()
	if err != nil {
		return "", err
	}
	d.undo("network", func(ctx context.Context) error { return networks.Delete(ctx, c, n.ID).ExtractErr() })
	s, err := subnets.Create(ctx, c, subnets.CreateOpts{NetworkID: n.ID, Name: name, CIDR: "10.10.0.0/24", IPVersion: 4}).Extract()
	if err != nil {
		return "", err
	}
	r, err := routers.Create(ctx, c, routers.CreateOpts{Name: name, GatewayInfo: &routers.GatewayInfo{NetworkID: public}}).Extract()
	if err != nil {
		return "", err
	}
	d.undo("router", func(ctx context.Context) error { return routers.Delete(ctx, c, r.ID).ExtractErr() })
	if _, err := routers.AddInterface(ctx, c, r.ID, routers.AddInterfaceOpts{SubnetID: s.ID}).Extract(); err != nil {
		return "", err
	}
	d.undo("router interface", func(ctx context.Context) error {
		_, err := routers.RemoveInterface(ctx, c, r.ID, routers.RemoveInterfaceOpts{SubnetID: s.ID}).Extract()
		return err
	})
	g, err := groups.Create(ctx, c, groups.CreateOpts{Name: name, Description: "ping and ssh"}).Extract()
	if err != nil {
		return "", err
	}
	d.undo("security group", func(ctx context.Context) error { return groups.Delete(ctx, c, g.ID).ExtractErr() })
	for _, o := range []rules.CreateOpts{
		{Protocol: "tcp", PortRangeMin: 22, PortRangeMax: 22}, {Protocol: "icmp"},
	} {
		o.SecGroupID, o.Direction, o.EtherType = g.ID, rules.DirIngress, rules.EtherType4
		if _, err := rules.Create(ctx, c, o).Extract(); err != nil {
			return "", err
		}
	}
	return n.ID, nil
}

func (d *demo) public(ctx context.Context) (string, error) {
	yes := true
	page, err := networks.List(d.cloud.network, external.ListOptsExt{ListOptsBuilder: networks.ListOpts{}, External: &yes}).AllPages(ctx)
	if err != nil {
		return "", err
	}
	found, err := networks.ExtractNetworks(page)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("the cloud has no external network")
	}
	return found[0].ID, nil
}

func (d *demo) makeVolume(ctx context.Context) (string, error) {
	c := d.cloud.volume
	v, err := volumes.Create(ctx, c, volumes.CreateOpts{Name: name, Size: 1}, nil).Extract()
	if err != nil {
		return "", err
	}
	d.undo("volume", func(ctx context.Context) error { return d.deleteVolume(ctx, v.ID) })
	return v.ID, d.volumeIs(ctx, v.ID, "available")
}

func (d *demo) volumeIs(ctx context.Context, id, want string) error {
	return poll(ctx, time.Minute, "volume "+want, func() (bool, error) {
		v, err := volumes.Get(ctx, d.cloud.volume, id).Extract()
		if err == nil && v.Status == "error" {
			err = errors.New("the volume went to error")
		}
		return err == nil && v.Status == want, err
	})
}

func (d *demo) deleteVolume(ctx context.Context, id string) error {
	if err := d.volumeIs(ctx, id, "available"); err != nil {
		return err
	}
	if err := volumes.Delete(ctx, d.cloud.volume, id, nil).ExtractErr(); err != nil {
		return err
	}
	return poll(ctx, time.Minute, "the volume's end", func() (bool, error) {
		return gone(volumes.Get(ctx, d.cloud.volume, id).Err)
	})
}

func gone(err error) (bool, error) {
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return true, nil
	}
	return false, err
}

const userData = `#!/bin/sh
echo "user data ran on $(hostname)" > /root/hello
`

func (d *demo) boot(ctx context.Context, image, flavor, network string) (string, error) {
	c := d.cloud.compute
	s, err := servers.Create(ctx, c, keypairs.CreateOptsExt{
		CreateOptsBuilder: servers.CreateOpts{
			Name: name, ImageRef: image, FlavorRef: flavor, Networks: []servers.Network{{UUID: network}},
			SecurityGroups: []string{name}, UserData: []byte(userData),
		}, KeyName: name,
	}, nil).Extract()
	if err != nil {
		return "", err
	}
	d.undo("server", func(ctx context.Context) error {
		if err := servers.Delete(ctx, c, s.ID).ExtractErr(); err != nil {
			return err
		}
		return poll(ctx, time.Minute, "the server's end", func() (bool, error) { return gone(servers.Get(ctx, c, s.ID).Err) })
	})
	return s.ID, poll(ctx, 2*time.Minute, "ACTIVE", func() (bool, error) {
		got, err := servers.Get(ctx, c, s.ID).Extract()
		if err == nil && got.Status == "ERROR" {
			err = fmt.Errorf("the server went to ERROR: %s", got.Fault.Message)
		}
		return err == nil && got.Status == "ACTIVE", err
	})
}

func (d *demo) float(ctx context.Context, serverID string) (string, error) {
	c := d.cloud.network
	public, err := d.public(ctx)
	if err != nil {
		return "", err
	}
	page, err := ports.List(c, ports.ListOpts{DeviceID: serverID}).AllPages(ctx)
	if err != nil {
		return "", err
	}
	found, err := ports.ExtractPorts(page)
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("the server has %d ports", len(found))
	}
	f, err := floatingips.Create(ctx, c, floatingips.CreateOpts{FloatingNetworkID: public, PortID: found[0].ID}).Extract()
	if err != nil {
		return "", err
	}
	d.undo("floating IP", func(ctx context.Context) error { return floatingips.Delete(ctx, c, f.ID).ExtractErr() })
	return f.FloatingIP, nil
}

func (d *demo) waitForLogin(ctx context.Context, serverID string) (string, error) {
	var text string
	err := poll(ctx, 3*time.Minute, "the login prompt", func() (_ bool, err error) {
		text, err = servers.ShowConsoleOutput(ctx, d.cloud.compute, serverID, servers.ShowConsoleOutputOpts{Length: 200}).Extract()
		return strings.Contains(text, "login:"), err
	})
	if err != nil {
		return "", fmt.Errorf("%w; the console said:\n%s", err, text)
	}
	return lines(text), nil
}

func (d *demo) attach(ctx context.Context, serverID, volumeID string) (string, error) {
	c := d.cloud.compute
	if _, err := volumeattach.Create(ctx, c, serverID, volumeattach.CreateOpts{VolumeID: volumeID}).Extract(); err != nil {
		return "", err
	}
	d.undo("attachment", func(ctx context.Context) error {
		return volumeattach.Delete(ctx, c, serverID, volumeID).ExtractErr()
	})
	if err := d.volumeIs(ctx, volumeID, "in-use"); err != nil {
		return "", err
	}
	var out string
	err := poll(ctx, 30*time.Second, "the disk's appearance in the guest", func() (bool, error) {
		var err error
		out, err = d.guest.run("grep -w vdb /proc/partitions >/dev/null && mkfs.ext4 -q /dev/vdb && mount /dev/vdb /mnt && echo kept > /mnt/note && sync && df -h /mnt | tail -n 1; umount /mnt 2>/dev/null; true")
		return strings.Contains(out, "/dev/vdb"), err
	})
	return "ext4 made, a file written: " + strings.Join(strings.Fields(out), " "), err
}

// lines returns what the guest said of itself on its console, on one line.
func lines(console string) string {
	var said []string
	for line := range strings.Lines(console) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "nephos-guest: "); ok {
			said = append(said, text)
		}
	}
	return "the console says: " + strings.Join(said, "; ")
}

// timeline prints what happened to the server, and when.
func (d *demo) timeline(ctx context.Context, serverID string) error {
	page, err := instanceactions.List(d.cloud.compute, serverID, nil).AllPages(ctx)
	if err != nil {
		return err
	}
	actions, err := instanceactions.ExtractInstanceActions(page)
	if err != nil {
		return err
	}
	for _, a := range actions {
		if a.Action != "create" {
			continue
		}
		full, err := instanceactions.Get(ctx, d.cloud.compute, serverID, a.RequestID).Extract()
		if err != nil {
			return err
		}
		if full.Events == nil {
			return errors.New("the create action has no events")
		}
		events := *full.Events
		slices.Reverse(events) // they come latest first
		slices.SortStableFunc(events, func(x, y instanceactions.Event) int { return x.StartTime.Compare(y.StartTime) })
		fmt.Println("\nThe server's first moments, as its event list tells them (openstack server event show):")
		for _, e := range events {
			if text, ok := moments[e.Event]; ok {
				fmt.Printf("  %7.2f s  %-9s %s\n", e.StartTime.Sub(a.StartTime).Seconds(), e.Event, text)
			}
		}
	}
	return nil
}

// moments says what events of a boot mean.
var moments = map[string]string{
	"queued":    "the request is on record: from here on nothing is lost",
	"scheduled": "a host is chosen and its capacity claimed",
	"image":     "the host has the image",
	"network":   "its card is plugged: address, anti-spoofing and security groups in force",
	"volume":    "its volume is attached",
	"defined":   "its disk and its definition are there",
	"running":   "QEMU runs it",
	"dhcp":      "it asked for its address and got it",
	"metadata":  "it asked who it is: host name, keys, user data",
}

func (d *demo) takeDown(ctx context.Context) error {
	if d.guest != nil {
		d.guest.close()
	}
	if len(d.cleanups) == 0 {
		return nil
	}
	return step(ctx, "take down", func(ctx context.Context) (string, error) {
		var errs []error
		for i := len(d.cleanups) - 1; i >= 0; i-- {
			if err := d.cleanups[i].f(ctx); err != nil {
				errs = append(errs, fmt.Errorf("deleting the %s: %w", d.cleanups[i].what, err))
			}
		}
		if len(errs) == 0 {
			errs = append(errs, d.cloud.quiet(ctx))
		}
		return fmt.Sprintf("%d things, and all of them on the host", len(d.cleanups)), errors.Join(errs...)
	})
}
