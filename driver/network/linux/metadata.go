//go:build linux

package linux

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/nephos-cloud/nephos/driver/network"
)

// maxMetadataBody bounds what a guest can post.
const maxMetadataBody = 64 << 10

// metadataTarget is the socket that requests are handed to.
type metadataTarget struct {
	socket atomic.Pointer[string]
}

// ServeMetadata implements [network.MetadataServer].
func (d *Driver) ServeMetadata(ctx context.Context, socket string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.metadata.socket.Store(&socket)
	return nil
}

// dialUnix connects to a unix socket whose path may be longer than the 108
// bytes of an address: it names the directory by its descriptor.
func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	dir, name := filepath.Split(path)
	at, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	return new(net.Dialer).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", at.Fd(), name))
}

// newHTTPServer is the network's metadata service.
func (s *service) newHTTPServer() *http.Server {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialUnix(ctx, *s.driver.metadata.socket.Load())
		},
		DisableKeepAlives:     true, // the socket may change
		ResponseHeaderTimeout: 30 * time.Second,
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  slog.NewLogLogger(s.driver.cfg.Log.Handler(), slog.LevelWarn),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: serviceAddress.String()})
			r.Out.Host = serviceAddress.String()
			for _, h := range []string{"X-Nephos-Network", "X-Nephos-Source", "X-Nephos-Mac"} {
				r.Out.Header[h] = r.In.Header[h] // set below, whatever Connection names
			}
		},
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		source, mac, ok := s.whoAsks(r.RemoteAddr)
		if !ok {
			http.Error(w, "404 Not Found: this address has no metadata.", http.StatusNotFound)
			return
		}
		if s.driver.metadata.socket.Load() == nil {
			http.Error(w, "503 Service Unavailable: metadata is not being served yet.", http.StatusServiceUnavailable)
			return
		}
		r.Header.Set("X-Nephos-Network", s.id)
		r.Header.Set("X-Nephos-Source", source.String())
		r.Header.Set("X-Nephos-MAC", mac)
		r.Body = http.MaxBytesReader(w, r.Body, maxMetadataBody)
		proxy.ServeHTTP(w, r)
	})
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.driver.cfg.Log.Handler(), slog.LevelDebug),
	}
}

// whoAsks tells which port a connection comes from: by its address, or, for
// one of its allowed pairs, by the neighbour table.
func (s *service) whoAsks(remote string) (source netip.Addr, mac string, ok bool) {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}, "", false
	}
	source = ap.Addr().Unmap()
	if p, ok := s.portAt(source, ""); ok {
		return source, canonicalMAC(p.MAC), p.PortSecurity
	}
	neighbours, err := s.neighbours()
	if err != nil {
		return netip.Addr{}, "", false
	}
	for _, n := range neighbours {
		if a, _ := netip.AddrFromSlice(n.IP); a.Unmap() == source {
			p, ok := s.portAt(netip.Addr{}, n.HardwareAddr.String())
			return source, n.HardwareAddr.String(), ok && p.PortSecurity
		}
	}
	return netip.Addr{}, "", false
}

func (s *service) portAt(ip netip.Addr, mac string) (network.Port, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	id, ok := s.byIP[ip]
	if !ok {
		id, ok = s.byMAC[mac]
	}
	return s.ports[id], ok
}

// neighbours asks on a socket of its own: it runs beside the driver's lock.
func (s *service) neighbours() ([]netlink.Neigh, error) {
	ns, err := openNamespace(s.driver.cfg.Dir, s.driver.serviceName(s.id))
	if err != nil {
		return nil, err
	}
	defer ns.close()
	return ns.nl.NeighList(0, netlink.FAMILY_V4)
}
