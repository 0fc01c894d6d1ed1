package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// config is what the program can be told, by flag, by environment variable
// (NEPHOS_ and the flag's name in capitals) or by a YAML file of flag names, in
// this order of precedence.
type config struct {
	data      string
	listen    string
	publicURL string
	region    string
	database  string
	drivers   string

	hypervisor, network, volumes, images choices

	hosts     int
	insecure  bool
	cert, key string
	ports     bool
	policy    string
	scheduler string
	external  string
	qemuUser  int
	logLevel  string
	logJSON   bool
	trace     string
	record    string
	profile   string
	faults    bool

	origin map[string]string // flag: default, file, environment or flag
}

const usage = `allinone runs a whole OpenStack-compatible cloud in one process.

Usage: allinone [flags]

Once it is ready, DIR/clouds.yaml and DIR/openrc tell clients how to use it:

    export OS_CLIENT_CONFIG_FILE=DIR/clouds.yaml OS_CLOUD=nephos
    openstack server list

It stops on SIGTERM or interrupt; guests run on, and the next start on the same
DIR finds them. Each flag can also be set by an environment variable
(-public-url is NEPHOS_PUBLIC_URL) or in the YAML file that -config names.

Flags:
`

func parse(args []string, env func(string) (string, bool), out io.Writer) (*config, error) {
	c := &config{origin: map[string]string{}}
	fs := flag.NewFlagSet("allinone", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.Usage = func() { fmt.Fprint(out, usage); fs.PrintDefaults() }
	file := fs.String("config", "", "a YAML `file` with these flags' names as keys")
	fs.StringVar(&c.data, "data", "data", "the `directory` that keeps everything")
	fs.StringVar(&c.listen, "listen", "127.0.0.1:8774", "`host:port` to serve all APIs on; port 0 picks a free one")
	fs.StringVar(&c.publicURL, "public-url", "", "the `URL` that clients reach -listen by, for the catalog (default http or https and the address)")
	fs.StringVar(&c.region, "region", "RegionOne", "the region's `name`")
	fs.StringVar(&c.database, "database", "", "the database's `URL`: sqlite:PATH or postgres://… (default a SQLite file in the data directory)")
	fs.StringVar(&c.drivers, "drivers", "auto", "`which` drivers: real (QEMU and Linux networking), fake, or auto: real when this machine can run them")
	fs.Var(&c.hypervisor, "hypervisor", "the `driver` that runs guests: qemu[,dedicated-cpus=2-7], fake or a plugin's path, with its options\n"+
		"behind commas (for plugins arg=, env=, dir=, root=, sha256=, uid=, gid=, memory=, processes=, files=, cpus=, cgroup=)")
	fs.Var(&c.network, "network", "the `driver` that carries networks: linux, fake or a plugin's path")
	fs.Var(&c.volumes, "volumes", "a `driver` of volumes: file[,dir=][,format=raw|qcow2][,size=GiB] or a plugin's path; each\n"+
		"further one, told apart by name=, is a pool of its own (default file)")
	fs.Var(&c.images, "images", "a `driver` of image bytes: file[,dir=], s3,endpoint=,bucket=[,prefix=][,region=][,keys=FILE],\n"+
		"http,base=URL[,allow=CIDR] (read only) or a plugin's path; the first is the default, uploads may name another by its name= (default file)")
	fs.IntVar(&c.hosts, "hosts", 3, "how `many` hosts to simulate with fake drivers")
	fs.BoolVar(&c.insecure, "insecure", false, "serve without TLS on an address other than loopback")
	fs.StringVar(&c.cert, "tls-cert", "", "a PEM `file` with the server's certificate")
	fs.StringVar(&c.key, "tls-key", "", "a PEM `file` with its key")
	fs.BoolVar(&c.ports, "separate-ports", false, "listen on OpenStack's own ports too: 5000, 8774, 8776, 8778, 9292, 9696")
	fs.StringVar(&c.policy, "policy", "", "an oslo.policy `file` whose rules override the defaults; it is read again when it changes")
	fs.StringVar(&c.scheduler, "scheduler", "", "a JSON `file` of filters and weighers that choose hosts (default Nova's); see package scheduler/config")
	fs.StringVar(&c.external, "external", "172.24.4.1/24", "this machine's `address` on the external network \"public\", with real drivers")
	fs.IntVar(&c.qemuUser, "qemu-uid", 64055, "the `uid` that guests run under, with real drivers")
	fs.StringVar(&c.logLevel, "log", "info", "`level`: debug, info, warn or error")
	fs.BoolVar(&c.logJSON, "log-json", false, "log JSON instead of text")
	fs.StringVar(&c.record, "record", "", "append what the scheduler sees and decides to this `file`, for \"scheduler/lab replay\"")
	fs.StringVar(&c.trace, "trace", "", "append OpenTelemetry spans to this `file`, one JSON object a line")
	fs.StringVar(&c.profile, "profile", "", "serve Go's profiles of this program at /debug/pprof/ on this loopback `host:port`")
	fs.BoolVar(&c.faults, "faults", false, "let admins make the cloud fail on purpose, by the rules of the API at /faults")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	fs.VisitAll(func(f *flag.Flag) { c.origin[f.Name] = "default" })
	fs.Visit(func(f *flag.Flag) { c.origin[f.Name] = "flag" })
	var errs []error
	fs.VisitAll(func(f *flag.Flag) {
		name := "NEPHOS_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := env(name); ok && c.origin[f.Name] == "default" {
			for _, one := range severally(f, v) {
				if err := f.Value.Set(one); err != nil {
					errs = append(errs, fmt.Errorf("%s: %q: %w", name, one, err))
				}
			}
			c.origin[f.Name] = "environment"
		}
	})
	if *file != "" {
		errs = append(errs, c.readFile(fs, *file))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, c.check()
}

// severally takes apart what an environment variable says of a flag that may be
// given several times: words between blanks.
func severally(f *flag.Flag, value string) []string {
	if _, ok := f.Value.(*choices); ok {
		return strings.Fields(value)
	}
	return []string{value}
}

func (c *config) readFile(fs *flag.FlagSet, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	values := map[string]any{}
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the configuration %s: %w", path, err)
	}
	for name, v := range values {
		f := fs.Lookup(name)
		if f == nil || name == "config" {
			return fmt.Errorf("%s: there is no setting %q; see allinone -h", path, name)
		}
		if c.origin[name] != "default" {
			continue
		}
		list, ok := v.([]any)
		if _, several := f.Value.(*choices); !ok || !several {
			list = []any{v}
		}
		for _, one := range list {
			if err := f.Value.Set(fmt.Sprint(one)); err != nil {
				return fmt.Errorf("%s: %s: %q: %w", path, name, fmt.Sprint(one), err)
			}
		}
		c.origin[name] = "file"
	}
	return nil
}

