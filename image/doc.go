// Package image keeps images: what is known of each, who may use it, and its
// bytes. It does Glance's job; package glance below it speaks the Image API v2,
// and package inspect tells what an image's bytes really are.
//
// A newcomer starts at [New], [Service.CreateImage], which makes a record
// without bytes (status queued), [Service.Upload], which streams the bytes in
// (saving, then active), and [Service.Download].
//
// # Who sees what
//
// A public or community image is everybody's to see, a private one its
// project's, a shared one its project's and its members'. To all others an image
// does not exist: operations answer ErrNotFound, whatever the policy says.
// Lists leave out other projects' community images, and shared ones that the
// caller's project has not accepted, unless the filter asks for them.
//
// # Bytes
//
// An upload reads its body once. While the blob driver writes, two goroutines
// compute the MD5 and the SHA-512, and the inspector watches the headers go by:
// content that does not match the declared disk format, or that refers to other
// files, is refused before the object exists.
//
// Every attempt to upload writes an object of its own. The attempt is a row
// with a heartbeat, and a row of work ([Kinds]) that looks at it: when the
// process died, the image goes back to queued and the object away. Deleting an
// image leaves its object to the same work.
package image
