package glance

import "github.com/nephos-cloud/nephos/httpapi"

// waitForImage says how clients wait for an image.
var waitForImage = &httpapi.Wait{
	Field:  "status",
	States: []string{"queued", "saving", "uploading", "importing", "active", "deactivated", "killed", "deleted", "pending_delete"},
	End:    []string{"killed", "deleted"},
}
