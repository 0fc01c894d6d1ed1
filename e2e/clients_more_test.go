//go:build linux

package e2e

import (
	"fmt"

	"github.com/stretchr/testify/require"
)

// The rarer commands, each service's after its walk.

func moreIdentity(c *cli) {
	c.show("project", "create", "--tag", "blue", "cli-tagged")
	require.Contains(c.t, c.list("Name", "project", "list", "--tags", "blue"), "cli-tagged")
	c.run("project", "set", "--tag", "round", "cli-tagged")
	c.run("project", "delete", "cli-tagged")
	c.show("service", "create", "--name", "cli-service", "cli-type")
	require.Equal(c.t, "cli-type", c.show("service", "show", "cli-service")["type"])
	c.show("endpoint", "create", "--region", "RegionOne", "cli-service", "public", "http://127.0.0.1/")
	c.run("service", "set", "--disable", "cli-service")
	c.run("service", "delete", "cli-service")
	c.show("region", "create", "cli-region")
	c.run("region", "set", "--description", "far away", "cli-region")
	require.Equal(c.t, "far away", c.show("region", "show", "cli-region")["description"])
	c.run("region", "delete", "cli-region")
	c.show("domain", "create", "cli-domain")
	c.run("domain", "set", "--disable", "cli-domain")
	c.run("domain", "delete", "cli-domain")
	c.show("role", "create", "cli-prior")
	c.run("implied", "role", "create", "cli-prior", "--implied-role", "reader")
	require.Contains(c.t, c.list("Prior Role Name", "implied", "role", "list"), "cli-prior")
	c.run("implied", "role", "delete", "cli-prior", "--implied-role", "reader")
	c.run("role", "set", "--name", "cli-later", "cli-prior")
	c.run("role", "add", "--system", "all", "--user", "admin", "cli-later")
	c.run("role", "remove", "--system", "all", "--user", "admin", "cli-later")
	c.run("role", "delete", "cli-later")
	require.NotEmpty(c.t, c.show("application", "credential", "create", "cli-credential")["secret"])
	require.Contains(c.t, c.list("Name", "application", "credential", "list"), "cli-credential")
	c.run("application", "credential", "delete", "cli-credential")
	c.run("token", "revoke", fmt.Sprint(c.show("token", "issue")["id"]))
}

func moreImage(c *cli) {
	project := fmt.Sprint(c.show("project", "create", "cli-friends")["id"])
	id := fmt.Sprint(c.show("image", "create", "--disk-format", "raw", "--container-format", "bare", "--file", c.smallImage(60_000), "--tag", "blue", "--shared", "cli-shared")["id"])
	c.show("image", "add", "project", id, project)
	require.Equal(c.t, []any{project}, c.list("Member ID", "image", "member", "list", id))
	c.run("image", "remove", "project", id, project)
	c.run("image", "set", "--tag", "round", id)
	c.run("image", "unset", "--tag", "blue", id)
	require.Equal(c.t, []any{"round"}, c.show("image", "show", id)["tags"])
	c.run("image", "set", "--deactivate", id)
	require.Equal(c.t, "deactivated", c.show("image", "show", id)["status"])
	c.run("image", "set", "--activate", id)
	require.Equal(c.t, "active", c.show("image", "show", id)["status"])
	c.run("image", "delete", id)
	c.run("project", "delete", project)
}

func moreNetwork(c *cli) {
	agents := c.list("ID", "network", "agent", "list")
	require.NotEmpty(c.t, agents)
	agent := fmt.Sprint(agents[0])
	require.Equal(c.t, agent, c.show("network", "agent", "show", agent)["id"])
	c.run("network", "agent", "set", "--description", "checked", agent)
	require.Contains(c.t, c.list("Zone Name", "availability", "zone", "list", "--network"), "nova")
	c.show("network", "create", "cli-counted")
	c.show("subnet", "create", "--network", "cli-counted", "--subnet-range", "10.60.0.0/24", "cli-counted")
	require.EqualValues(c.t, 253, c.show("ip", "availability", "show", "cli-counted")["total_ips"])
	c.show("security", "group", "create", "cli-rules")
	rule := fmt.Sprint(c.show("security", "group", "rule", "create", "--protocol", "tcp", "--dst-port", "22", "cli-rules")["id"])
	require.Equal(c.t, rule, c.show("security", "group", "rule", "show", rule)["id"])
	c.run("security", "group", "rule", "delete", rule)
	c.run("security", "group", "delete", "cli-rules")
	c.run("network", "delete", "cli-counted")
	c.run("quota", "set", "--networks", "50", "admin")
	require.NotEmpty(c.t, c.list("Alias", "extension", "list", "--network"))
}

