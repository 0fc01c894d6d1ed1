package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/config"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
)

// bench is the cloud under load, spoken to in plain HTTP so that the client
// costs little.
type bench struct {
	o    options
	http *http.Client

	process *exec.Cmd
	peer    *exec.Cmd
	peerURL string

	token, project                                         string
	identity, compute, network, volume, image              string
	imageID, flavorID, networkID, subnetID, authURL, authB string
	serial                                                 atomic.Int64
}

func newBench(ctx context.Context, o options) (*bench, error) {
	if o.data == "" {
		dir, err := os.MkdirTemp(".", ".bench")
		if err != nil {
			return nil, err
		}
		if o.data, err = filepath.Abs(dir); err != nil {
			return nil, err
		}
	}
	b := &bench{o: o, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64}}}
	if err := b.startPeer(ctx); err != nil {
		return nil, err
	}
	if o.cloud == "" {
		if _, err := b.start(ctx); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	if err := b.login(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) cloudDir() string { return filepath.Join(b.o.data, "cloud") }

// start starts the cloud on an empty directory and returns when it was ready.
func (b *bench) start(ctx context.Context) (time.Time, error) {
	if err := os.RemoveAll(b.cloudDir()); err != nil {
		return time.Time{}, err
	}
	b.process = exec.CommandContext(ctx, b.o.allinone, "-data", b.cloudDir(), "-listen", "127.0.0.1:0", "-drivers", "fake", "-log", "warn")
	b.process.Stderr = os.Stderr
	began := time.Now()
	if err := b.process.Start(); err != nil {
		return began, err
	}
	deadline := began.Add(30 * time.Second)
	for {
		if _, err := os.Stat(filepath.Join(b.cloudDir(), "clouds.yaml")); err == nil {
			return began, nil
		}
		if time.Now().After(deadline) {
			return began, errors.New("the cloud was not ready within 30 s")
		}
		time.Sleep(time.Millisecond)
	}
}

func (b *bench) stop() error {
	if b.process == nil {
		return nil
	}
	p := b.process
	b.process = nil
	b.http.CloseIdleConnections()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.Wait()
}

func (b *bench) close() error {
	err := b.stop()
	if b.peer != nil {
		_ = b.peer.Process.Kill()
		_ = b.peer.Wait()
	}
	return errors.Join(err, os.RemoveAll(b.o.data))
}

// login gets a token and the catalog as clouds.yaml says.
func (b *bench) login(ctx context.Context) error {
	opts := []clouds.ParseOption{clouds.WithCloudName("nephos"), clouds.WithLocations(filepath.Join(b.cloudDir(), "clouds.yaml"))}
	if b.o.cloud != "" {
		opts = []clouds.ParseOption{clouds.WithCloudName(b.o.cloud)}
	}
	auth, endpoint, tls, err := clouds.Parse(opts...)
	if err != nil {
		return err
	}
	provider, err := config.NewProviderClient(ctx, auth, config.WithTLSConfig(tls))
	if err != nil {
		return err
	}
	b.token = provider.Token()
	type maker = func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)
	for _, e := range []struct {
		url *string
		f   maker
	}{
		{&b.identity, openstack.NewIdentityV3},
		{&b.compute, openstack.NewComputeV2},
		{&b.network, openstack.NewNetworkV2},
		{&b.volume, openstack.NewBlockStorageV3},
		{&b.image, openstack.NewImageV2},
	} {
		c, err := e.f(provider, endpoint)
		if err != nil {
			return err
		}
		base := c.Endpoint
		if c.ResourceBase != "" {
			base = c.ResourceBase
		}
		*e.url = base
	}
	var got struct {
		Token struct {
			Project struct{ ID string }
		}
	}
	if err := b.call(ctx, "GET", b.identity+"auth/tokens", nil, &got); err != nil {
		return err
	}
	b.project = got.Token.Project.ID
	b.authURL = b.identity + "auth/tokens"
	body, err := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{
			"name": auth.Username, "password": auth.Password, "domain": map[string]any{"name": "Default"},
		}}},
		"scope": map[string]any{"project": map[string]any{"id": b.project}},
	}})
	b.authB = string(body)
	return err
}

