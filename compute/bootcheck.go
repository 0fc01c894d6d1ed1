package compute

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/scheduler"
)

func invalid(format string, args ...any) *nephos.Error {
	return nephos.Errorf(nephos.ErrInvalid, format, args...)
}

// noMarker is the error for a marker that names nothing.
func noMarker(marker string) error {
	return invalid("Marker %s could not be found.", clip(marker)).WithField("marker")
}

// check validates the request, and fills in what all its servers share.
func (b *boot) check(ctx context.Context) error {
	req := &b.req
	me := caller(ctx)
	req.MinCount = max(req.MinCount, 1)
	req.MaxCount = max(req.MaxCount, req.MinCount)
	if req.MaxCount > maxServers {
		return invalid("At most %d servers can be created by one request.", maxServers).WithField("max_count")
	}
	if req.Hostname != "" && req.MaxCount > 1 {
		return invalid("Unable to allocate a single hostname to multiple instances")
	}
	b.row = serverRow{Server: Server{
		ProjectID: me.ProjectID, UserID: me.UserID, Name: req.Name, Description: req.Description,
		Hostname: req.Hostname, Metadata: req.Metadata, UserData: req.UserData, DiskConfig: req.DiskConfig,
		AccessIPv4: req.AccessIPv4, AccessIPv6: req.AccessIPv6, RootDevice: "/dev/vda", KeyName: req.KeyName,
	}}
	row := &b.row
	if row.Hostname == "" {
		row.Hostname = hostnameOf(req.Name)
	}
	if row.DiskConfig == "" {
		row.DiskConfig = "MANUAL"
	}
	if req.ConfigDrive || len(req.Files) > 0 {
		row.ConfigDrive = "True"
	}
	for _, t := range req.Tags {
		if !slices.Contains(row.Tags, t) {
			row.Tags = append(row.Tags, t)
		}
	}
	for _, check := range []func(context.Context) error{
		b.checkItems, b.checkFlavor, b.checkPlace, b.checkKey, b.checkDisks, b.checkTopology, b.checkNetworks,
	} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// checkItems holds metadata, user data and files against their bounds.
func (b *boot) checkItems(ctx context.Context) error {
	limits, err := b.s.itemLimitsOf(ctx, b.row.ProjectID)
	if err != nil {
		return err
	}
	if err := checkMetadata(b.req.Metadata, limits.metadata); err != nil {
		return err
	}
	over := func(format string, args ...any) error { return nephos.Errorf(nephos.ErrQuota, format, args...) }
	if limits.injectedFiles >= 0 && len(b.req.Files) > limits.injectedFiles {
		return over("Personality file limit exceeded")
	}
	for _, f := range b.req.Files {
		if limits.injectedPathBytes >= 0 && len(f.Path) > limits.injectedPathBytes {
			return over("Personality file path exceeds maximum %d", limits.injectedPathBytes)
		}
		if limits.injectedFileBytes >= 0 && len(f.Data) > limits.injectedFileBytes {
			return over("Personality file content exceeds maximum %d", limits.injectedFileBytes)
		}
	}
	b.row.Wanted.Files = b.req.Files
	if len(b.req.UserData) > 65535 {
		return invalid("User data too large. User data must be no larger than 65535 bytes once base64 encoded.").WithField("user_data")
	}
	if _, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\n", "", "\r", "").Replace(b.req.UserData)); err != nil {
		return invalid("User data needs to be valid base 64.").WithField("user_data")
	}
	if err := checkAccess("accessIPv4", b.req.AccessIPv4); err != nil {
		return err
	}
	return checkAccess("accessIPv6", b.req.AccessIPv6)
}

// checkAccess checks one of the addresses at which users say a server is reached.
func checkAccess(field, v string) error {
	if v == "" {
		return nil
	}
	if a, err := netip.ParseAddr(v); err != nil || a.Is4() != (field == "accessIPv4") {
		return invalid("Invalid input for field/attribute %s. Value: %.64s. '%.64s' is not a '%s'", field, v, v, "ip"+field[len(field)-2:]).WithField(field)
	}
	return nil
}

// checkMetadata holds a server's metadata against the quota of items.
func checkMetadata(meta map[string]string, limit int) error {
	if limit >= 0 && len(meta) > limit {
		return nephos.Errorf(nephos.ErrQuota, "Maximum number of metadata items exceeds %d", limit)
	}
	for k, v := range meta {
		switch {
		case k == "" || len(k) > 255:
			return invalid("Invalid metadata size: Metadata property key must be 1 to 255 characters long").WithField("metadata")
		case len(v) > 255:
			return invalid("Invalid metadata size: Metadata property value greater than 255 characters").WithField("metadata")
		}
	}
	return nil
}

func (b *boot) checkFlavor(ctx context.Context) error {
	f, err := b.s.bootFlavor(ctx, b.req.FlavorID)
	if errors.Is(err, nephos.ErrNotFound) {
		return invalid("Flavor %.255s could not be found.", b.req.FlavorID).WithField("flavorRef")
	}
	b.row.FlavorID, b.row.Flavor, b.row.VCPUs, b.row.MemoryMiB = f.ID, f, f.VCPUs, f.MemoryMiB
	return err
}

