package main

import (
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/plugin"
	"github.com/nephos-cloud/nephos/driver/volume"
)

func TestDriversThatClash(t *testing.T) {
	for says, args := range map[string][]string{
		"-volumes: two are called file: tell them apart by name=": {"-volumes", "file", "-volumes", "file,dir=/x"},
		"-images: two are called a:":                              {"-images", "file,name=a", "-images", "s3,name=a"},
		"would share the directory /srv/v":                        {"-volumes", "file,name=a,dir=/srv/v", "-volumes", "file,name=b,dir=/srv//v/"},
		"-images ./rbd,arg=-kind=blob and -volumes ./rbd would":   {"-images", "./rbd,arg=-kind=blob", "-volumes", "./rbd"},
		"-volumes ./acme and -hypervisor ./acme would":            {"-volumes", "./acme", "-hypervisor", "./acme"},
	} {
		_, err := parse(append(args, "-data", t.TempDir()), func(string) (string, bool) { return "", false }, io.Discard)
		require.ErrorContains(t, err, says)
	}
	_, err := parse([]string{"-images", "./rbd,uid=7", "-volumes", "./rbd,uid=7", "-volumes", "file"}, func(string) (string, bool) { return "", false }, io.Discard)
	require.NoError(t, err, "those have no directories")
}

func TestStoresThatOnlyRead(t *testing.T) {
	for says, text := range map[string]string{
		"neither Base nor AnyURL": "http",
		"allow is not a range":    "http,base=https://x.example/,allow=10",
		"http has no option dir":  "http,dir=/x",
	} {
		one, err := parseChoice(text)
		require.NoError(t, err)
		_, err = openBlob(t.Context(), &config{}, one, "cloud", slog.Default())
		require.ErrorContains(t, err, says)
	}
	var c config
	c.data = t.TempDir()
	require.NoError(t, c.images.Set("http,base=https://x.example/"))
	_, _, err := openStores(t.Context(), &c, "cloud", slog.Default())
	require.ErrorContains(t, err, "name another one before it")
	c.images = nil
	require.NoError(t, c.images.Set("file"))
	require.NoError(t, c.images.Set("http,base=https://x.example/,name=mirror,allow=10.1.0.0/16"))
	s, done, err := openStores(t.Context(), &c, "cloud", slog.Default())
	require.NoError(t, err)
	require.NoError(t, done.close())
	require.Equal(t, "mirror", s.images[1].Name())
}

func TestChoicesOfDrivers(t *testing.T) {
	one, err := parseChoice(`/usr/lib/acme-pool.py,name=acme,arg=-a,"arg=b,c",uid=7,cpus=0.5,cgroup=/sys/fs/cgroup/n,memory=1000,root=/srv,sha256=ff`)
	require.NoError(t, err)
	require.True(t, one.isPlugin())
	require.Equal(t, "acme", one.name())
	o, err := one.launch(t.TempDir(), "cloud", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, []string{"-a", "b,c"}, o.Args)
	require.Equal(t, []string{"/srv"}, o.Roots)
	require.Equal(t, []string{"NEPHOS_CLOUD_ID=cloud"}, o.Env)
	require.Equal(t, &plugin.User{UID: 7, GID: 7}, o.User)
	require.Equal(t, "ff", o.SHA256)
	require.Equal(t, plugin.Limits{CPUs: 0.5, Memory: 1000, Cgroup: "/sys/fs/cgroup/n"}, o.Limits)
	require.Empty(t, o.Dir)
	one, err = parseChoice("./acme-pool.py")
	require.NoError(t, err)
	data := t.TempDir()
	o, err = one.launch(data, "cloud", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(data, "plugins", "acme-pool"), o.Dir)
	require.Equal(t, "acme-pool", one.name())

	for text, says := range map[string]string{
		"":                   "is no driver",
		",dir=/x":            "is no driver",
		"file,dir":           "is not KEY=VALUE",
		"/x,magic=1":         "/x has no option magic; it has arg, cgroup",
		"/x,uid=root":        "uid is not a number",
		"/x,memory=1G":       "memory is not a number",
		"/x,cpus=half":       "cpus is not a number",
		"file,endpoint=x":    "file has no option endpoint",
		"tape":               `there is no built-in driver "tape": use file`,
		"file,size=enormous": "size is not a number",
		"file,name=":         `the name ""`,
		"file,name=../x":     `the name "../x"`,
		"./bin/ü":            `give another one by name=`,
	} {
		one, err := parseChoice(text)
		if err == nil {
			c := &config{data: t.TempDir()}
			if _, err = one.launch(c.data, "cloud", slog.Default()); err == nil || !one.isPlugin() {
				_, err = openVolumes(t.Context(), c, one, "cloud", slog.Default())
			}
		}
		require.ErrorContains(t, err, says, text)
	}
}

