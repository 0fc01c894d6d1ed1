package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

var measurements = []measurement{
	{name: "start", f: start},
	{name: "boot", f: boot},
	{name: "list", f: list},
	{name: "token", f: token},
	{name: "port", f: port},
	{name: "volume", f: volume},
	{name: "upload", f: upload},
	{name: "download", f: download},
}

type object = map[string]any

// start measures a fresh start: first token, first server, resident memory.
func start(ctx context.Context, b *bench) ([]sample, error) {
	if err := b.stop(); err != nil {
		return nil, err
	}
	began, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.login(ctx); err != nil {
		return nil, err
	}
	firstToken := time.Since(began)
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	id, err := b.boot(ctx, time.Millisecond)
	if err != nil {
		return nil, err
	}
	firstServer := time.Since(began)
	if err := b.deleteServers(ctx, []string{id}); err != nil {
		return nil, err
	}
	rss, err := b.rss()
	return []sample{
		{"process start to first token, ms", ms(firstToken)},
		{"process start to first server ACTIVE, ms", ms(firstServer)},
		{"resident memory, idle, MiB", rss},
	}, err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (b *bench) rss() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kb); n == 1 {
			return kb / 1024, nil
		}
	}
	return 0, errors.New("no VmRSS")
}

func (b *bench) boot(ctx context.Context, every time.Duration) (string, error) {
	var made struct{ Server struct{ ID string } }
	err := b.call(ctx, "POST", b.compute+"servers", object{"server": object{
		"name": b.name(), "imageRef": b.imageID, "flavorRef": b.flavorID, "networks": []object{{"uuid": b.networkID}},
	}}, &made)
	if err != nil {
		return "", err
	}
	id := made.Server.ID
	for {
		var got struct {
			Server struct {
				Status string
				Fault  struct{ Message string }
			}
		}
		if err := b.call(ctx, "GET", b.compute+"servers/"+id, nil, &got); err != nil {
			return id, err
		}
		switch got.Server.Status {
		case "ACTIVE":
			return id, nil
		case "ERROR":
			return id, fmt.Errorf("server %s: %s", id, got.Server.Fault.Message)
		}
		select {
		case <-ctx.Done():
			return id, ctx.Err()
		case <-time.After(every):
		}
	}
}

