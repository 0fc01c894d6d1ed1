package policy

import (
	"strings"

	"github.com/nephos-cloud/nephos"
)

// attribute is one attribute of the caller that a rule can name.
type attribute uint8

const (
	attrUnknown attribute = iota // a name no caller has: every comparison is false
	attrUserID
	attrUserName
	attrUserDomainID
	attrProjectID
	attrProjectName
	attrProjectDomainID
	attrDomainID
	attrSystemScope
	attrSystem
	attrIsAdmin
	attrIsAdminProject
	attrRoles
	attrService
	attrServiceRoles
	attrTokenUserID
	attrTokenUserDomainID
	attrTokenProjectID
	attrTokenProjectDomainID
	attrTokenDomainID
)

var attributes = map[string]attribute{
	"user_id":                 attrUserID,
	"user":                    attrUserID,
	"user_name":               attrUserName,
	"user_domain_id":          attrUserDomainID,
	"project_id":              attrProjectID,
	"project":                 attrProjectID,
	"tenant_id":               attrProjectID,
	"tenant":                  attrProjectID,
	"project_name":            attrProjectName,
	"tenant_name":             attrProjectName,
	"project_domain_id":       attrProjectDomainID,
	"domain_id":               attrDomainID,
	"system_scope":            attrSystemScope,
	"system":                  attrSystem,
	"is_admin":                attrIsAdmin,
	"is_admin_project":        attrIsAdminProject,
	"roles":                   attrRoles,
	"service":                 attrService,
	"service_roles":           attrServiceRoles,
	"token.user.id":           attrTokenUserID,
	"token.user.domain.id":    attrTokenUserDomainID,
	"token.project.id":        attrTokenProjectID,
	"token.project.domain.id": attrTokenProjectDomainID,
	"token.domain.id":         attrTokenDomainID,
	"token.is_admin_project":  attrIsAdminProject,
}

// value returns an attribute that holds one value; false when the caller does
// not even have the attribute, so that not even None equals it.
func (a attribute) value(c *nephos.Caller) (text, bool) {
	switch a {
	case attrUserID:
		return orNone(c.UserID)
	case attrUserName:
		return orNone(c.UserName)
	case attrUserDomainID:
		return orNone(c.UserDomainID)
	case attrProjectID:
		return orNone(c.ProjectID)
	case attrProjectName:
		return orNone(c.ProjectName)
	case attrProjectDomainID:
		return orNone(c.ProjectDomainID)
	case attrDomainID:
		return orNone(c.DomainID)
	case attrSystemScope, attrSystem:
		if c.System {
			return text{s: "all"}, true
		}
		return noneText, a == attrSystemScope
	case attrIsAdmin:
		return boolText(holds(c, "admin")), true
	case attrIsAdminProject:
		return text{s: "True"}, true
	case attrService:
		return orNone(c.Service)
	case attrTokenUserID:
		return text{s: c.UserID}, c.UserID != ""
	case attrTokenUserDomainID:
		return text{s: c.UserDomainID}, c.UserDomainID != ""
	case attrTokenProjectID:
		return text{s: c.ProjectID}, c.ProjectID != ""
	case attrTokenProjectDomainID:
		return text{s: c.ProjectDomainID}, c.ProjectDomainID != ""
	case attrTokenDomainID:
		return text{s: c.DomainID}, c.DomainID != ""
	}
	return text{}, false
}

// equals reports whether the attribute, or one of the values it holds, equals
// the template.
func (a attribute) equals(c *nephos.Caller, t template, target Target) bool {
	switch a {
	case attrRoles:
		for _, r := range c.Roles {
			if t.equals(text{s: r}, target) {
				return true
			}
		}
		return false
	case attrServiceRoles:
		return c.Service != "" && t.equals(text{s: "service"}, target)
	}
	v, ok := a.value(c)
	return ok && t.equals(v, target)
}

func orNone(s string) (text, bool) {
	if s == "" {
		return noneText, true
	}
	return text{s: s}, true
}

// holds reports whether the caller has the role, in any case of letters.
func holds(c *nephos.Caller, role string) bool {
	for _, r := range c.Roles {
		if r == role {
			return true
		}
	}
	role = lower(role)
	for _, r := range c.Roles {
		if lower(r) == role {
			return true
		}
	}
	return false
}

// lower is Python's str.lower for what matters here: a dotted capital I keeps
// its dot, and letters that merely fold alike (a long s) stay apart. A role by
// another name must not pass for the real one.
func lower(s string) string {
	return strings.ToLower(strings.ReplaceAll(s, "\u0130", "i\u0307"))
}
