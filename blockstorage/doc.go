// Package blockstorage keeps volumes: disks that outlive servers, their
// snapshots, their types, and who has which of them attached. It does Cinder's
// job; package cinder below it speaks the Block Storage API v3.
//
// A newcomer starts at [New], [Service.CreateVolume] and [Service.Kinds], the
// work that turns a record into a disk. Bytes live in a pool, which a driver of
// package driver/volume stands behind; images come in by an [ImageSource] and
// leave by an [ImageSink].
//
// # Work
//
// A volume's status says what is being done to it: creating, deleting,
// extending, reverting, uploading, retyping, managing and unmanaging are phases
// that a worker takes to their end, one idempotent step a wake-up. What cannot
// be done ends in error, error_extending, error_managing or error_deleting, with
// the reason in [Volume.Reason]; what was half made in the pool is given back.
//
// # Moving
//
// A volume moves to another pool because an operator migrates it, or because a
// retype may move it and its own pool cannot give it the new type. Its bytes are
// copied, the record changes pools in one transaction, and the old copy is
// deleted; a record names the second pool all the while, so that nothing is left
// in either whatever ends in between. While it is copied nobody can attach,
// change or delete it. What fails leaves it as it was, with the migration status
// error.
//
// # Services
//
// Operators see a component for each pool and one that schedules. One that they
// disable or freeze gets no new volumes, neither made nor moved; what lives there
// stays as it is.
//
// # Abilities
//
// What volumes can do is for their pools to offer. Types with multiattach set,
// and types whose QoS specs limit the front end, are for pools that can: the
// scheduler passes the others over. Limits reach a volume with its next
// attachment.
//
// # Events
//
// Every change is an event of the service "blockstorage": volume.create,
// volume.available, volume.update, volume.extend, volume.delete, volume.deleted
// and volume.error, .retype, .migrate, .migrated, .manage, .managed, .unmanage,
// .unmanaged and .transfer.create, .delete and .accept carry status, size in GiB, the servers that have the volume
// and the reason of a failure; service.update names a host; snapshot.* likewise; attachment.create, .update,
// .attach and .delete carry volume_id, server_id, host and status. Compute tells
// guests of volume.extend.
//
// # Attachments
//
// There is one state machine, whoever drives it:
//
//	reserved   somebody wants the volume; nobody else gets it
//	attaching  its host is known, and the pool connects it
//	attached   the guest has it
//	detaching  the pool disconnects it, which is retried until it is done
//
// The volume's own status (available, reserved, attaching, in-use, detaching)
// follows from its attachments. Compute drives it by owner key
// ([Service.ReserveVolume], [Service.EnsureAttachment],
// [Service.CompleteAttachment], [Service.ReleaseAttachment]), so that a step
// done twice makes no twin; the attachments API and the older volume actions
// by attachment ID.
//
// The record always knows more than the pool: a host is written down before
// the pool is asked to connect, and an attachment is forgotten only after the
// pool has disconnected it. A crash between any two steps therefore leaks
// nothing.
package blockstorage
