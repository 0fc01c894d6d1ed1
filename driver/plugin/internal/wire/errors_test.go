package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nephos-cloud/nephos"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
)

func TestErrorsKeepTheirMeaning(t *testing.T) {
	for _, m := range meanings {
		err := FromStatus(ToStatus(fmt.Errorf("doing: %w", m.kind)))
		require.ErrorIs(t, err, m.kind)
		require.ErrorContains(t, err, "doing: ")
		for _, other := range meanings {
			if other.word != m.word {
				require.NotErrorIs(t, err, other.kind)
			}
		}
	}
	require.NoError(t, FromStatus(ToStatus(nil)))
	require.EqualError(t, FromStatus(ToStatus(errors.New("odd"))), "odd")

	two := FromStatus(ToStatus(fmt.Errorf("took too long: %w: %w", nephos.ErrUnavailable, context.DeadlineExceeded)))
	require.ErrorIs(t, two, nephos.ErrUnavailable)
	require.ErrorIs(t, two, context.DeadlineExceeded)

	var e *nephos.Error
	require.True(t, errors.As(FromStatus(ToStatus(fmt.Errorf("x: %w", nephos.Errorf(nephos.ErrGone, "gone %w", nephos.ErrInvalid).WithField("f").WithReason("R")))), &e))
	require.Equal(t, nephos.ErrGone, e.Kind, "its own kind comes first")
	require.ErrorIs(t, e, nephos.ErrInvalid)
	require.Equal(t, "f", e.Field)
	require.Equal(t, "R", e.Reason)
}

// Every sentinel of the root package is in the table.
func TestTheTableIsComplete(t *testing.T) {
	for _, kind := range []error{
		nephos.ErrInvalid, nephos.ErrUnauthenticated, nephos.ErrForbidden, nephos.ErrQuota, nephos.ErrNotFound, nephos.ErrConflict, nephos.ErrPrecondition,
		nephos.ErrTooLarge, nephos.ErrRange, nephos.ErrNoCapacity, nephos.ErrUnavailable, nephos.ErrGone, errors.ErrUnsupported, context.Canceled, context.DeadlineExceeded,
	} {
		require.NotEmpty(t, wordOf(kind), "%v", kind)
	}
}

// What a plugin in another language says without a Fault, or with a wrong one.
func TestStatusesAlone(t *testing.T) {
	for code, kind := range map[codes.Code]error{
		codes.InvalidArgument: nephos.ErrInvalid, codes.NotFound: nephos.ErrNotFound, codes.FailedPrecondition: nephos.ErrConflict,
		codes.ResourceExhausted: nephos.ErrNoCapacity, codes.Unavailable: nephos.ErrUnavailable, codes.Unimplemented: errors.ErrUnsupported,
		codes.OutOfRange: nephos.ErrRange, codes.PermissionDenied: nephos.ErrForbidden, codes.Unauthenticated: nephos.ErrUnauthenticated,
		codes.Canceled: context.Canceled, codes.DeadlineExceeded: context.DeadlineExceeded,
	} {
		require.ErrorIs(t, FromStatus(status.Error(code, "x")), kind)
	}
	lie, err := status.New(codes.NotFound, "x").WithDetails(&driverv1.Fault{Kinds: []string{"canceled"}})
	require.NoError(t, err)
	require.ErrorIs(t, FromStatus(lie.Err()), nephos.ErrNotFound)
	require.NotErrorIs(t, FromStatus(lie.Err()), context.Canceled)
	for text, want := range map[string]string{
		"":                                "the plugin failed and did not say why",
		"disk failed\n\x1b[31mslot 7\x00": "disk failed;  [31mslot 7 ",
	} {
		require.EqualError(t, FromStatus(status.Error(codes.Unknown, text)), want)
		require.EqualError(t, FromStatus(status.Error(codes.NotFound, text)), want, "with a meaning")
		require.EqualError(t, FromStatus(ToStatus(errors.New(text))), want, "with a Fault")
	}
	require.EqualError(t, FromStatus(status.Error(codes.Unimplemented, "Method not found!")), "the plugin does not serve this call: Method not found!")
	long := FromStatus(status.Error(codes.NotFound, strings.Repeat("ü", 10_000)))
	require.Less(t, len(long.Error()), 5000)
}
