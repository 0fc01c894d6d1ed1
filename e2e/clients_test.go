//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	nephoscloud "github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/e2e/compat"
)

// cli runs OpenStack's own command against a cloud, as one user. One process
// runs many commands, for it takes seconds to start.
type cli struct {
	t   *testing.T
	rec *compat.Recorder // learns which command uses what
	env map[string]string
	in  *json.Encoder
	out *json.Decoder
}

// newCLI starts a command in the environment.
func newCLI(t *testing.T, rec *compat.Recorder, env map[string]string) *cli {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "commands.py")
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PYTHONWARNINGS=ignore")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the command ended: %v: %s", err, stderr.String())
		}
	})
	return &cli{t, rec, env, json.NewEncoder(in), json.NewDecoder(out)}
}

// try runs a command and returns what it wrote to its standard output.
func (c *cli) try(args ...string) (string, error) {
	var answer struct {
		Code     int
		Out, Err string
	}
	c.rec.During(command(args))
	defer c.rec.During("")
	require.NoError(c.t, c.in.Encode([]any{args, c.env}))
	require.NoError(c.t, c.out.Decode(&answer), "openstack %v", args)
	if answer.Code != 0 {
		return "", fmt.Errorf("openstack %s: %s", strings.Join(args, " "), answer.Err)
	}
	return strings.TrimSpace(answer.Out), nil
}

// word is one of a command's own, such as "server" and "create"; the first that
// is none begins its arguments.
var word = regexp.MustCompile(`^[a-z]+$`)

func command(args []string) string {
	n := slices.IndexFunc(args, func(a string) bool { return !word.MatchString(a) })
	if n < 0 {
		n = len(args)
	}
	return "openstack " + strings.Join(args[:n], " ")
}

func (c *cli) run(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	require.NoError(c.t, err)
	return out
}

// show runs a command that shows one thing.
func (c *cli) show(args ...string) map[string]any {
	c.t.Helper()
	var v map[string]any
	out := c.run(append(args, "-f", "json")...)
	require.NoError(c.t, json.Unmarshal([]byte(out), &v), "%v: %s", args, out)
	return v
}

// list runs a command that lists things, and returns one column of them.
func (c *cli) list(column string, args ...string) []any {
	c.t.Helper()
	var rows []map[string]any
	out := c.run(append(args, "-f", "json")...)
	require.NoError(c.t, json.Unmarshal([]byte(out), &rows), "%v: %s", args, out)
	values := []any{}
	for _, r := range rows {
		require.Contains(c.t, r, column, "%v", args)
		values = append(values, r[column])
	}
	return values
}

// until repeats a show until the field's value holds the text.
func (c *cli) until(field string, want any, args ...string) {
	c.t.Helper()
	late := time.Now().Add(patience)
	for {
		got := c.show(args...)
		if strings.Contains(fmt.Sprint(got[field]), fmt.Sprint(want)) {
			return
		}
		require.True(c.t, time.Now().Before(late), "%v: %s is %v, not %v", args, field, got[field], want)
	}
}

// refused runs a command that must fail with the text.
func (c *cli) refused(text string, args ...string) {
	c.t.Helper()
	_, err := c.try(args...)
	require.ErrorContains(c.t, err, text)
}

// TestOpenStackCommand walks the command through every service.
func TestOpenStackCommand(t *testing.T) {
	needE2E(t)
	if _, err := os.Stat("/usr/bin/openstack"); err != nil {
		t.Skip("/usr/bin/openstack (package python3-openstackclient) is missing")
	}
	dir := filepath.Join(t.TempDir(), "data")
	newCloud(t, dir, "-drivers", "fake")
	file := filepath.Join(dir, "clouds.yaml")
	// As processes of their own, as they are used.
	for _, args := range []string{"token issue -f value -c id", "catalog list", "server list --all-projects"} {
		cmd := exec.Command("/usr/bin/openstack", strings.Fields(args)...)
		cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+file, "OS_CLOUD=nephos")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	// Each walk has a cloud of its own, which notes which command uses what.
	evidence, mu := compat.Evidence{}, sync.Mutex{}
	t.Run("walks", func(t *testing.T) {
		for name, walks := range map[string][]func(*cli){
			"identity": {walkIdentity, moreIdentity}, "image": {walkImage, moreImage}, "network": {walkNetwork, moreNetwork},
			"volume": {walkVolume, moreVolume}, "compute": {walkCompute, moreCompute},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				rec := compat.NewRecorder()
				c := cloudtest.New(t, cloudtest.Options{Live: true, Listen: true, Compose: func(cfg *nephoscloud.Config) { cfg.Observe = rec.Observe }})
				command := newCLI(t, rec, map[string]string{
					"OS_AUTH_URL": c.AuthURL, "OS_USERNAME": "admin", "OS_PASSWORD": cloudtest.AdminPassword, "OS_PROJECT_NAME": "admin",
					"OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default", "OS_IDENTITY_API_VERSION": "3",
				})
				for _, walk := range walks {
					walk(command)
				}
				mu.Lock()
				defer mu.Unlock()
				evidence.Merge(rec.Evidence())
			})
		}
	})
	if t.Failed() {
		return
	}
	wrong, err := compat.Check(compat.OpenStack, evidence)
	require.NoError(t, err)
	for _, w := range wrong {
		t.Error(w)
	}
}

