package cinder

import "github.com/nephos-cloud/nephos/httpapi"

// How clients wait for volumes, snapshots and attachments.
var (
	waitForVolume = &httpapi.Wait{
		Field: "volume.status",
		States: []string{
			"creating", "available", "reserved", "attaching", "detaching", "in-use", "maintenance", "deleting", "awaiting-transfer",
			"backing-up", "restoring-backup", "downloading", "uploading", "retyping", "extending", "managing", "unmanaging", "reverting", "migrating",
			"error", "error_deleting", "error_backing-up", "error_restoring", "error_extending", "error_managing",
		},
		End: []string{"error*"},
	}
	waitForSnapshot = &httpapi.Wait{
		Field: "snapshot.status",
		States: []string{
			"creating", "available", "backing-up", "deleting", "deleted", "restoring", "unmanaging", "error", "error_deleting",
		},
		End: []string{"error*", "deleted"},
	}
	waitForAttachment = &httpapi.Wait{
		Field:  "attachment.status",
		States: []string{"reserved", "attaching", "attached", "detaching", "detached", "error_attaching", "error_detaching"},
		End:    []string{"error*"},
	}
)
