// Command plugin-rbd serves Ceph's block device as a plugin: a pool of volumes, or
// a store of images. It is built with cgo and librbd, which on Debian 12 takes
//
//	apt install librados-dev librbd-dev
//	go build -tags ceph,pacific ./examples/plugin-rbd
//
// and is started by a cloud, with options such as
//
//	-kind volume -monitors 10.0.0.1,10.0.0.2 -user nephos -key-file /etc/ceph/nephos.key -pool volumes
//	-kind blob -monitors 10.0.0.1,10.0.0.2 -user nephos -key-file /etc/ceph/nephos.key -pool images
//
// The key is read from a file, or from NEPHOS_CEPH_KEY in the environment, since
// anybody on a host may read a command line. Hosts of guests can be told another
// user's, with -guest-user and -guest-key-file: one who may use the pool
// ("profile rbd") and nothing else.
//
// A cloud with its images and volumes there, whose volumes share their images'
// bytes, is
//
//	K=arg=-key-file=/etc/ceph/nephos.key M=arg=-monitors=10.0.0.1
//	allinone -images ./plugin-rbd,arg=-kind=blob,$M,$K,arg=-pool=images \
//		-volumes ./plugin-rbd,name=ceph,$M,$K,arg=-pool=volumes
//
// An argument with a comma is quoted: "arg=-monitors=10.0.0.1,10.0.0.2".
package main
