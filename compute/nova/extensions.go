package nova

import (
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

func (a *api) extensionRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET " + root + "/extensions", Rules: rules("extensions"), Handler: a.listExtensions},
		{Pattern: "GET " + root + "/extensions/{alias}", Rules: rules("extensions"), Handler: a.showExtension},
	}
}

type extensionBody struct {
	Alias       string   `json:"alias"`
	Name        string   `json:"name"`
	Namespace   string   `json:"namespace"`
	Description string   `json:"description"`
	Updated     string   `json:"updated"`
	Links       []string `json:"links"`
}

// extensions are the parts of the API, by the aliases that they had when they
// were extensions. What is not built is not among them.
func extensions() []extensionBody {
	list := [][3]string{
		{"OS-DCF", "DiskConfig", "How a server's disk is laid out."},
		{"OS-EXT-AZ", "ExtendedAvailabilityZone", "The availability zone of a server."},
		{"OS-EXT-IPS", "ExtendedIps", "The kind of a server's address."},
		{"OS-EXT-IPS-MAC", "ExtendedIpsMac", "The MAC address of a server's address."},
		{"OS-EXT-SRV-ATTR", "ExtendedServerAttributes", "What operators see of a server."},
		{"OS-EXT-STS", "ExtendedStatus", "A server's state, task and power."},
		{"OS-FLV-DISABLED", "FlavorDisabled", "Whether a flavor is disabled."},
		{"OS-FLV-EXT-DATA", "FlavorExtraData", "The ephemeral disk of a flavor."},
		{"OS-SCH-HNT", "SchedulerHints", "Hints for the scheduler."},
		{"OS-SRV-USG", "ServerUsage", "When a server was launched and terminated."},
		{"os-access-ips", "AccessIPs", "Addresses to reach a server by."},
		{"os-admin-actions", "AdminActions", "What only operators do to servers."},
		{"os-aggregates", "Aggregates", "Groups of hosts."},
		{"os-attach-interfaces", "AttachInterfaces", "Network cards of servers."},
		{"os-availability-zone", "AvailabilityZone", "Availability zones."},
		{"os-block-device-mapping", "BlockDeviceMapping", "Booting from volumes."},
		{"os-block-device-mapping-v2-boot", "BlockDeviceMappingV2Boot", "Booting from block devices of every kind."},
		{"os-config-drive", "ConfigDrive", "Metadata on a disk."},
		{"os-console-output", "ConsoleOutput", "The log of a server's console."},
		{"os-extended-quotas", "ExtendedQuotas", "Deleting and forcing quotas."},
		{"os-extended-services", "ExtendedServices", "Why a service is disabled."},
		{"os-extended-services-delete", "ExtendedServicesDelete", "Deleting services."},
		{"os-extended-status", "ExtendedStatus", "A server's state, task and power."},
		{"os-extended-volumes", "ExtendedVolumes", "The volumes of a server."},
		{"os-flavor-access", "FlavorAccess", "Who may use a flavor."},
		{"os-flavor-extra-specs", "FlavorExtraSpecs", "What a flavor asks of hosts."},
		{"os-flavor-manage", "FlavorManage", "Making and deleting flavors."},
		{"os-flavor-rxtx", "FlavorRxtx", "The network share of a flavor."},
		{"os-flavor-swap", "FlavorSwap", "The swap disk of a flavor."},
		{"os-hypervisor-status", "HypervisorStatus", "Whether a hypervisor is up."},
		{"os-hypervisors", "Hypervisors", "Hypervisors."},
		{"os-instance-actions", "InstanceActions", "What was done to a server."},
		{"os-keypairs", "Keypairs", "Keypairs of users."},
		{"os-lock-server", "LockServer", "Locking servers."},
		{"os-migrations", "Migrations", "Moves of servers between hosts."},
		{"os-multiple-create", "MultipleCreate", "Making several servers at once."},
		{"os-pause-server", "PauseServer", "Pausing servers."},
		{"os-quota-class-sets", "QuotaClasses", "Quotas that many projects have."},
		{"os-quota-sets", "Quotas", "Quotas of projects."},
		{"os-server-diagnostics", "ServerDiagnostics", "What a server's host measures."},
		{"os-server-external-events", "ServerExternalEvents", "What other services tell of servers."},
		{"os-server-group-quotas", "ServerGroupQuotas", "Quotas of server groups."},
		{"os-server-groups", "ServerGroups", "Server groups."},
		{"os-server-list-multi-status", "ServerListMultiStatus", "Listing servers by several states."},
		{"os-server-sort-keys", "ServerSortKeys", "The order of lists of servers."},
		{"os-server-start-stop", "ServerStartStop", "Starting and stopping servers."},
		{"os-services", "Services", "The services on hosts."},
		{"os-simple-tenant-usage", "SimpleTenantUsage", "What projects used."},
		{"os-used-limits", "UsedLimits", "What counts towards limits."},
		{"os-used-limits-for-admin", "UsedLimitsForAdmin", "The limits of other projects."},
		{"os-user-data", "UserData", "Data for a server's first boot."},
		{"os-volume-attachment-update", "VolumeAttachmentUpdate", "Changing a volume's attachment."},
		{"os-volumes", "Volumes", "Volumes of servers."},
	}
	out := make([]extensionBody, len(list))
	for i, e := range list {
		out[i] = extensionBody{
			Alias: e[0], Name: e[1], Description: e[2], Namespace: "http://docs.openstack.org/compute/ext/fake_xml",
			Updated: "2014-12-03T00:00:00Z", Links: []string{},
		}
	}
	return out
}

func (a *api) listExtensions(r *httpapi.Request) (*httpapi.Response, error) {
	return httpapi.OK(map[string]any{"extensions": extensions()}), a.Catalog.SeeExtensions(r.Context())
}

func (a *api) showExtension(r *httpapi.Request) (*httpapi.Response, error) {
	if err := a.Catalog.SeeExtensions(r.Context()); err != nil {
		return nil, err
	}
	all, alias := extensions(), r.PathValue("alias")
	i := slices.IndexFunc(all, func(e extensionBody) bool { return e.Alias == alias })
	if i < 0 {
		return nil, nephos.Errorf(nephos.ErrNotFound, "The resource could not be found.")
	}
	return httpapi.OK(map[string]any{"extension": all[i]}), nil
}
