package hypervisor

import "context"

// PasswordSetter changes a user's password inside a running guest, through an
// agent in the guest.
type PasswordSetter interface {
	// SetPassword sets the password of the user; an empty user is the guest's
	// administrator. The password is never logged and never in an error. A guest
	// that is not running is ErrConflict; one whose agent does not answer is
	// ErrUnavailable; one that was made without an agent is ErrUnsupported; a
	// user that the guest does not have is ErrNotFound or ErrInvalid.
	SetPassword(ctx context.Context, id, user, password string) error
}