func walkIdentity(c *cli) {
	require.NotEmpty(c.t, c.show("token", "issue")["id"])
	require.Subset(c.t, c.list("Type", "catalog", "list"), []any{"identity", "image", "compute", "network", "volumev3", "placement"})
	require.Contains(c.t, c.list("Service Type", "endpoint", "list"), "compute")
	require.Contains(c.t, c.list("Type", "service", "list"), "network")
	require.Contains(c.t, c.list("Region", "region", "list"), "RegionOne")
	require.Contains(c.t, c.list("ID", "domain", "list"), "default")
	project := c.show("project", "create", "--description", "of the test", "cli-project")
	require.Equal(c.t, "of the test", project["description"])
	require.Contains(c.t, c.list("Name", "project", "list"), "cli-project")
	c.run("project", "set", "--description", "changed", "cli-project")
	require.Equal(c.t, "changed", c.show("project", "show", "cli-project")["description"])
	c.refused("409", "project", "create", "cli-project")
	user := c.show("user", "create", "--password", "open sesame", "--email", "u@example.org", "cli-user")
	require.Equal(c.t, true, user["enabled"])
	c.show("role", "create", "cli-role")
	c.run("role", "add", "--project", "cli-project", "--user", "cli-user", "cli-role")
	c.run("role", "add", "--project", "cli-project", "--user", "cli-user", "member")
	require.ElementsMatch(c.t, []any{"cli-role", "member"},
		c.list("Role", "role", "assignment", "list", "--names", "--user", "cli-user", "--project", "cli-project"))
	url := c.list("URL", "endpoint", "list", "--service", "identity", "--interface", "public")[0]
	as := func(password string) *cli {
		return newCLI(c.t, c.rec, map[string]string{
			"OS_AUTH_URL": fmt.Sprint(url) + "/v3", "OS_USERNAME": "cli-user", "OS_PASSWORD": password, "OS_PROJECT_NAME": "cli-project",
			"OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default", "OS_IDENTITY_API_VERSION": "3",
		})
	}
	as("wrong").refused("401", "token", "issue")
	them := as("open sesame")
	require.Equal(c.t, user["id"], them.show("token", "issue")["user_id"])
	them.refused("403", "user", "list")
	c.run("role", "remove", "--project", "cli-project", "--user", "cli-user", "cli-role")
	c.run("role", "delete", "cli-role")
	c.show("group", "create", "cli-group")
	c.run("group", "add", "user", "cli-group", "cli-user")
	require.Equal(c.t, []any{"cli-user"}, c.list("Name", "user", "list", "--group", "cli-group"))
	c.run("group", "delete", "cli-group")
	c.run("user", "delete", "cli-user")
	c.run("project", "delete", "cli-project")
	require.NotContains(c.t, c.list("Name", "project", "list"), "cli-project")
}

// smallImage is a file with the given number of bytes.
func (c *cli) smallImage(size int) string {
	path := filepath.Join(c.t.TempDir(), "image.raw")
	require.NoError(c.t, os.WriteFile(path, bytes.Repeat([]byte("nephos"), size/6), 0o600))
	return path
}

