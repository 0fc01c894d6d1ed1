package plugin

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nephos-cloud/nephos"
)

// meanings is the table of how errors cross: the first sentinel that an error
// wraps decides its code, and the code decides the sentinel on the other side.
var meanings = []struct {
	kind error
	code codes.Code
}{
	{nephos.ErrInvalid, codes.InvalidArgument},
	{nephos.ErrNotFound, codes.NotFound},
	{nephos.ErrConflict, codes.FailedPrecondition},
	{nephos.ErrNoCapacity, codes.ResourceExhausted},
	{nephos.ErrUnavailable, codes.Unavailable},
	{nephos.ErrForbidden, codes.PermissionDenied},
	{nephos.ErrRange, codes.OutOfRange},
	{nephos.ErrTooLarge, codes.Aborted},
	{errors.ErrUnsupported, codes.Unimplemented},
	{context.Canceled, codes.Canceled},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
}

func toStatus(err error) error {
	if err == nil {
		return nil
	}
	for _, m := range meanings {
		if errors.Is(err, m.kind) {
			return status.Error(m.code, err.Error())
		}
	}
	return status.Error(codes.Unknown, err.Error())
}

func fromStatus(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, m := range meanings {
		if s.Code() == m.code {
			return &nephos.Error{Kind: m.kind, Message: s.Message(), Cause: err}
		}
	}
	return errors.New(s.Message())
}
