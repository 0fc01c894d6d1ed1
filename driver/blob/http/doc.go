// Package http is a blob driver that reads objects from web servers. It only
// reads: Put, Delete and Copy give errors.ErrUnsupported, and so does List, as a
// web server has no list.
//
//	d, err := http.New(http.Config{Base: "https://cloud.example.org/images/"})
//	r, err := d.Get(ctx, "debian-12.qcow2", 0, -1)
//
// The object of an ID is at Config.Base followed by the ID. With Config.AnyURL an
// ID may also stand for any URL; [ID] makes such IDs.
//
// A URL may come from somebody who wishes to see what is inside the operator's
// network. The driver connects to public addresses only: each address is looked
// at after the name has been resolved, at the moment of connecting, for the
// first request as for each redirect. Ranges that are to be reached all the same
// are named in Config.Allow. No proxy of the environment is used, since a proxy
// would connect wherever it is told.
package http
