// Package rbd is a blob driver that keeps objects as images of Ceph's block
// device (RBD), each with a snapshot, so that the volume driver of the same name
// makes volumes of them that share their bytes: in no time, and no room.
//
//	d, err := rbd.Open(ctx, rbd.Config{
//		Monitors: []string{"10.0.0.1"}, User: "nephos", Key: "AQ…==", Pool: "images",
//	})
//
// [blob.Locator] tells where an object is, as rbd://FSID/POOL/IMAGE/SNAPSHOT, with
// /NAMESPACE after the pool if there is one; volume.ImageCloner takes that. Only
// a raw image can become a volume so.
//
// # In the pool
//
//	image-…        the objects' bytes, with ID and size in their metadata
//	deleted-…      objects that are deleted, but whose bytes volumes share: they go
//	               with the last of these
//	nephos.images  an object that lists the others: which ID is which image
//
// An object appears, is replaced and disappears with its entry in the list, in one
// step. What a dead process left without an entry Open removes when it is old.
//
// The driver needs cgo and librbd, behind the build tag ceph; see package
// driver/volume/rbd.
package rbd