// call makes one request and decodes the answer; out may be nil.
func (b *bench) call(ctx context.Context, method, url string, in, out any) error {
	var body io.Reader
	if in != nil {
		buf, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(buf)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	b.introduce(req)
	req.Header.Set("X-Subject-Token", b.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 2000))
		return &failure{method, url, resp.StatusCode, string(text)}
	}
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// introduce says who asks, and Compute in which version: Block Storage refuses
// versions that are not its own.
func (b *bench) introduce(req *http.Request) {
	req.Header.Set("X-Auth-Token", b.token)
	if strings.HasPrefix(req.URL.String(), b.compute) {
		req.Header.Set("OpenStack-API-Version", "compute 2.60")
	}
}

// read returns the body of what the URL answers, and leaves it to the caller
// whether the time to decode it counts.
func (b *bench) read(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return nil, err
	}
	b.introduce(req)
	resp, err := b.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = &failure{"GET", url, resp.StatusCode, string(body)}
	}
	return body, err
}

type failure struct {
	method, url string
	status      int
	text        string
}

func (f *failure) Error() string {
	return fmt.Sprintf("%s %s: %d %s", f.method, f.url, f.status, f.text)
}

// prepare makes what the measurements need, and lifts the project's quotas.
func (b *bench) prepare(ctx context.Context) error {
	type m = map[string]any
	if err := b.call(ctx, "PUT", b.compute+"os-quota-sets/"+b.project, m{"quota_set": m{"instances": -1, "cores": -1, "ram": -1}}, nil); err != nil {
		return err
	}
	if err := b.call(ctx, "PUT", b.network+"quotas/"+b.project, m{"quota": m{"port": -1, "network": -1, "subnet": -1}}, nil); err != nil {
		return err
	}
	if err := b.call(ctx, "PUT", b.volume+"os-quota-sets/"+b.project, m{"quota_set": m{"volumes": -1, "gigabytes": -1}}, nil); err != nil {
		return err
	}
	var img struct{ ID string }
	if err := b.call(ctx, "POST", b.image+"images", m{"name": "bench", "disk_format": "raw", "container_format": "bare"}, &img); err != nil {
		return err
	}
	b.imageID = img.ID
	if err := b.upload(ctx, b.image+"images/"+img.ID+"/file", bytes.NewReader(make([]byte, 1<<20)), 1<<20); err != nil {
		return err
	}
	var flavor struct{ Flavor struct{ ID string } }
	if err := b.call(ctx, "POST", b.compute+"flavors", m{"flavor": m{"name": b.name(), "ram": 1, "vcpus": 1, "disk": 0}}, &flavor); err != nil {
		return err
	}
	b.flavorID = flavor.Flavor.ID
	var net struct{ Network struct{ ID string } }
	if err := b.call(ctx, "POST", b.network+"networks", m{"network": m{"name": b.name()}}, &net); err != nil {
		return err
	}
	b.networkID = net.Network.ID
	var sub struct{ Subnet struct{ ID string } }
	err := b.call(ctx, "POST", b.network+"subnets", m{"subnet": m{"network_id": b.networkID, "cidr": "10.64.0.0/12", "ip_version": 4}}, &sub)
	b.subnetID = sub.Subnet.ID
	return err
}

func (b *bench) name() string { return fmt.Sprintf("bench-%d-%d", os.Getpid(), b.serial.Add(1)) }

// parallel runs f in n goroutines until the time is over and returns how often
// it succeeded in a second.
func parallel(ctx context.Context, n int, d time.Duration, f func(context.Context) error) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var done atomic.Int64
	var once sync.Once
	var first error
	var wg sync.WaitGroup
	start := time.Now()
	for range n {
		wg.Go(func() {
			for time.Since(start) < d && ctx.Err() == nil {
				if err := f(ctx); err != nil {
					once.Do(func() { first = err })
					cancel()
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), first
}
