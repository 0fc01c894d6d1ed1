package fake

import (
	"context"
	"net"
	"net/http"
	"net/netip"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

// Events implements [network.Eventer]. A reader that lags more than 1024
// events behind loses some.
func (d *Driver) Events(ctx context.Context) (<-chan network.Event, error) {
	inner := make(chan network.Event, 1024)
	err := d.look(ctx, "Events", func(h *host) error {
		h.watchers[inner] = struct{}{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	go func() {
		select {
		case <-ctx.Done():
		case <-d.closed:
		}
		d.state.mu.Lock()
		defer d.state.mu.Unlock()
		delete(d.state.hosts[d.name].watchers, inner)
		close(inner)
	}()
	return inner, nil
}

// Lease plays the guest of a port that asks for an address: the port's host
// reports a dhcp event. It returns the address, or an error that says why the
// guest would get none.
func (s *State) Lease(portID string) (netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, p, ok := s.port(portID)
	if !ok {
		return netip.Addr{}, nephos.NotFound("Port", portID)
	}
	if !p.AdminUp {
		return netip.Addr{}, nephos.Errorf(nephos.ErrConflict, "lease for port %s: it is down", portID)
	}
	for _, a := range p.Addresses {
		for _, sub := range h.networks[p.NetworkID].Subnets {
			if !sub.DHCP || !a.IP.Is4() || !sub.CIDR.Contains(a.IP) {
				continue
			}
			for w := range h.watchers {
				select {
				case w <- network.Event{Kind: "dhcp", PortID: portID, IP: a.IP, At: s.clock.Now()}:
				default:
				}
			}
			return a.IP, nil
		}
	}
	return netip.Addr{}, nephos.Errorf(nephos.ErrConflict, "lease for port %s: no address in a subnet with DHCP", portID)
}

// ServeMetadata implements [network.MetadataServer].
func (d *Driver) ServeMetadata(ctx context.Context, socket string) error {
	return d.look(ctx, "ServeMetadata", func(h *host) error {
		h.socket = socket
		return nil
	})
}

// Metadata plays the guest of a port that sends a request to 169.254.169.254:
// it goes to the socket given to ServeMetadata, or to Options.Metadata, with the driver's headers. The
// caller closes the response's body.
func (s *State) Metadata(portID string, req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	h, p, ok := s.port(portID)
	socket := ""
	var answer func(*http.Request) (*http.Response, error)
	if ok {
		socket, answer = h.socket, h.metadata
	}
	s.mu.Unlock()
	switch {
	case !ok:
		return nil, nephos.NotFound("Port", portID)
	case socket == "" && answer == nil || !p.AdminUp || !p.PortSecurity || len(p.Addresses) == 0:
		return nil, nephos.Errorf(nephos.ErrUnavailable, "port %s reaches no metadata service", portID)
	}
	out := req.Clone(req.Context())
	out.RequestURI, out.Host = "", "169.254.169.254"
	out.URL.Scheme, out.URL.Host = "http", "169.254.169.254"
	out.Header.Set("X-Nephos-Network", p.NetworkID)
	out.Header.Set("X-Nephos-Source", p.Addresses[0].IP.String())
	out.Header.Set("X-Nephos-MAC", p.MAC)
	if answer != nil {
		return answer(out)
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	return client.Do(out)
}

// port finds a port on any host; s.mu is held.
func (s *State) port(id string) (*host, network.Port, bool) {
	for _, h := range s.hosts {
		if p, ok := h.ports[id]; ok {
			return h, p, true
		}
	}
	return nil, network.Port{}, false
}

// Port returns a port as its host was last told; false when no host has it.
func (s *State) Port(id string) (network.Port, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, p, ok := s.port(id)
	return p, ok
}

// Count sets a port's counters.
func (s *State) Count(portID string, c network.Statistics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, _, ok := s.port(portID); ok {
		h.counters[portID] = c
	}
}

// PortStatistics implements [network.Statistician].
func (d *Driver) PortStatistics(ctx context.Context, id string) (network.Statistics, error) {
	var c network.Statistics
	err := d.call(ctx, "PortStatistics", id, func(h *host) error {
		if _, ok := h.ports[id]; !ok {
			return nephos.NotFound("Port", id)
		}
		c = h.counters[id]
		return nil
	})
	return c, err
}