func walkImage(c *cli) {
	path := c.smallImage(600_000)
	img := c.show("image", "create", "--disk-format", "raw", "--container-format", "bare", "--min-ram", "64", "--property", "colour=blue", "--file", path, "cli-image")
	uploaded := c.show("image", "show", "cli-image") // what create shows is from before the upload
	require.Equal(c.t, "active", uploaded["status"])
	require.EqualValues(c.t, 600_000, uploaded["size"])
	require.Contains(c.t, c.list("Name", "image", "list"), "cli-image")
	c.run("image", "set", "--name", "cli-image-2", "--property", "shape=round", "cli-image")
	shown := c.show("image", "show", "cli-image-2")
	require.Equal(c.t, img["id"], shown["id"])
	require.Contains(c.t, fmt.Sprint(shown["properties"]), "round")
	require.Contains(c.t, fmt.Sprint(shown["properties"]), "blue")
	c.run("image", "unset", "--property", "colour", "cli-image-2")
	require.NotContains(c.t, fmt.Sprint(c.show("image", "show", "cli-image-2")["properties"]), "blue")
	saved := filepath.Join(c.t.TempDir(), "saved")
	c.run("image", "save", "--file", saved, "cli-image-2")
	want, err := os.ReadFile(path)
	require.NoError(c.t, err)
	got, err := os.ReadFile(saved)
	require.NoError(c.t, err)
	require.Equal(c.t, want, got)
	c.run("image", "set", "--protected", "cli-image-2")
	c.refused("403", "image", "delete", "cli-image-2")
	c.run("image", "set", "--unprotected", "cli-image-2")
	c.run("image", "delete", "cli-image-2")
	require.NotContains(c.t, c.list("Name", "image", "list"), "cli-image-2")
}

func walkNetwork(c *cli) {
	require.Equal(c.t, []any{"public"}, c.list("Name", "network", "list", "--external"))
	require.Equal(c.t, "ACTIVE", c.show("network", "create", "cli-net")["status"])
	c.run("network", "set", "--description", "mine", "cli-net")
	sub := c.show("subnet", "create", "--network", "cli-net", "--subnet-range", "10.30.0.0/24", "--dns-nameserver", "192.0.2.53", "cli-subnet")
	require.Equal(c.t, "10.30.0.1", sub["gateway_ip"])
	require.Contains(c.t, c.list("Name", "subnet", "list", "--network", "cli-net"), "cli-subnet")
	c.show("router", "create", "cli-router")
	c.run("router", "set", "--external-gateway", "public", "cli-router")
	c.run("router", "add", "subnet", "cli-router", "cli-subnet")
	router := c.show("router", "show", "cli-router")
	require.Equal(c.t, "ACTIVE", router["status"])
	require.Contains(c.t, fmt.Sprint(router["interfaces_info"]), "10.30.0.1")
	c.show("security", "group", "create", "cli-group")
	rule := c.show("security", "group", "rule", "create", "--protocol", "tcp", "--dst-port", "22:23", "--remote-ip", "192.0.2.0/24", "cli-group")
	require.EqualValues(c.t, 22, rule["port_range_min"])
	require.Contains(c.t, c.list("ID", "security", "group", "rule", "list", "cli-group"), rule["id"])
	port := c.show("port", "create", "--network", "cli-net", "--fixed-ip", "subnet=cli-subnet,ip-address=10.30.0.77", "--security-group", "cli-group", "cli-port")
	require.Contains(c.t, fmt.Sprint(port["fixed_ips"]), "10.30.0.77")
	c.refused("409", "port", "create", "--network", "cli-net", "--fixed-ip", "subnet=cli-subnet,ip-address=10.30.0.77", "cli-port-2")
	float := c.show("floating", "ip", "create", "public")
	address := fmt.Sprint(float["floating_ip_address"])
	c.run("floating", "ip", "set", "--port", "cli-port", address)
	require.Equal(c.t, "10.30.0.77", c.show("floating", "ip", "show", address)["fixed_ip_address"])
	c.run("port", "set", "--name", "cli-port-renamed", "--allowed-address", "ip-address=10.30.0.99", "cli-port")
	require.Contains(c.t, fmt.Sprint(c.show("port", "show", "cli-port-renamed")["allowed_address_pairs"]), "10.30.0.99")
	require.NotEmpty(c.t, c.list("ID", "network", "agent", "list"))
	require.NotEmpty(c.t, c.list("Alias", "extension", "list", "--network"))
	c.run("floating", "ip", "unset", "--port", address)
	c.run("floating", "ip", "delete", address)
	c.run("port", "delete", "cli-port-renamed")
	c.refused("409", "network", "delete", "cli-net")
	c.run("router", "remove", "subnet", "cli-router", "cli-subnet")
	c.run("router", "delete", "cli-router")
	c.run("security", "group", "delete", "cli-group")
	c.run("network", "delete", "cli-net")
	require.NotContains(c.t, c.list("Name", "network", "list"), "cli-net")
}