func (c *config) check() error {
	if c.data == "" {
		return errors.New("-data must name a directory")
	}
	var err error
	if c.data, err = filepath.Abs(c.data); err != nil {
		return err
	}
	if err := c.checkChoices(); err != nil {
		return err
	}
	if c.drivers != "auto" && c.drivers != "real" && c.drivers != "fake" {
		return fmt.Errorf("-drivers %q: use auto, real or fake", c.drivers)
	}
	if c.hosts < 1 || c.hosts > 1000 {
		return fmt.Errorf("-hosts %d: use 1 to 1000", c.hosts)
	}
	if (c.cert == "") != (c.key == "") {
		return errors.New("-tls-cert and -tls-key go together")
	}
	if c.profile != "" && !onLoopback(c.profile) {
		return fmt.Errorf("-profile %q: profiles tell secrets, so they are served on loopback only, such as 127.0.0.1:6060", c.profile)
	}
	host, _, err := net.SplitHostPort(c.listen)
	if err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	ip := net.ParseIP(host)
	if c.publicURL == "" && (host == "" || ip != nil && ip.IsUnspecified()) {
		return fmt.Errorf("-listen %s is every address of this machine: say by -public-url which one clients shall use", c.listen)
	}
	if u, err := url.Parse(c.publicURL); c.publicURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("-public-url %q is not a URL such as https://cloud.example.org", c.publicURL)
	}
	loopback := host == "localhost" || ip != nil && ip.IsLoopback()
	if !loopback && c.cert == "" && !c.insecure {
		return fmt.Errorf("-listen %s is reachable from other machines: give -tls-cert and -tls-key, or say -insecure", c.listen)
	}
	return nil
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
