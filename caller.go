package nephos

import (
	"context"
	"slices"
	"time"
)

// Caller is who an operation acts for. A wire package's token middleware puts
// it into the context; every exported operation of a service checks it against
// the operation's policy rule first. Without a Caller there is no access.
type Caller struct {
	UserID, UserName                   string
	UserDomainID, UserDomainName       string
	ProjectID, ProjectName             string // project scope
	ProjectDomainID, ProjectDomainName string
	DomainID, DomainName               string // domain scope
	System                             bool   // system scope "all"
	Roles                              []string
	AuditID                            string    // of the token, for audit; never the token itself
	ExpiresAt                          time.Time // of the token; zero for a service
	RequestID                          string    // "req-" and a UUID
	GlobalRequestID                    string    // as the client sent it, or empty
	Service                            string    // set when a service works on the caller's behalf
}

// HasRole reports whether the caller holds the role, by its lower-case name.
func (c Caller) HasRole(role string) bool { return slices.Contains(c.Roles, role) }

// Service returns the caller as which a service does work that outlives a
// request: it keeps the user, project and request id for the record, holds the
// role "service" and no other, and never a token.
func Service(name string, onBehalfOf Caller) Caller {
	c := onBehalfOf
	c.Service, c.Roles = name, []string{"service"}
	c.ExpiresAt, c.System, c.AuditID = time.Time{}, false, ""
	return c
}

type callerKey struct{}

// WithCaller returns a context that carries the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the context's caller; false when there is none.
func CallerFrom(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
