//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

// redialTime is how long to wait before a lost connection is dialled again.
const redialTime = time.Second

// link is one connection to libvirt with what it tells us.
type link struct {
	conn      *virt.Connect
	callbacks []int
	calls     sync.WaitGroup // of users; close waits for them
	lost      chan struct{}  // closed when the connection has ended
	once      sync.Once

	mu      sync.Mutex
	streams map[*stream]struct{} // open consoles
}

func (l *link) fail() { l.once.Do(func() { close(l.lost) }) }

// close lets go of the connection, once nobody uses it.
func (l *link) close() {
	l.calls.Wait()
	l.mu.Lock()
	streams := l.streams
	l.streams = nil
	l.mu.Unlock()
	for s := range streams {
		s.end()
	}
	for _, id := range l.callbacks {
		_ = l.conn.DomainEventDeregister(id)
	}
	_ = l.conn.UnregisterCloseCallback()
	_, _ = l.conn.Close()
}

// connect dials libvirt, listens to its events, learns what it offers and finds
// the guests.
func (d *Driver) connect(ctx context.Context) error {
	conn, err := virt.NewConnect(d.cfg.URI)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", d.cfg.URI, meant(err))
	}
	l := &link{conn: conn, lost: make(chan struct{})}
	if err := d.setUp(ctx, l); err != nil {
		l.close()
		return fmt.Errorf("connect to %s: %w", d.cfg.URI, meant(err))
	}
	d.mu.Lock()
	closed := d.closed
	if !closed {
		d.link = l
	}
	d.mu.Unlock()
	if closed {
		l.close()
		return fmt.Errorf("the driver is closed: %w", nephos.ErrUnavailable)
	}
	return d.find(ctx, l)
}

func (d *Driver) setUp(ctx context.Context, l *link) error {
	// A daemon that hangs counts as gone. Connections that need no such care
	// refuse, which is fine.
	_ = l.conn.SetKeepAlive(5, 3)
	_ = l.conn.RegisterCloseCallback(func(*virt.Connect, virt.ConnectCloseReason) { l.fail() })
	if err := d.listen(l); err != nil {
		return err
	}
	p, more, err := d.choosePlatform(ctx, l.conn)
	if err != nil {
		return err
	}
	features, err := d.features(l.conn, p, more)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.platform, d.processor = p, features
	return nil
}

// choosePlatform picks what guests are, and returns the capabilities of such
// domains; empty where the connection has none.
func (d *Driver) choosePlatform(ctx context.Context, conn *virt.Connect) (p domain.Platform, more string, err error) {
	name, err := conn.GetType()
	if err != nil {
		return p, "", err
	}
	caps, err := conn.GetCapabilities()
	if err != nil {
		return p, "", err
	}
	want := domain.Wanted{OS: d.cfg.OS, Arch: d.cfg.Arch, Machine: d.cfg.Machine}
	choose := func() (domain.Platform, string, error) {
		p, err := domain.Choose(name, caps, want)
		if err != nil {
			return p, "", err
		}
		more, err := conn.GetDomainCapabilities(p.Emulator, p.Arch, p.Machine, p.Type, 0)
		if is(err, virt.ERR_NO_SUPPORT, virt.ERR_OPERATION_UNSUPPORTED) {
			return p, "", nil
		}
		if err != nil {
			return p, "", err
		}
		return p, more, p.Refine(more)
	}
	if name == "QEMU" {
		want.Type = map[string]string{"kvm": "kvm", "tcg": "qemu"}[d.cfg.Accel]
	}
	p, more, err = choose()
	if err != nil || p.Type != "kvm" || d.cfg.Accel == "kvm" {
		return p, more, err
	}
	if err := d.probe(ctx, conn, p); err != nil {
		if ctx.Err() != nil {
			return p, "", ctx.Err()
		}
		d.log.Warn("KVM does not work here, guests are emulated", "error", err)
		want.Type = "qemu"
		return choose()
	}
	return p, more, nil
}

// use returns the connection; done ends the use.
func (d *Driver) use() (l *link, done func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, nil, fmt.Errorf("the driver is closed: %w", nephos.ErrUnavailable)
	case d.link == nil:
		return nil, nil, fmt.Errorf("there is no connection to %s: %w", d.cfg.URI, nephos.ErrUnavailable)
	}
	d.link.calls.Add(1)
	return d.link, d.link.calls.Done, nil
}

// tend handles what libvirt tells, and dials again when a connection ends.
func (d *Driver) tend() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		d.mu.Lock()
		l := d.link
		d.mu.Unlock()
		var lost <-chan struct{}
		var retry <-chan time.Time
		if l != nil {
			lost = l.lost
		} else {
			retry = d.clock.After(redialTime)
		}
		select {
		case <-d.stop:
			return
		case <-d.heard.ready:
			for _, n := range d.heard.take() {
				d.hear(n)
			}
		case <-lost:
			d.log.Warn("the connection to libvirt was lost", "uri", d.cfg.URI)
			d.mu.Lock()
			d.link = nil
			d.mu.Unlock()
			d.failJobs()
			d.tasks.Go(l.close)
		case <-retry:
			if err := d.connect(ctx); err != nil {
				if !errors.Is(err, nephos.ErrUnavailable) {
					d.log.Warn("cannot reach libvirt", "uri", d.cfg.URI, "error", err)
				}
				continue
			}
			d.log.Info("libvirt is back", "uri", d.cfg.URI)
		}
	}
}
