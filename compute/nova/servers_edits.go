package nova

import (
	"github.com/nephos-cloud/nephos/httpapi"
)

// serverEdits take back what microversions added to a server.
func serverEdits(r *httpapi.Request) httpapi.Edits[serverBody] {
	edit := func(minor int, f func(b *serverBody)) httpapi.Edit[serverBody] {
		return httpapi.Edit[serverBody]{Version: httpapi.V(2, minor), Apply: func(b *serverBody) error { f(b); return nil }}
	}
	return httpapi.Edits[serverBody]{
		edit(96, func(b *serverBody) { b.PinnedZone = nil }),
		edit(90, func(b *serverBody) {
			if b.hostnameOfOwner {
				b.Hostname = nil
			}
		}),
		edit(73, func(b *serverBody) { b.LockedReason = nil }),
		edit(71, func(b *serverBody) { b.ServerGroups = nil }),
		edit(63, func(b *serverBody) { b.TrustedCerts = nil }),
		edit(47, func(b *serverBody) {
			if f, ok := b.Flavor.(flavorCopy); ok {
				b.Flavor = refBody{f.id, []httpapi.Link{{Rel: "bookmark", Href: bookmark(r, "flavors/"+f.id)}}}
			}
		}),
		edit(26, func(b *serverBody) { b.Tags = nil }),
		edit(19, func(b *serverBody) { b.Description = nil }),
		edit(16, func(b *serverBody) { b.HostStatus = nil }),
		edit(9, func(b *serverBody) { b.Locked = nil }),
		edit(3, func(b *serverBody) {
			b.ReservationID, b.LaunchIndex, b.Hostname, b.KernelID, b.RamdiskID, b.RootDevice, b.UserData = nil, nil, nil, nil, nil, nil, nil
			for i := range *b.Volumes {
				(*b.Volumes)[i].DeleteOnTermination = nil
			}
		}),
	}
}

// trim takes away what answers to changes did not show before 2.75.
func trim(r *httpapi.Request, b *serverBody) {
	if atLeast(r, 75) {
		return
	}
	b.Zone, b.ConfigDrive, b.KeyName, b.LaunchedAt, b.TerminatedAt, b.SecurityGroups = nil, nil, nil, nil, nil, nil
	b.TaskState, b.VMState, b.PowerState, b.Volumes, b.HostStatus = nil, nil, nil, nil, nil
	b.Host, b.InstanceName, b.Hypervisor, b.ReservationID, b.LaunchIndex = nil, nil, nil, nil, nil
	b.KernelID, b.RamdiskID, b.RootDevice, b.UserData, b.Hostname = nil, nil, nil, nil, nil
	for name, list := range b.Addresses {
		for i := range list {
			list[i].Type, list[i].MAC = "", ""
		}
		b.Addresses[name] = list
	}
}
