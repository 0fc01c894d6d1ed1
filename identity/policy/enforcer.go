package policy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nephos-cloud/nephos"
)

// Enforcer holds the rules in force and decides by them. It is safe for
// concurrent use; new rules replace the old ones all at once.
type Enforcer struct {
	defaults map[string]*entry
	load     sync.Mutex // one load at a time, so that the last to start wins
	current  atomic.Pointer[ruleSet]
	denied   atomic.Pointer[func(ctx context.Context, rule string, target Target)]
}

// New returns an enforcer of the services' default rules. It fails when a check
// does not parse, when a name is registered twice, and when rules refer to each
// other in a circle. A reference to a rule that is not defined is allowed, as
// an operator's file may define it, and false until then: see
// [Enforcer.Problems].
func New(defaults ...[]Rule) (*Enforcer, error) {
	parsed, err := parseDefaults(defaults)
	if err != nil {
		return nil, fmt.Errorf("register policy rules: %w", err)
	}
	set, err := build(parsed, nil)
	if err != nil {
		return nil, fmt.Errorf("register policy rules: %w", err)
	}
	e := &Enforcer{defaults: parsed}
	e.current.Store(set)
	return e, nil
}

// Enforce returns nil if the context's caller may do what the rule guards to
// the target.
//
// Without a caller the error wraps [nephos.ErrUnauthenticated]. A caller who may
// not gets a [*nephos.Error] of kind [nephos.ErrForbidden] with the reason
// "PolicyNotAuthorized". A rule that is not defined is decided by the rule
// "default", and denied where there is none either; the error's cause says so.
func (e *Enforcer) Enforce(ctx context.Context, rule string, target Target) error {
	who, ok := nephos.CallerFrom(ctx)
	if !ok {
		return nephos.Errorf(nephos.ErrUnauthenticated, "The request you have made requires authentication.")
	}
	entry := e.current.Load().find(rule)
	var err error
	switch {
	case entry == nil:
		err = denied(rule, fmt.Errorf("enforce %s: there is neither such a rule nor a rule %q", rule, DefaultRule))
	case !entry.takesScope(&who):
		err = denied(rule, fmt.Errorf("enforce %s: it takes a token of scope %v, the caller's is of scope %s", rule, entry.rule.ScopeTypes, scopeOf(&who)))
	case !entry.check.eval(&who, target):
		err = denied(rule, nil)
	default:
		return nil
	}
	if f := e.denied.Load(); f != nil {
		(*f)(ctx, rule, target)
	}
	return err
}

// OnDenied has f called for each denial by Enforce, before it returns: to log
// it, or to keep what Explain says of it. f must be safe for concurrent use.
func (e *Enforcer) OnDenied(f func(ctx context.Context, rule string, target Target)) {
	e.denied.Store(&f)
}

// Allowed reports whether Enforce would return nil, and is cheaper when it
// would not: use it to filter lists and to decide on single fields.
func (e *Enforcer) Allowed(ctx context.Context, rule string, target Target) bool {
	who, ok := nephos.CallerFrom(ctx)
	if !ok {
		return false
	}
	entry := e.current.Load().find(rule)
	return entry != nil && entry.takesScope(&who) && entry.check.eval(&who, target)
}

// Rules returns the rules in force, overrides applied, sorted by name.
func (e *Enforcer) Rules() []Rule {
	set := e.current.Load()
	rules := make([]Rule, 0, len(set.byName))
	for r := range maps.Values(set.byName) {
		rules = append(rules, r.rule)
	}
	slices.SortFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Name, b.Name) })
	return rules
}

// Problems returns what looks wrong with the rules in force and does not keep
// them from working: a reference to a rule that is not defined, an attribute
// that no caller has, an override of a deprecated name.
func (e *Enforcer) Problems() []string { return slices.Clone(e.current.Load().problems) }

func denied(rule string, cause error) error {
	return &nephos.Error{
		Kind:    nephos.ErrForbidden,
		Message: "Policy doesn't allow " + rule + " to be performed.",
		Reason:  "PolicyNotAuthorized",
		Cause:   cause,
	}
}

func (e *entry) takesScope(who *nephos.Caller) bool {
	return len(e.rule.ScopeTypes) == 0 || slices.Contains(e.rule.ScopeTypes, scopeOf(who))
}

// scopeOf is the scope of the caller's token; one without scope counts as a
// project's, as it does for oslo.policy.
func scopeOf(who *nephos.Caller) string {
	switch {
	case who.System:
		return "system"
	case who.DomainID != "":
		return "domain"
	}
	return "project"
}
