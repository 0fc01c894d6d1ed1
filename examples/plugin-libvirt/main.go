//go:build libvirt

package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/libvirtd"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

func main() {
	// A plugin is given next to no environment, and must find qemu-img and
	// libvirtd.
	if os.Getenv("PATH") == "" {
		_ = os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "plugin-libvirt:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("plugin-libvirt", flag.ContinueOnError)
	config := libvirt.Config{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	flags.StringVar(&config.CloudID, "cloud", os.Getenv("NEPHOS_CLOUD_ID"), "the cloud's `id`; empty takes every cloud's guests")
	flags.StringVar(&config.URI, "uri", "qemu:///system", "the connection to libvirt")
	flags.StringVar(&config.Dir, "dir", os.Getenv("NEPHOS_PLUGIN_DIR"), "the `directory` of guests' files; libvirtd sees it at the same path")
	flags.StringVar(&config.Accel, "accel", "auto", "auto, kvm or tcg")
	flags.StringVar(&config.OS, "os", "", "what guests are, of what the connection offers: hvm, xen or exe")
	flags.StringVar(&config.Arch, "arch", "", "their architecture")
	flags.StringVar(&config.Machine, "machine", "", "the machine of new guests, such as pc or q35")
	flags.StringVar(&config.HostIP, "host-ip", "", "this host's `address`, as the API tells it")
	flags.StringVar(&config.MigrationURI, "migration-uri", "", "how other hosts' libvirtd reaches this host's")
	flags.StringVar(&config.Namespace, "netns", os.Getenv("NEPHOS_NETNS"), "the `path` of the network namespace of the guests' taps, in which libvirtd runs")
	dedicated := flags.String("dedicated-cpus", "", "processors that guests may have for themselves, such as `2-7,^4`")
	devices := flags.String("pci-devices", "", "`addresses` of PCI devices that guests may be given, such as 0000:81:00.0,0000:82:00.0")
	own := flags.String("libvirtd", "", "start a libvirtd in this `directory`, unless it runs, and use it instead of -uri")
	user := flags.String("libvirtd-user", "", "the `user` that guests of that libvirtd run as, who must be able to walk to -dir and to images; empty: root")
	group := flags.String("libvirtd-group", "kvm", "their `group`, which may open /dev/kvm")
	name := flags.String("libvirtd-name", "", "the host's `name` for that libvirtd; empty: this host's")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if config.Dir == "" {
		return fmt.Errorf("say where guests' files go with -dir")
	}
	var err error
	if config.Dedicated, err = hypervisor.ParseCPUs(*dedicated); err != nil {
		return fmt.Errorf("-dedicated-cpus: %w", err)
	}
	for address := range strings.SplitSeq(*devices, ",") {
		if address = strings.TrimSpace(address); address != "" {
			config.Devices = append(config.Devices, address)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if *own != "" {
		host, _ := os.Hostname()
		d, err := libvirtd.Start(ctx, libvirtd.Config{Dir: *own, Name: cmp.Or(*name, host), Network: config.Namespace, User: *user, Group: *group})
		if err != nil {
			return err
		}
		config.URI = d.URI()
	}
	config.Dir = filepath.Join(config.Dir, "libvirt")
	d, err := libvirt.Open(ctx, config)
	if err != nil {
		return err
	}
	return plugin.Serve(d)
}
