// Command demo shows Nephos doing its main job: it starts a cloud on this
// machine, boots a real virtual machine in it through the public APIs, logs in
// over a floating IP, attaches a volume, and tells how to go on.
//
// It talks to the cloud with gophercloud only, as any other client would.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

type options struct {
	allinone, guest, data, cache, listen string
	hypervisor                           string
	once                                 bool
}

func run(ctx context.Context) (err error) {
	var o options
	flag.StringVar(&o.allinone, "allinone", "bin/allinone", "the `program` that runs the cloud")
	flag.StringVar(&o.guest, "guest", "examples/guest/build", "the `script` that builds the guest image")
	flag.StringVar(&o.data, "data", "", "the cloud's `directory` (default a folder for this demo under the user's cache)")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8774", "the cloud's `host:port`")
	flag.StringVar(&o.hypervisor, "hypervisor", "qemu", "what runs the server: qemu, `libvirt` in a plugin (bin/plugin-libvirt), or what allinone -hypervisor takes")
	flag.BoolVar(&o.once, "once", false, "take everything down again and exit")
	flag.Parse()
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	o.cache = filepath.Join(cache, "nephos")
	if o.data == "" {
		o.data = filepath.Join(o.cache, "demo")
		if o.once {
			if o.data, err = os.MkdirTemp("", "nephos-demo"); err != nil {
				return err
			}
		}
	}
	if o.data, err = filepath.Abs(o.data); err != nil {
		return err
	}

	began := time.Now()
	fmt.Println("A cloud on this machine, and a real server in it, by OpenStack's public APIs:")
	image := filepath.Join(o.cache, "guest.qcow2")
	if err := step(ctx, "guest image", func(ctx context.Context) (string, error) { return buildGuest(ctx, o.guest, image) }); err != nil {
		return err
	}
	cloud, err := startCloud(ctx, o)
	if err != nil {
		return err
	}
	d := &demo{cloud: cloud, image: image}
	defer func() {
		if !o.once {
			return
		}
		// Take down also what a failure left half-way, and when interrupted.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		err = errors.Join(err, d.takeDown(ctx), cloud.stop(ctx), stopLibvirtd(ctx, o), os.RemoveAll(o.data))
		if err == nil {
			fmt.Printf("\nAll of it worked, and all of it is gone again, %s after the start.\n", time.Since(began).Round(time.Second))
		}
	}()
	if err := d.show(ctx); err != nil {
		if !o.once {
			fmt.Fprintf(os.Stderr, "\nThe cloud is still up for a look; its log is %s. Stop it with: kill %d\n", cloud.log, cloud.pid)
		}
		return err
	}
	if !o.once {
		d.howToGoOn()
	}
	return nil
}

func (d *demo) howToGoOn() {
	fmt.Printf(`
The cloud is up. Use it with any OpenStack client:

    . %[1]s/openrc
    openstack server list
    openstack console log show demo

Log in to the guest:

    ssh -i %[1]s/demo.key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@%[2]s

Its log:            %[3]s
Stop it:            kill %[4]d      (the guest runs on, and the next start finds it)
Start it again:     %[5]s -data %[1]s
`, d.cloud.data, d.address, d.cloud.log, d.cloud.pid, d.cloud.program)
}