func TestSeveralPoolsAndStores(t *testing.T) {
	data := t.TempDir()
	c, err := parsed(t, map[string]string{"NEPHOS_IMAGES": "file file,name=archive"},
		"-data", data, "-volumes", "file", "-volumes", "file,name=small,size=1")
	require.NoError(t, err)
	s, done, err := openStores(t.Context(), c, "cloud", slog.Default())
	require.NoError(t, err)
	defer func() { require.NoError(t, done.close()) }()
	require.Equal(t, "file", s.volumes[0].Name())
	require.Equal(t, "small", s.volumes[1].Name())
	require.Equal(t, "archive", s.images[1].Name())
	require.DirExists(t, filepath.Join(data, "volumes-small"))
	require.DirExists(t, filepath.Join(data, "images-archive"))
	require.Error(t, s.volumes[1].Create(t.Context(), "v", volume.Spec{SizeGiB: 2}))

	file := filepath.Join(data, "nephos.yaml")
	require.NoError(t, os.WriteFile(file, []byte("volumes:\n  - file\n  - file,name=b\nhypervisor: fake\n"), 0o600))
	c, err = parsed(t, nil, "-config", file)
	require.NoError(t, err)
	require.Len(t, c.volumes, 2)
	require.Equal(t, "fake", c.hypervisor[0].driver)
	_, err = parsed(t, nil, "-volumes", "file,oops")
	require.ErrorContains(t, err, "is not KEY=VALUE")
}

func TestTheSchedulersFileSaysWhatPoolsWant(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join(data, "scheduler.json")
	open := func(text string) (stores, error) {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		c, err := parsed(t, nil, "-data", data, "-scheduler", file, "-volumes", "file", "-volumes", "file,name=small,size=1")
		require.NoError(t, err)
		s, done, err := openStores(t.Context(), c, "cloud", slog.Default())
		require.NoError(t, done.close())
		return s, err
	}
	s, err := open(`{"volumes": {"pools": {"small": {"filter_function": "volume.size < 2", "reserved_percentage": 10}}}}`)
	require.NoError(t, err)
	_, err = s.volumes[0].Stats(t.Context())
	require.NoError(t, err)
	stats, err := s.volumes[1].Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, volume.Placement{Filter: "volume.size < 2", ReservedPercentage: 10}, stats.Placement)
	_, err = open(`{"volumes": {"pools": {"smal": {}}}}`)
	require.ErrorContains(t, err, `there is no pool "smal"`)
	_, err = open(`{"volumes": {"pools": {"small": {"filter_function": "volume.size"}}}}`)
	require.ErrorContains(t, err, "filter_function of small")
}

// A plugin runs the guests of a host whose network is simulated.
func TestAHypervisorInAPlugin(t *testing.T) {
	program := filepath.Join(t.TempDir(), "acme")
	out, err := exec.Command("go", "build", "-o", program, "../plugin-hypervisor").CombinedOutput()
	require.NoError(t, err, "%s", out)
	c, err := parsed(t, nil, "-data", t.TempDir(), "-drivers", "fake", "-hypervisor", program)
	require.NoError(t, err)
	hosts, done, err := openHosts(t.Context(), c, "cloud", slog.Default())
	require.NoError(t, err)
	defer func() { require.NoError(t, done.close()) }()
	require.Len(t, hosts, 1)
	hv := hosts[0].Hypervisor
	require.NoError(t, hv.Ensure(t.Context(), "one", hypervisor.Spec{CloudID: "cloud", Name: "one", VCPUs: 1, MemoryMiB: 64}))
	require.NoError(t, hv.Start(t.Context(), "one"))
	g, err := hv.Get(t.Context(), "one")
	require.NoError(t, err)
	require.Equal(t, hypervisor.Running, g.State)

	c, err = parsed(t, nil, "-data", t.TempDir(), "-drivers", "fake", "-hypervisor", "/nowhere/acme")
	require.NoError(t, err)
	_, _, err = openHosts(t.Context(), c, "cloud", slog.Default())
	require.ErrorContains(t, err, "-hypervisor: launching the plugin /nowhere/acme")
	c, err = parsed(t, nil, "-data", t.TempDir(), "-hypervisor", "qemu", "-hypervisor", "fake")
	require.NoError(t, err)
	_, _, err = openHosts(t.Context(), c, "cloud", slog.Default())
	require.ErrorContains(t, err, "given more than once")
}
