package identity

import (
	"context"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Permits tells what an operation would say to the caller before it looks at
// its input.
type Permits interface {
	// Permit enforces a rule as the operation behind it does, on the resource with
	// the id where it is about one: ErrForbidden, ErrNotFound or nil. The rules
	// are those of creating and updating; the id of an application credential's
	// rule is its owner's.
	Permit(ctx context.Context, rule, id string) error
}

var _ Permits = (*Service)(nil)

// Permit implements [Permits].
func (s *Service) Permit(ctx context.Context, rule, id string) error {
	var err error
	switch strings.TrimPrefix(rule, "identity:") {
	case "create_user":
		return s.enforce(ctx, rule, userTarget(User{DomainID: homeDomain(ctx, "")}))
	case "create_group":
		return s.enforce(ctx, rule, groupTarget(Group{DomainID: homeDomain(ctx, "")}))
	case "create_project":
		home := homeDomain(ctx, "")
		return s.enforce(ctx, rule, projectTarget(Project{DomainID: home, ParentID: home}))
	case "create_application_credential":
		return s.enforce(ctx, rule, owner(id))
	case "update_user":
		_, err = s.userFor(ctx, rule, id)
	case "update_group":
		_, err = s.groupFor(ctx, rule, id)
	case "update_domain":
		_, err = s.domainFor(ctx, rule, id)
	case "update_project", "update_project_tags":
		_, err = s.projectFor(ctx, rule, id)
	case "update_role":
		_, err = s.roleFor(ctx, "update", id)
	case "update_endpoint":
		_, err = s.endpointFor(ctx, rule, id)
	default:
		return s.enforce(ctx, rule, nil)
	}
	return err
}

// tooLong refuses text that does not fit where it is kept, in the Identity
// API's words.
func tooLong(column, text string, limit int) error {
	if n := len([]rune(text)); n <= limit {
		return nil
	}
	field := column[strings.LastIndexByte(column, '.')+1:]
	return nephos.Errorf(nephos.ErrInvalid, "String length exceeded. The length of string '%s' exceeds the limit of column %s(CHAR(%d)).",
		clip(text), field, limit).WithField(field)
}
