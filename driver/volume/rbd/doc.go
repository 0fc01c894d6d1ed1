// Package rbd is a volume driver that keeps volumes as images of Ceph's block
// device (RBD), which guests on any host open by librbd. Snapshots and copies
// take no room of their own and are made in no time, and so are volumes of images
// that the blob driver of the same name keeps in the same cluster.
//
//	d, err := rbd.Open(ctx, rbd.Config{
//		CloudID: "cloud1", Monitors: []string{"10.0.0.1", "10.0.0.2"},
//		User: "nephos", Key: "AQ…==", Pool: "volumes",
//	})
//
// The user needs the capabilities "profile rbd" of the monitors and of the OSDs
// for the pool, and "profile rbd-read-only" for pools that images are cloned
// from.
//
// # In the pool
//
//	volume-ID     the volumes, with what is known of them in their metadata
//	making-…      volumes on their way; Open removes old ones
//	deleted-…     volumes that are deleted, but whose bytes copies share: they go
//	              with the last of these
//
// A volume's snapshots are named snapshot-ID. Other images are left alone, and
// can be adopted. The pool's, or namespace's, object nephos.pool names the cloud
// that it belongs to.
//
// # Building
//
// The driver needs cgo and librbd, behind the build tag ceph; on Debian 12:
//
//	apt install librados-dev librbd-dev
//	go build -tags ceph,pacific ./...
//
// Without the tag the package has its Config only. It is best run as a plugin
// (examples/plugin-rbd), so that librbd's threads and failures are another
// process's.
package rbd
