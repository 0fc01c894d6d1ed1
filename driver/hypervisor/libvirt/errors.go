//go:build libvirt

package libvirt

import (
	"errors"
	"fmt"

	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
)

// meanings are what libvirt's errors mean to us. Others are failures that a
// retry may cure, as package driver has it.
var meanings = map[virt.ErrorNumber]error{
	virt.ERR_NO_DOMAIN:             nephos.ErrNotFound,
	virt.ERR_INVALID_DOMAIN:        nephos.ErrNotFound,
	virt.ERR_NO_SECRET:             nephos.ErrNotFound,
	virt.ERR_NO_DOMAIN_METADATA:    nephos.ErrNotFound,
	virt.ERR_NO_DOMAIN_BACKUP:      nephos.ErrNotFound,
	virt.ERR_DEVICE_MISSING:        nephos.ErrNotFound,
	virt.ERR_OPERATION_INVALID:     nephos.ErrConflict,
	virt.ERR_DOM_EXIST:             nephos.ErrConflict,
	virt.ERR_RESOURCE_BUSY:         nephos.ErrConflict,
	virt.ERR_BLOCK_COPY_ACTIVE:     nephos.ErrConflict,
	virt.ERR_MIGRATE_UNSAFE:        nephos.ErrConflict,
	virt.ERR_OPERATION_DENIED:      nephos.ErrForbidden,
	virt.ERR_ACCESS_DENIED:         nephos.ErrForbidden,
	virt.ERR_AUTH_FAILED:           nephos.ErrForbidden,
	virt.ERR_AUTH_CANCELLED:        nephos.ErrForbidden,
	virt.ERR_XML_ERROR:             nephos.ErrInvalid,
	virt.ERR_XML_DETAIL:            nephos.ErrInvalid,
	virt.ERR_XML_INVALID_SCHEMA:    nephos.ErrInvalid,
	virt.ERR_INVALID_ARG:           nephos.ErrInvalid,
	virt.ERR_INVALID_SECRET:        nephos.ErrInvalid,
	virt.ERR_OS_TYPE:               nephos.ErrInvalid,
	virt.ERR_CPU_INCOMPATIBLE:      nephos.ErrInvalid,
	virt.ERR_NO_MEMORY:             nephos.ErrNoCapacity,
	virt.ERR_NO_SUPPORT:            errors.ErrUnsupported,
	virt.ERR_CONFIG_UNSUPPORTED:    errors.ErrUnsupported,
	virt.ERR_OPERATION_UNSUPPORTED: errors.ErrUnsupported,
	virt.ERR_ARGUMENT_UNSUPPORTED:  errors.ErrUnsupported,
	virt.ERR_NO_CONNECT:            nephos.ErrUnavailable,
	virt.ERR_INVALID_CONN:          nephos.ErrUnavailable,
	virt.ERR_RPC:                   nephos.ErrUnavailable,
	virt.ERR_SYSTEM_ERROR:          nephos.ErrUnavailable,
	virt.ERR_INTERNAL_ERROR:        nephos.ErrUnavailable,
	virt.ERR_OPERATION_FAILED:      nephos.ErrUnavailable,
	virt.ERR_OPERATION_TIMEOUT:     nephos.ErrUnavailable,
	virt.ERR_OPERATION_ABORTED:     nephos.ErrUnavailable,
	virt.ERR_AGENT_UNRESPONSIVE:    nephos.ErrUnavailable,
	virt.ERR_AGENT_UNSYNCED:        nephos.ErrUnavailable,
	virt.ERR_AGENT_COMMAND_TIMEOUT: nephos.ErrUnavailable,
	virt.ERR_AGENT_COMMAND_FAILED:  nephos.ErrUnavailable,
}

// failure is an error of libvirt's with its meaning.
type failure struct {
	kind error
	err  virt.Error
}

func (f failure) Error() string   { return f.kind.Error() + ": libvirt: " + f.err.Message }
func (f failure) Unwrap() []error { return []error{f.kind, f.err} }

// meant gives an error of libvirt's its meaning; other errors stay as they are.
func meant(err error) error {
	var e virt.Error
	if !errors.As(err, &e) {
		return err
	}
	kind := meanings[e.Code]
	switch {
	case kind == nil || errors.Is(err, kind):
		return err
	case err == error(e): //nolint:errorlint // as libvirt gave it, without a word of ours
		return failure{kind, e}
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// is reports whether an error is libvirt's, with one of the codes.
func is(err error, codes ...virt.ErrorNumber) bool {
	var e virt.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code == c {
			return true
		}
	}
	return false
}
