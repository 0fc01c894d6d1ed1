package http

import "net/url"

// URL returns where an object is.
func (d *Driver) URL(id string) (*url.URL, error) { return d.target(id) }