func moreVolume(c *cli) {
	c.show("volume", "create", "--size", "1", "--property", "colour=blue", "cli-more")
	c.until("status", "available", "volume", "show", "cli-more")
	c.run("volume", "set", "--property", "shape=round", "--bootable", "cli-more")
	c.run("volume", "unset", "--property", "colour", "cli-more")
	c.run("volume", "set", "--read-only", "cli-more")
	c.run("volume", "set", "--image-property", "os_distro=none", "cli-more")
	c.run("volume", "unset", "--image-property", "os_distro", "cli-more")
	c.show("volume", "snapshot", "create", "--volume", "cli-more", "--property", "colour=blue", "cli-moment")
	c.until("status", "available", "volume", "snapshot", "show", "cli-moment")
	c.run("volume", "snapshot", "set", "--property", "shape=round", "--name", "cli-then", "cli-moment")
	c.run("volume", "snapshot", "unset", "--property", "colour", "cli-then")
	c.run("volume", "snapshot", "delete", "cli-then")
	for len(c.list("Name", "volume", "snapshot", "list")) > 0 {
		continue // it goes in its own time
	}
	c.run("volume", "delete", "--force", "cli-more")
	require.NotEmpty(c.t, c.list("Host", "volume", "service", "list", "--service", "cinder-volume"))
	require.Contains(c.t, c.list("Zone Name", "availability", "zone", "list", "--volume"), "nova")
}

func moreCompute(c *cli) {
	host := fmt.Sprint(c.list("Hypervisor Hostname", "hypervisor", "list")[0])
	require.Equal(c.t, host, c.show("hypervisor", "show", host)["hypervisor_hostname"])
	require.NotEmpty(c.t, c.list("Hypervisor Hostname", "hypervisor", "list", "--matching", host))
	c.run("usage", "list")
	c.run("usage", "show")
	require.NotEmpty(c.t, c.list("Name", "limits", "show", "--absolute"))
	c.run("compute", "service", "set", "--disable", "--disable-reason", "being mended", host, "nova-compute")
	c.run("compute", "service", "set", "--enable", host, "nova-compute")
	c.show("aggregate", "create", "--zone", "cli-zone", "cli-hosts")
	c.run("aggregate", "add", "host", "cli-hosts", host)
	c.run("aggregate", "set", "--property", "colour=blue", "cli-hosts")
	require.Contains(c.t, fmt.Sprint(c.show("aggregate", "show", "cli-hosts")["hosts"]), host)
	c.run("aggregate", "remove", "host", "cli-hosts", host)
	c.run("aggregate", "delete", "cli-hosts")
	c.show("flavor", "create", "--ram", "64", "--disk", "1", "--vcpus", "1", "--private", "cli-private")
	c.run("flavor", "set", "--project", "admin", "--property", "hw:cpu_policy=shared", "cli-private")
	c.run("flavor", "unset", "--project", "admin", "--property", "hw:cpu_policy", "cli-private")
	c.run("flavor", "delete", "cli-private")
	c.run("quota", "set", "--instances", "20", "admin")
	require.NotEmpty(c.t, c.show("quota", "show", "--default"))

	c.run("image", "create", "--disk-format", "raw", "--container-format", "bare", "--file", c.smallImage(60_000), "cli-more-image")
	c.show("network", "create", "cli-more")
	c.show("subnet", "create", "--network", "cli-more", "--subnet-range", "10.70.0.0/24", "cli-more")
	c.show("server", "create", "--image", "cli-more-image", "--flavor", "m1.nano", "--network", "cli-more", "--wait", "cli-more")
	port := fmt.Sprint(c.show("port", "create", "--network", "cli-more", "cli-more")["id"])
	c.run("server", "add", "port", "cli-more", port)
	c.until("addresses", "10.70.0.", "server", "show", "cli-more")
	c.run("server", "remove", "port", "cli-more", port)
	c.run("server", "set", "--state", "error", "cli-more")
	c.until("status", "ERROR", "server", "show", "cli-more")
	c.run("server", "set", "--state", "active", "cli-more")
	c.until("status", "ACTIVE", "server", "show", "cli-more")
	c.run("server", "delete", "--wait", "cli-more")
	c.run("image", "delete", "cli-more-image")
	c.run("port", "delete", port)
	c.run("network", "delete", "cli-more")
}
