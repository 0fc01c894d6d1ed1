// Package wire is what the two ends of a plugin's connection share: how plain
// data become messages and back, how errors keep their meaning, how streams
// are framed, and how a trace goes on.
package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nephos-cloud/nephos"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
)

// meanings is the table of how errors cross, both ways: what an error wraps,
// its word in a Fault, and its gRPC code. The first row that an error matches
// decides its code; a status without a Fault means the first row of its code.
var meanings = []struct {
	kind error
	word string
	code codes.Code
}{
	{nephos.ErrInvalid, "invalid", codes.InvalidArgument},
	{nephos.ErrNotFound, "not_found", codes.NotFound},
	{nephos.ErrConflict, "conflict", codes.FailedPrecondition},
	{nephos.ErrPrecondition, "precondition", codes.FailedPrecondition},
	{nephos.ErrNoCapacity, "no_capacity", codes.ResourceExhausted},
	{nephos.ErrQuota, "quota", codes.ResourceExhausted},
	{nephos.ErrTooLarge, "too_large", codes.InvalidArgument},
	{nephos.ErrForbidden, "forbidden", codes.PermissionDenied},
	{nephos.ErrUnauthenticated, "unauthenticated", codes.Unauthenticated},
	{nephos.ErrRange, "range", codes.OutOfRange},
	{nephos.ErrGone, "gone", codes.NotFound},
	{errors.ErrUnsupported, "unsupported", codes.Unimplemented},
	{context.Canceled, "canceled", codes.Canceled},
	{context.DeadlineExceeded, "deadline", codes.DeadlineExceeded},
	{nephos.ErrUnavailable, "unavailable", codes.Unavailable},
	{io.ErrUnexpectedEOF, "broken_off", codes.DataLoss},
}

// maxMessage bounds the text of an error.
const maxMessage = 4096

// Fault is the error as it travels.
func Fault(err error) *driverv1.Fault {
	f := &driverv1.Fault{Message: clip(err.Error())}
	for _, m := range meanings {
		if errors.Is(err, m.kind) {
			f.Kinds = append(f.Kinds, m.word)
		}
	}
	var e *nephos.Error
	if errors.As(err, &e) {
		f.Reason, f.Field = clip(e.Reason), clip(e.Field)
		for i, word := range f.Kinds { // its own kind comes first
			if word == wordOf(e.Kind) {
				f.Kinds[0], f.Kinds[i] = word, f.Kinds[0]
			}
		}
	}
	return f
}

func wordOf(kind error) string {
	for _, m := range meanings {
		if m.kind == kind { //nolint:errorlint // the sentinel itself
			return m.word
		}
	}
	return ""
}

// Err is the fault as an error again: a *nephos.Error if it has a meaning.
func Err(f *driverv1.Fault) error {
	var kinds []error
	for _, word := range f.GetKinds() {
		for _, m := range meanings {
			if m.word == word && len(kinds) < len(meanings) {
				kinds = append(kinds, m.kind)
			}
		}
	}
	message := said(f.GetMessage())
	if len(kinds) == 0 {
		return errors.New(message)
	}
	e := &nephos.Error{Kind: kinds[0], Message: message, Reason: oneLine(f.GetReason()), Field: oneLine(f.GetField())}
	if len(kinds) > 1 {
		e.Cause = errors.Join(kinds[1:]...)
	}
	return e
}

// ToStatus makes an error ready for gRPC.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	f, code := Fault(err), codes.Unknown
	for _, m := range meanings {
		if len(f.Kinds) > 0 && m.word == f.Kinds[0] {
			code = m.code
		}
	}
	s := status.New(code, f.Message)
	if detailed, err := s.WithDetails(f); err == nil {
		s = detailed
	}
	return s.Err()
}

// FromStatus gives an error that came by gRPC its meaning back. An error that
// gRPC itself made, because the plugin is gone, means nephos.ErrUnavailable.
func FromStatus(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, d := range s.Details() {
		if f, ok := d.(*driverv1.Fault); ok && meant(f, s.Code()) {
			return Err(f)
		}
	}
	if s.Code() == codes.ResourceExhausted && strings.HasPrefix(s.Message(), "grpc: ") {
		return fmt.Errorf("the message is too large: %s: a plugin gives large content by its socket, not in messages", oneLine(strings.TrimPrefix(s.Message(), "grpc: ")))
	}
	for _, m := range meanings {
		if s.Code() == m.code {
			message := said(s.Message())
			if m.code == codes.Unimplemented { // as gRPC's libraries say it, in few words
				message = "the plugin does not serve this call: " + message
			}
			return &nephos.Error{Kind: m.kind, Message: message}
		}
	}
	return errors.New(said(s.Message()))
}

// said is the text of an error that came from the other side.
func said(message string) string {
	if message = oneLine(message); message == "" {
		return "the plugin failed and did not say why"
	}
	return message
}

// oneLine bounds a text and makes it one line that logs and terminals can carry.
func oneLine(s string) string {
	s = strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ")
	return clip(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s))
}

// meant tells whether the fault and the code say the same.
func meant(f *driverv1.Fault, code codes.Code) bool {
	if len(f.GetKinds()) == 0 {
		return code == codes.Unknown
	}
	for _, m := range meanings {
		if m.word == f.GetKinds()[0] {
			return m.code == code
		}
	}
	return false
}

// clip bounds a text and makes it one that protobuf and logs can carry.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= maxMessage {
		return s
	}
	s = s[:maxMessage-4]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}
