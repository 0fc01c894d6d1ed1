package identity

import (
	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// notFound is the error for a resource that does not exist, in the Identity
// API's words.
func notFound(resource, id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Could not find %s: %s.", resource, clip(id))
}

// taken turns the store's complaint about a duplicate name into a conflict;
// other errors pass.
func taken(err error, resource, name, domainID string) error {
	if err == nil || !store.UniqueViolation(err) {
		return err
	}
	return duplicate(resource, name, domainID)
}

func duplicate(resource, name, domainID string) error {
	where := ""
	if domainID != "" {
		where = " at domain ID " + domainID
	}
	return nephos.Errorf(nephos.ErrConflict, "Conflict occurred attempting to store %s - Duplicate entry found with name %s%s.",
		resource, name, where).WithField("name")
}

// clip bounds text from outside that goes into a message.
func clip(s string) string {
	if len(s) > 255 {
		return s[:255]
	}
	return s
}