func walkVolume(c *cli) {
	c.show("volume", "create", "--size", "1", "--description", "mine", "--property", "colour=blue", "cli-volume")
	c.until("status", "available", "volume", "show", "cli-volume")
	require.Contains(c.t, c.list("Name", "volume", "list"), "cli-volume")
	c.run("volume", "set", "--property", "shape=round", "--name", "cli-volume-2", "cli-volume")
	require.Contains(c.t, fmt.Sprint(c.show("volume", "show", "cli-volume-2")["properties"]), "round")
	c.run("volume", "set", "--size", "2", "cli-volume-2")
	c.until("size", 2, "volume", "show", "cli-volume-2")
	c.until("status", "available", "volume", "show", "cli-volume-2")
	c.show("volume", "snapshot", "create", "--volume", "cli-volume-2", "cli-snapshot")
	c.until("status", "available", "volume", "snapshot", "show", "cli-snapshot")
	require.Contains(c.t, c.list("Name", "volume", "snapshot", "list"), "cli-snapshot")
	c.refused("", "volume", "delete", "cli-volume-2") // it has a snapshot
	c.show("volume", "create", "--snapshot", "cli-snapshot", "cli-restored")
	c.until("status", "available", "volume", "show", "cli-restored")
	require.EqualValues(c.t, 2, c.show("volume", "show", "cli-restored")["size"])
	require.NotEmpty(c.t, c.list("Name", "volume", "type", "list"))
	require.NotEmpty(c.t, c.list("Binary", "volume", "service", "list"))
	c.run("volume", "snapshot", "delete", "cli-snapshot")
	late := time.Now().Add(patience)
	for len(c.list("Name", "volume", "snapshot", "list")) > 0 {
		require.True(c.t, time.Now().Before(late), "the snapshot stays")
	}
	c.run("volume", "delete", "cli-volume-2", "cli-restored")
	for len(c.list("Name", "volume", "list", "--name", "cli-restored"))+len(c.list("Name", "volume", "list", "--name", "cli-volume-2")) > 0 {
		require.True(c.t, time.Now().Before(late), "the volumes stay")
	}
}

