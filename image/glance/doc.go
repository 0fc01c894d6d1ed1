// Package glance speaks the Image API v2, as its reference describes it at
// version 2.15, over the interfaces of package image.
//
// [New] returns the API as a handler to be mounted at the image endpoint's
// root: "/" lists the versions, all else is below "/v2". Built are images with
// all their filters and orders, JSON patches of both media types, members,
// tags, actions, uploads and downloads in ranges, schemas, and usage.
//
// Bytes are imported by glance-direct, from what was staged; the other ways to
// import are not offered. Clients are told of stores where there are several, and
// of locations never. Tasks, the cache and metadata definitions are not built:
// their paths answer 404, and nothing advertises them.
//
// Below "/signed" are the doors for hosts, which are none of OpenStack's: see
// [image.Service.SignedURL].
package glance
