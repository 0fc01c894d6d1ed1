// Package cinder speaks the Block Storage API v3, as its reference describes it
// at microversions 3.0 to 3.67, over the interfaces of package blockstorage.
//
// [New] returns the API as a handler to be mounted at the block storage
// endpoint's root: "/" lists the versions, all else is below "/v3", with the
// project's ID in the path or without it. Built are volumes and their actions,
// retyping and migrating among them, metadata and image metadata, snapshots,
// attachments, volume types with extra specs, access, encryption and default
// types, QoS specs, transfers, what can be managed in the pools, quota sets and
// classes, limits, and what operators see of services, pools, hosts and zones.
// Backups, groups, manageable snapshots, messages and clusters are not: their
// paths answer 404, and nothing advertises them. Migrating a volume that is
// attached answers 501.
package cinder