func walkCompute(c *cli) {
	c.run("image", "create", "--disk-format", "raw", "--container-format", "bare", "--file", c.smallImage(600_000), "cli-boot")
	c.run("network", "create", "cli-lan")
	c.run("subnet", "create", "--network", "cli-lan", "--subnet-range", "10.40.0.0/24", "cli-lan")
	c.run("router", "create", "cli-lan")
	c.run("router", "set", "--external-gateway", "public", "cli-lan")
	c.run("router", "add", "subnet", "cli-lan", "cli-lan")
	c.run("volume", "create", "--size", "1", "cli-disk")
	c.show("flavor", "create", "--ram", "128", "--disk", "1", "--vcpus", "1", "--property", "hw:cpu_policy=shared", "cli-flavor")
	require.Contains(c.t, c.list("Name", "flavor", "list"), "cli-flavor")
	require.EqualValues(c.t, 128, c.show("flavor", "show", "cli-flavor")["ram"])
	_, key := newKey(c.t)
	path := filepath.Join(c.t.TempDir(), "key.pub")
	require.NoError(c.t, os.WriteFile(path, []byte(key+"\n"), 0o600))
	c.show("keypair", "create", "--public-key", path, "cli-key")
	require.Contains(c.t, c.list("Name", "keypair", "list"), "cli-key")
	require.NotEmpty(c.t, c.show("keypair", "show", "cli-key")["fingerprint"])

	server := c.show("server", "create", "--image", "cli-boot", "--flavor", "cli-flavor", "--network", "cli-lan", "--key-name", "cli-key",
		"--property", "colour=blue", "--wait", "cli-server")
	require.Equal(c.t, "ACTIVE", server["status"])
	require.Equal(c.t, []any{"cli-server"}, c.list("Name", "server", "list"))
	shown := c.show("server", "show", "cli-server")
	require.Contains(c.t, fmt.Sprint(shown["addresses"]), "10.40.0.")
	require.Contains(c.t, fmt.Sprint(shown["flavor"]), "cli-flavor")
	require.Contains(c.t, fmt.Sprint(shown["image"]), "cli-boot")
	c.run("server", "stop", "cli-server")
	c.until("status", "SHUTOFF", "server", "show", "cli-server")
	c.run("server", "start", "cli-server")
	c.until("status", "ACTIVE", "server", "show", "cli-server")
	c.run("server", "pause", "cli-server")
	c.until("status", "PAUSED", "server", "show", "cli-server")
	c.refused("409", "server", "stop", "cli-server")
	c.run("server", "unpause", "cli-server")
	c.until("status", "ACTIVE", "server", "show", "cli-server")
	c.run("server", "reboot", "--wait", "cli-server")
	c.run("server", "reboot", "--hard", "--wait", "cli-server")

	c.show("server", "add", "volume", "cli-server", "cli-disk")
	c.until("status", "in-use", "volume", "show", "cli-disk")
	require.NotEmpty(c.t, c.list("Device", "server", "volume", "list", "cli-server"))
	c.run("server", "remove", "volume", "cli-server", "cli-disk")
	c.until("status", "available", "volume", "show", "cli-disk")
	float := fmt.Sprint(c.show("floating", "ip", "create", "public")["floating_ip_address"])
	c.run("server", "add", "floating", "ip", "cli-server", float)
	c.until("addresses", float, "server", "show", "cli-server")
	c.run("server", "remove", "floating", "ip", "cli-server", float)
	c.run("floating", "ip", "delete", float)
	c.run("security", "group", "create", "cli-guard")
	port := fmt.Sprint(c.list("ID", "port", "list", "--server", "cli-server")[0])
	c.run("port", "set", "--security-group", "cli-guard", port)
	guard := fmt.Sprint(c.show("security", "group", "show", "cli-guard")["id"])
	require.Contains(c.t, fmt.Sprint(c.show("port", "show", port)["security_group_ids"]), guard)
	c.run("port", "unset", "--security-group", guard, port)
	c.run("server", "add", "security", "group", "cli-server", "cli-guard")
	c.until("security_groups", "cli-guard", "server", "show", "cli-server")
	c.run("server", "remove", "security", "group", "cli-server", "cli-guard")
	c.run("server", "suspend", "cli-server")
	c.until("status", "SUSPENDED", "server", "show", "cli-server")
	c.run("server", "resume", "cli-server")
	c.until("status", "ACTIVE", "server", "show", "cli-server")

	c.run("console", "log", "show", "cli-server")
	require.Contains(c.t, fmt.Sprint(c.show("console", "url", "show", "--novnc", "cli-server")["url"]), "token")
	require.NotEmpty(c.t, c.show("console", "url", "show", "--serial", "cli-server")["url"])
	events := c.list("Action", "server", "event", "list", "cli-server")
	for _, action := range []any{"create", "stop", "start", "pause", "unpause", "reboot", "attach_volume", "detach_volume"} {
		require.Contains(c.t, events, action)
	}
	request := c.list("Request ID", "server", "event", "list", "cli-server")[0]
	require.NotEmpty(c.t, c.show("server", "event", "show", "cli-server", fmt.Sprint(request))["action"])
	c.run("server", "set", "--name", "cli-server-2", "--property", "shape=round", "cli-server")
	require.Contains(c.t, fmt.Sprint(c.show("server", "show", "cli-server-2")["properties"]), "round")
	c.run("server", "lock", "cli-server-2")
	c.run("server", "unlock", "cli-server-2")
	images := []string{"cli-boot"}
	switch _, err := c.try("server", "image", "create", "--name", "cli-copy", "--wait", "cli-server-2"); {
	case err != nil && strings.Contains(err.Error(), "501"): // it is not built
	default:
		require.NoError(c.t, err)
		require.Equal(c.t, "active", c.show("image", "show", "cli-copy")["status"])
		images = append(images, "cli-copy")
	}

	require.Len(c.t, c.list("Hypervisor Hostname", "hypervisor", "list"), 3)
	require.Contains(c.t, c.list("Binary", "compute", "service", "list"), "nova-compute")
	require.Contains(c.t, c.list("Zone Name", "availability", "zone", "list", "--compute"), "nova")
	c.show("server", "group", "create", "--policy", "anti-affinity", "cli-apart")
	c.run("server", "group", "delete", "cli-apart")
	c.show("aggregate", "create", "cli-aggregate")
	c.run("aggregate", "delete", "cli-aggregate")
	require.NotEmpty(c.t, c.show("quota", "show"))
	c.refused("No server with a name or ID", "server", "show", "nobody")

	c.run("server", "delete", "--wait", "cli-server-2")
	require.Empty(c.t, c.list("Name", "server", "list"))
	c.run("keypair", "delete", "cli-key")
	c.run("flavor", "delete", "cli-flavor")
	c.run(append([]string{"image", "delete"}, images...)...)
	c.run("volume", "delete", "cli-disk")
	c.run("router", "remove", "subnet", "cli-lan", "cli-lan")
	c.run("router", "delete", "cli-lan")
	c.run("network", "delete", "cli-lan")
}
