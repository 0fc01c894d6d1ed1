package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos/driver/plugin"
)

// choice is a driver and its options, as a flag names it: what is built in by
// its name, a plugin by its path, and then options with commas between.
//
//	file,dir=/srv/fast,name=fast
//	/usr/lib/nephos/acme,sha256=9f86…,arg=-pool,arg=ssd,root=/srv/acme
type choice struct {
	text    string
	driver  string
	options map[string][]string
}

func parseChoice(text string) (choice, error) {
	c := choice{text: text, options: map[string][]string{}}
	r := csv.NewReader(strings.NewReader(text))
	r.LazyQuotes, r.FieldsPerRecord = true, -1
	records, err := r.ReadAll()
	if err != nil || len(records) != 1 || records[0][0] == "" {
		return c, fmt.Errorf("%q is no driver: it is a name or a path, and then options such as ,dir=/srv/fast", text)
	}
	c.driver = records[0][0]
	for _, o := range records[0][1:] {
		key, value, ok := strings.Cut(o, "=")
		if !ok || key == "" {
			return c, fmt.Errorf("%q: the option %q is not KEY=VALUE", text, o)
		}
		c.options[key] = append(c.options[key], value)
	}
	if name := c.name(); !nameOfChoice.MatchString(name) {
		return c, fmt.Errorf("%q: the name %q: give another one by name=: up to 64 letters, digits, dots, dashes and underscores, no sign first", text, name)
	}
	return c, nil
}

// nameOfChoice is what names are, which stand in the API and in paths.
var nameOfChoice = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// isPlugin reports whether the driver is a program of its own.
func (c choice) isPlugin() bool { return strings.ContainsRune(c.driver, '/') }

// name is what tells the driver apart from others of its kind.
func (c choice) name() string {
	return c.text1("name", strings.TrimSuffix(filepath.Base(c.driver), filepath.Ext(c.driver)))
}

func (c choice) text1(key, fallback string) string {
	if v := c.options[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return fallback
}

func (c choice) number(key string, fallback uint64) (uint64, error) {
	text := c.text1(key, "")
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q: %s is not a number", c.text, key)
	}
	return n, nil
}

// only refuses options other than these.
func (c choice) only(keys ...string) error {
	keys = append(keys, "name")
	for _, key := range slices.Sorted(maps.Keys(c.options)) {
		if !slices.Contains(keys, key) {
			slices.Sort(keys)
			return fmt.Errorf("%q: %s has no option %s; it has %s", c.text, c.driver, key, strings.Join(keys, ", "))
		}
	}
	return nil
}

// launch says how to start the plugin.
func (c choice) launch(data, cloudID string, log *slog.Logger) (plugin.LaunchOptions, error) {
	if err := c.only("arg", "env", "dir", "root", "sha256", "uid", "gid", "memory", "processes", "files", "cpus", "cgroup"); err != nil {
		return plugin.LaunchOptions{}, err
	}
	o := plugin.LaunchOptions{
		Args: c.options["arg"], Env: append([]string{"NEPHOS_CLOUD_ID=" + cloudID}, c.options["env"]...), Roots: c.options["root"], SHA256: c.text1("sha256", ""),
		Dir: c.text1("dir", ""), Log: log.With("driver", c.name()),
		Limits: plugin.Limits{Cgroup: c.text1("cgroup", "")}, StartTimeout: time.Minute,
	}
	if o.Dir == "" {
		if o.Dir = c.pluginDir(data); o.Dir != "" {
			if err := os.MkdirAll(filepath.Dir(o.Dir), 0o700); err != nil {
				return o, err
			}
		} else {
			o.Log.Warn("the plugin gets no directory of its own, since its user cannot search the data directory: name one by dir= if it needs it")
		}
	}
	uid, err := c.number("uid", 0)
	gid, err2 := c.number("gid", uid)
	if uid > 0 || gid > 0 {
		o.User = &plugin.User{UID: uint32(uid), GID: uint32(gid)}
	}
	var err3, err4, err5, err6 error
	o.Limits.Memory, err3 = c.number("memory", 0)
	o.Limits.Processes, err4 = c.number("processes", 0)
	o.Limits.Files, err5 = c.number("files", 0)
	if text := c.text1("cpus", ""); text != "" {
		if o.Limits.CPUs, err6 = strconv.ParseFloat(text, 64); err6 != nil {
			err6 = fmt.Errorf("%q: cpus is not a number such as 0.5", c.text)
		}
	}
	return o, errors.Join(err, err2, err3, err4, err5, err6)
}

// pluginDir is where a plugin keeps things; empty is nowhere: another user cannot
// search the data directory.
func (c choice) pluginDir(data string) string {
	if dir := c.text1("dir", ""); dir != "" {
		return dir
	}
	if len(c.options["uid"]) > 0 {
		return ""
	}
	return filepath.Join(data, "plugins", c.name())
}

// checkChoices refuses drivers of one name, and ones that would write to the same
// directory.
func (c *config) checkChoices() error {
	dirs := map[string]string{} // to who writes there
	for _, kind := range []struct {
		flag string
		list choices
		dir  func(choice) string // of a built-in driver
	}{
		{"images", orDefault(c.images, "file"), func(one choice) string { return dirOf(c, one, "images") }},
		{"volumes", orDefault(c.volumes, "file"), func(one choice) string { return dirOf(c, one, "volumes") }},
		{"hypervisor", c.hypervisor, nil},
		{"network", c.network, nil},
	} {
		names := map[string]bool{}
		for _, one := range kind.list {
			if names[one.name()] {
				return fmt.Errorf("-%s: two are called %s: tell them apart by name=", kind.flag, one.name())
			}
			names[one.name()] = true
			dir := ""
			switch {
			case one.isPlugin():
				dir = one.pluginDir(c.data)
			case one.driver == "file":
				dir = kind.dir(one)
			}
			if dir == "" {
				continue
			}
			who := fmt.Sprintf("-%s %s", kind.flag, one.text)
			if path, err := filepath.Abs(dir); err == nil {
				dir = path
			}
			if other := dirs[dir]; other != "" {
				return fmt.Errorf("%s and %s would share the directory %s: give one of them another name= or dir=", other, who, dir)
			}
			dirs[dir] = who
		}
	}
	return nil
}

// choices is a flag that may be given several times.
type choices []choice

func (c *choices) String() string {
	texts := make([]string, len(*c))
	for i, one := range *c {
		texts[i] = one.text
	}
	return strings.Join(texts, " ")
}

// Set implements flag.Value.
func (c *choices) Set(text string) error {
	one, err := parseChoice(text)
	if err != nil {
		return err
	}
	*c = append(*c, one)
	return nil
}

// single is the one choice there may be.
func (c choices) single(flag, fallback string) (choice, error) {
	switch len(c) {
	case 0:
		return choice{text: fallback, driver: fallback}, nil
	case 1:
		return c[0], nil
	}
	return choice{}, fmt.Errorf("-%s is given more than once: a host has one", flag)
}
