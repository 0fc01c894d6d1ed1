package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// openstackPorts are those that OpenStack's services have by custom.
var openstackPorts = map[string]string{
	"identity": "5000", "image": "9292", "network": "9696", "volume": "8776", "compute": "8774", "placement": "8778",
}

// doors are the listeners, and the URLs by which clients reach them.
type doors struct {
	main net.Listener
	url  string
	more map[string]net.Listener // by service; empty without -separate-ports
	urls map[string]string
}

// authURL is where clients log in. Scripts rely on its path, also where the
// catalog names a port of the service's own.
func (d *doors) authURL() string { return d.url + "/identity/v3" }

func openDoors(c *config) (_ *doors, err error) {
	d := &doors{more: map[string]net.Listener{}, urls: map[string]string{}}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	scheme, config := "http", (*tls.Config)(nil)
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate: %w", err)
		}
		scheme = "https"
		config = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	}
	open := func(address string) (net.Listener, error) {
		l, err := net.Listen("tcp", address)
		if err != nil || config == nil {
			return l, err
		}
		return tls.NewListener(l, config), nil
	}
	if d.main, err = open(c.listen); err != nil {
		return nil, err
	}
	d.url = strings.TrimSuffix(c.publicURL, "/")
	if d.url == "" {
		d.url = scheme + "://" + d.main.Addr().String()
	}
	if !c.ports {
		return d, nil
	}
	public, err := url.Parse(d.url)
	if err != nil {
		return nil, fmt.Errorf("-public-url: %w", err)
	}
	host, _, err := net.SplitHostPort(d.main.Addr().String())
	if err != nil {
		return nil, err
	}
	for name, port := range openstackPorts {
		address := net.JoinHostPort(host, port)
		if address == d.main.Addr().String() {
			continue // it is served below its path there
		}
		if d.more[name], err = open(address); err != nil {
			return nil, fmt.Errorf("-separate-ports: %w", err)
		}
		d.urls[name] = public.Scheme + "://" + net.JoinHostPort(public.Hostname(), port)
	}
	return d, nil
}

func (d *doors) close() {
	if d.main != nil {
		_ = d.main.Close()
	}
	for _, l := range d.more {
		if l != nil {
			_ = l.Close()
		}
	}
}
