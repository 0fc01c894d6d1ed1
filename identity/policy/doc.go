// Package policy decides who may do what: it is oslo.policy's rule language and
// its enforcement.
//
// A service registers its default rules once, with the operations they guard,
// and asks before it acts:
//
//	enforcer, err := policy.New(policy.Base(), []policy.Rule{{
//		Name:       "os_compute_api:servers:show",
//		Check:      policy.RuleProjectReaderOrAdmin,
//		Operations: []string{"GET /servers/{server_id}"},
//	}})
//	...
//	err = enforcer.Enforce(ctx, "os_compute_api:servers:show", policy.Target{"project_id": server.ProjectID})
//
// Who is acting comes from the context ([nephos.CallerFrom]); what is acted upon
// is the [Target]. An operator's file (policy.yaml or policy.json) overrides the
// defaults by name: [Enforcer.LoadFile], [Enforcer.Watch]. [Enforcer.Explain]
// says why an answer is what it is.
//
// # The language
//
//	@                              always; so is the empty text
//	!                              never
//	role:member                    the caller holds the role, in any case of letters
//	rule:admin_api                 whatever that rule says
//	project_id:%(project_id)s      an attribute of the caller equals one of the target
//	is_admin:True                  an attribute of the caller equals this text
//	'public':%(visibility)s        a literal (text, number, True, False, None) equals one of the target
//	field:networks:shared=True     Neutron's: the target's field has the value; =~ takes a regular expression
//	not A, A and B, A or B, (A)    in order of how tightly they bind
//
// The older form, a list of lists, is read too: the outer list is joined by
// "or", the inner ones by "and".
//
// An attribute of the caller is one of user_id (user), user_name,
// user_domain_id, project_id (project, tenant, tenant_id), project_name
// (tenant_name), project_domain_id, domain_id, system_scope (system), roles,
// is_admin, is_admin_project, service, service_roles, and under "token." the
// paths user.id, user.domain.id, project.id, project.domain.id, domain.id and
// is_admin_project. One that the caller lacks is None, as it is for oslo.policy.
//
// # Where it is stricter than oslo.policy
//
// What oslo.policy logs and then treats as "never", or trips over in the middle
// of a request (text that does not parse, a bad format, rules that refer to
// each other in a circle), is refused here when the rules are loaded. The
// checks http: and https: are refused as well. A text "None" sent by a client
// never equals an attribute that the caller lacks; oslo.policy compares the two
// as text and finds them equal.
package policy