// checkTopology refuses a topology that no server could have.
func (b *boot) checkTopology(context.Context) error {
	specs, image := b.row.Flavor.ExtraSpecs, b.row.Image.Properties
	if _, err := cpuTopology(specs, image, b.row.VCPUs); err != nil {
		return err
	}
	_, err := scheduler.ParseNUMA(specs, image, int64(b.row.VCPUs), int64(b.row.MemoryMiB))
	return err
}

func (b *boot) checkKey(ctx context.Context) (err error) {
	if b.req.KeyName != "" {
		b.row.KeyData, _, err = b.s.bootKeyPair(ctx, b.req.KeyName)
	}
	return err
}

// checkPlace reads where the servers may go.
func (b *boot) checkPlace(ctx context.Context) error {
	req, w := &b.req, &b.row.Wanted
	zone, host, node := req.Zone, "", ""
	switch strings.Count(zone, ":") {
	case 0:
	case 1:
		zone, host, _ = strings.Cut(zone, ":")
	case 2:
		parts := strings.Split(zone, ":")
		zone, host, node = parts[0], parts[1], parts[2]
	default:
		return invalid("Invalid input received: Unable to parse availability_zone").WithField("availability_zone")
	}
	if host != "" || node != "" {
		if err := b.s.cfg.Policy.Enforce(ctx, serversRule("create:forced_host"), b.target); err != nil {
			return err
		}
	}
	if req.Host != "" || req.Node != "" {
		if err := b.s.cfg.Policy.Enforce(ctx, "compute:servers:create:requested_destination", b.target); err != nil {
			return err
		}
		if host != "" || node != "" {
			return invalid("One mechanism with host and/or hypervisor_hostname and another mechanism with zone:host:node are mutually exclusive.")
		}
		hosts, err := loadHosts(ctx, b.s.cfg.Store.Reader())
		if err != nil {
			return err
		}
		for _, name := range []string{req.Host, req.Node} {
			if name != "" && !slices.ContainsFunc(hosts, func(h Host) bool { return h.Name == name }) {
				return invalid("Compute host %.255s could not be found.", name)
			}
		}
	}
	w.Zone, w.ForcedHost, w.ForcedNode, w.RequestedHost, w.RequestedNode = zone, host, node, req.Host, req.Node
	b.row.Zone, b.row.PinnedZone, w.Hints = zone, zone, req.Hints
	if zone != "" && host == "" && node == "" {
		known, err := b.s.zoneExists(ctx, zone)
		if err != nil {
			return err
		}
		if !known {
			return invalid("The requested availability zone is not available").WithField("availability_zone")
		}
	}
	if group := req.Hints["group"]; len(group) > 0 {
		if _, err := b.s.bootGroup(ctx, group[0]); err != nil {
			return err
		}
		b.row.GroupID = group[0]
	}
	return nil
}

// checkNetworks asks the network service what the cards come to.
func (b *boot) checkNetworks(ctx context.Context) error {
	req := b.req
	if req.None || b.s.cfg.Ports == nil {
		return nil
	}
	if req.MaxCount > 1 {
		for _, n := range req.Networks {
			if n.PortID != "" {
				return invalid("Failed to launch instances: Unable to launch multiple instances with a single configured port ID. Please launch your instance one by one with different ports.")
			}
			if n.FixedIP.IsValid() {
				return invalid("Failed to launch instances: max_count cannot be greater than 1 if an fixed_ip is specified.")
			}
		}
	}
	taken := map[string]bool{}
	for _, n := range req.Networks {
		if n.PortID != "" && taken[n.PortID] {
			return invalid("Port ID '%s' was specified twice: you cannot attach a port multiple times.", n.PortID)
		}
		taken[n.PortID] = true
	}
	if len(req.Networks) > 0 {
		if err := b.s.cfg.Policy.Enforce(ctx, serversRule("create:attach_network"), b.target); err != nil {
			return err
		}
	}
	requests := slices.Clone(req.Networks)
	if len(requests) == 0 {
		requests = []network.PortRequest{{}}
	}
	for i := range requests {
		requests[i].SecurityGroups = req.SecurityGroups
	}
	plans, err := b.s.cfg.Ports.CheckPorts(ctx, requests)
	if err != nil {
		return err
	}
	if req.Allocate && len(plans) == 0 {
		return invalid("Unable to automatically allocate a network for project %s", caller(ctx).ProjectID)
	}
	for i, p := range plans {
		b.nics = append(b.nics, newNIC(fmt.Sprint(i), p))
	}
	b.row.Wanted.Groups = req.SecurityGroups
	if b.row.SecurityGroups = req.SecurityGroups; len(req.SecurityGroups) == 0 && len(plans) > 0 {
		b.row.SecurityGroups = []string{"default"}
	}
	return nil
}