func (b *bench) deleteServers(ctx context.Context, ids []string) error {
	var mu sync.Mutex
	next := 0
	_, err := parallelN(ctx, b.o.flight, func(ctx context.Context) (bool, error) {
		mu.Lock()
		if next == len(ids) {
			mu.Unlock()
			return false, nil
		}
		id := ids[next]
		next++
		mu.Unlock()
		return true, b.call(ctx, "DELETE", b.compute+"servers/"+id, nil, nil)
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		for {
			err := b.call(ctx, "GET", b.compute+"servers/"+id, nil, nil)
			var f *failure
			if errors.As(err, &f) && f.status == http.StatusNotFound {
				break
			}
			if err != nil {
				return err
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// parallelN runs f in n goroutines until it says that there is no more.
func parallelN(ctx context.Context, n int, f func(context.Context) (bool, error)) (time.Duration, error) {
	began := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			for {
				more, err := f(ctx)
				if err != nil || !more {
					errs[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began), errors.Join(errs...)
}

// boot measures the sustained rate, and the time of one alone.
func boot(ctx context.Context, b *bench) ([]sample, error) {
	var mu sync.Mutex
	var ids []string
	rate, err := parallel(ctx, b.o.flight, b.o.duration, func(ctx context.Context) error {
		id, err := b.boot(ctx, 10*time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	var alone []time.Duration
	for range 30 {
		began := time.Now()
		id, err := b.boot(ctx, 2*time.Millisecond)
		if err != nil {
			return nil, err
		}
		alone = append(alone, time.Since(began))
		ids = append(ids, id)
	}
	slices.Sort(alone)
	began := time.Now()
	if err := b.deleteServers(ctx, ids); err != nil {
		return nil, err
	}
	return []sample{
		{fmt.Sprintf("boots a second, %d in flight", b.o.flight), rate},
		{"create to ACTIVE, one in flight, median ms", ms(alone[len(alone)/2])},
		{"deletes a second", float64(len(ids)) / time.Since(began).Seconds()},
	}, nil
}

// list measures a detailed list of many servers.
func list(ctx context.Context, b *bench) ([]sample, error) {
	var mu sync.Mutex
	var ids []string
	_, err := parallelN(ctx, b.o.flight, func(ctx context.Context) (bool, error) {
		mu.Lock()
		full := len(ids) >= b.o.servers
		if !full {
			ids = append(ids, "")
		}
		i := len(ids) - 1
		mu.Unlock()
		if full {
			return false, nil
		}
		id, err := b.boot(ctx, 20*time.Millisecond)
		mu.Lock()
		ids[i] = id
		mu.Unlock()
		return true, err
	})
	if err != nil {
		return nil, err
	}
	var times []time.Duration
	for range 20 {
		began := time.Now()
		body, err := b.read(ctx, b.compute+"servers/detail")
		if err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
		var got struct{ Servers []struct{ ID string } }
		if err := json.Unmarshal(body, &got); err != nil {
			return nil, err
		}
		if len(got.Servers) < min(b.o.servers, 1000) {
			return nil, fmt.Errorf("the list has %d servers", len(got.Servers))
		}
	}
	slices.Sort(times)
	if err := b.deleteServers(ctx, ids); err != nil {
		return nil, err
	}
	return []sample{{fmt.Sprintf("GET servers/detail, %d servers, median ms", b.o.servers), ms(times[len(times)/2])}}, nil
}

// token measures validations beside an empty handler under the same client.
func token(ctx context.Context, b *bench) ([]sample, error) {
	get := func(url string) func(context.Context) error {
		return func(ctx context.Context) error { return b.call(ctx, "GET", url, nil, nil) }
	}
	empty, err := parallel(ctx, b.o.flight, b.o.duration, get(b.peerURL+"/empty"))
	if err != nil {
		return nil, err
	}
	valid, err := parallel(ctx, b.o.flight, b.o.duration, get(b.identity+"auth/tokens"))
	if err != nil {
		return nil, err
	}
	login, err := parallel(ctx, b.o.flight, b.o.duration, func(ctx context.Context) error {
		resp, err := b.http.Post(b.authURL, "application/json", strings.NewReader(b.authB))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		if err == nil && resp.StatusCode != http.StatusCreated {
			err = fmt.Errorf("login: %s", resp.Status)
		}
		return err
	})
	return []sample{
		{"empty handler, requests a second", empty},
		{"token validations a second, catalog included", valid},
		{"share of the empty handler, %", 100 * valid / empty},
		{"password logins a second", login},
	}, err
}

func port(ctx context.Context, b *bench) ([]sample, error) {
	var mu sync.Mutex
	var ids []string
	rate, err := parallel(ctx, b.o.flight, b.o.duration, func(ctx context.Context) error {
		var got struct{ Port struct{ ID string } }
		err := b.call(ctx, "POST", b.network+"ports", object{"port": object{"network_id": b.networkID}}, &got)
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, got.Port.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return []sample{{fmt.Sprintf("port creates a second, %d in flight", b.o.flight), rate}}, b.deleteAll(ctx, b.network+"ports/", ids)
}

func (b *bench) deleteAll(ctx context.Context, base string, ids []string) error {
	var mu sync.Mutex
	_, err := parallelN(ctx, b.o.flight, func(ctx context.Context) (bool, error) {
		mu.Lock()
		if len(ids) == 0 {
			mu.Unlock()
			return false, nil
		}
		id := ids[0]
		ids = ids[1:]
		mu.Unlock()
		return true, b.call(ctx, "DELETE", base+id, nil, nil)
	})
	return err
}

func volume(ctx context.Context, b *bench) ([]sample, error) {
	var mu sync.Mutex
	var ids []string
	rate, err := parallel(ctx, b.o.flight, b.o.duration, func(ctx context.Context) error {
		var made struct{ Volume struct{ ID string } }
		if err := b.call(ctx, "POST", b.volume+"volumes", object{"volume": object{"size": 1}}, &made); err != nil {
			return err
		}
		mu.Lock()
		ids = append(ids, made.Volume.ID)
		mu.Unlock()
		for {
			var got struct{ Volume struct{ Status string } }
			if err := b.call(ctx, "GET", b.volume+"volumes/"+made.Volume.ID, nil, &got); err != nil {
				return err
			}
			if got.Volume.Status == "available" {
				return nil
			}
			if got.Volume.Status == "error" {
				return errors.New("a volume went to error")
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	if err != nil {
		return nil, err
	}
	return []sample{{fmt.Sprintf("volumes created to available a second, %d in flight", b.o.flight), rate}}, b.deleteAll(ctx, b.volume+"volumes/", ids)
}

func (b *bench) upload(ctx context.Context, url string, body io.Reader, size int64) error {
	req, err := http.NewRequestWithContext(ctx, "PUT", url, body)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("X-Auth-Token", b.token)
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := b.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("uploading: %s %s", resp.Status, text)
	}
	return nil
}

// pattern is a body without repetition that costs the client nothing.
type pattern struct {
	block []byte
	left  int64
}

func newPattern(size int64) *pattern {
	block := make([]byte, 1<<20)
	x := uint64(88172645463325252)
	for i := range block {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		block[i] = byte(x)
	}
	return &pattern{block: block, left: size}
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.block)
	n = int(min(int64(n), p.left))
	p.left -= int64(n)
	return n, nil
}

func upload(ctx context.Context, b *bench) ([]sample, error) {
	rate := func(url string) (float64, error) {
		began := time.Now()
		err := b.upload(ctx, url, newPattern(b.o.bytes), b.o.bytes)
		return float64(b.o.bytes) / (1 << 20) / time.Since(began).Seconds(), err
	}
	bare, err := rate(b.peerURL + "/upload")
	if err != nil {
		return nil, err
	}
	var img struct{ ID string }
	if err := b.call(ctx, "POST", b.image+"images", object{"name": b.name(), "disk_format": "raw", "container_format": "bare"}, &img); err != nil {
		return nil, err
	}
	got, err := rate(b.image + "images/" + img.ID + "/file")
	if err != nil {
		return nil, err
	}
	return []sample{
		{"bare handler, two hashes, one fsync, MiB/s", bare},
		{"image upload, MiB/s", got},
		{"share of the bare handler, %", 100 * got / bare},
	}, b.call(ctx, "DELETE", b.image+"images/"+img.ID, nil, nil)
}

func (b *bench) download(ctx context.Context, url string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-Auth-Token", b.token)
	began := time.Now()
	resp, err := b.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, make([]byte, 1<<20))
	if err == nil && n != b.o.bytes {
		err = fmt.Errorf("got %d bytes", n)
	}
	return float64(n) / (1 << 20) / time.Since(began).Seconds(), err
}

func download(ctx context.Context, b *bench) ([]sample, error) {
	var img struct{ ID string }
	if err := b.call(ctx, "POST", b.image+"images", object{"name": b.name(), "disk_format": "raw", "container_format": "bare"}, &img); err != nil {
		return nil, err
	}
	if err := b.upload(ctx, b.image+"images/"+img.ID+"/file", newPattern(b.o.bytes), b.o.bytes); err != nil {
		return nil, err
	}
	if err := writePattern(filepath.Join(b.o.data, "download"), b.o.bytes); err != nil {
		return nil, err
	}
	bare, err := b.download(ctx, b.peerURL+"/download")
	if err != nil {
		return nil, err
	}
	got, err := b.download(ctx, b.image+"images/"+img.ID+"/file")
	if err != nil {
		return nil, err
	}
	return []sample{
		{"bare sendfile, MiB/s", bare},
		{"image download, MiB/s", got},
		{"share of the bare sendfile, %", 100 * got / bare},
	}, b.call(ctx, "DELETE", b.image+"images/"+img.ID, nil, nil)
}

func writePattern(path string, size int64) error {
	if info, err := os.Stat(path); err == nil && info.Size() == size {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(f, newPattern(size), make([]byte, 1<<20))
	return err
}
