package policy

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

func as(c nephos.Caller) context.Context { return nephos.WithCaller(context.Background(), c) }

func enforcer(t testing.TB, rules ...Rule) *Enforcer {
	t.Helper()
	e, err := New(Base(), rules)
	require.NoError(t, err)
	return e
}

var alice = nephos.Caller{
	UserID: "alice", UserName: "Alice", UserDomainID: "d1", ProjectID: "p1", ProjectDomainID: "d2",
	Roles: []string{"Member", "reader"},
}

func TestChecks(t *testing.T) {
	admin := nephos.Caller{UserID: "root", ProjectID: "p0", Roles: []string{"ADMIN"}}
	system := nephos.Caller{UserID: "root", System: true, Roles: []string{"admin"}}
	domain := nephos.Caller{UserID: "dave", DomainID: "d1", Roles: []string{"manager"}}
	svc := nephos.Service("compute", alice)
	type status string
	for _, tt := range []struct {
		check  string
		who    nephos.Caller
		target Target
		want   bool
	}{
		{"", alice, nil, true},
		{"@", alice, nil, true},
		{"!", admin, nil, false},
		{"not !", alice, nil, true},
		{"role:member", alice, nil, true},
		{"role:MEMBER", alice, nil, true},
		{"role:admin", alice, nil, false},
		{"role:%(needed)s", alice, Target{"needed": "Reader"}, true},
		{"role:%(needed)s", alice, nil, false},
		{"not role:%(needed)s", alice, nil, true},
		{"roles:Member", alice, nil, true},
		{"roles:member", alice, nil, false}, // only role: ignores case
		{"role:\u017fervice", svc, nil, false},
		{"role:service", nephos.Caller{Roles: []string{"\u017fervice"}}, nil, false},
		{"role:admin", nephos.Caller{Roles: []string{"adm\u0130n"}}, nil, false},
		{"project_id:%(project_id)s", alice, Target{"project_id": "p1"}, true},
		{"project_id:%(project_id)s", alice, Target{"project_id": "p2"}, false},
		{"project_id:%(project_id)s", alice, Target{}, false},
		{"project_id:%(project_id)s", alice, nil, false},
		{"tenant_id:%(tenant_id)s", alice, Target{"tenant_id": "p1"}, true},
		{"tenant:%(project_id)s and user:alice", alice, Target{"project_id": "p1"}, true},
		{"project_id:p1", alice, nil, true},
		{"project_id:x%(a)s%%%(b)s", nephos.Caller{ProjectID: "xy%z"}, Target{"a": "y", "b": "z"}, true},
		{"project_id:x%(a)s", nephos.Caller{ProjectID: "xyz"}, Target{"a": "y"}, false},
		{"user_id:%(target.user.id)s", alice, Target{"target.user.id": "alice"}, true},
		{"user_id:%(target.user.id)s", alice, Target{"target": map[string]any{"user": map[string]string{"id": "alice"}}}, true},
		{"user_id:%(target.user.id)s", alice, Target{"target": Target{"user": "alice"}}, false},
		{"user_domain_id:%(target.user.domain_id)s", alice, Target{"target.user.domain_id": "d1"}, true},
		{"token.user.domain.id:d1 and token.project.domain.id:d2", alice, nil, true},
		{"token.project.id:None", system, nil, false},
		{"domain_id:%(target.domain.id)s", domain, Target{"target.domain.id": "d1"}, true},
		{"domain_id:None", alice, nil, true},
		{"project_id:%(project_id)s", system, Target{"project_id": nil}, true},
		{"project_id:%(project_id)s", system, Target{"project_id": ""}, false},
		{"project_id:%(project_id)s", system, Target{"project_id": "None"}, false}, // a client's text
		{"None:%(x)s", alice, Target{"x": nil}, true},
		{"None:%(x)s", alice, Target{"x": (*string)(nil)}, true},
		{"None:%(x)s", alice, Target{"x": "None"}, false},
		{"None:%(x)s", alice, nil, false},
		{"True:%(is_public)s", alice, Target{"is_public": true}, true},
		{"True:%(is_public)s", alice, Target{"is_public": false}, false},
		{"False:%(is_public)s", alice, Target{"is_public": false}, true},
		{"'public':%(v)s", alice, Target{"v": status("public")}, true},
		{`"public":%(v)s`, alice, Target{"v": "private"}, false},
		{"0x10:%(n)s", alice, Target{"n": 16}, true},
		{"-1:%(n)s", alice, Target{"n": int64(-1)}, true},
		{"1e3:%(n)s", alice, Target{"n": 1000.0}, true},
		{"'a':%(list)s", alice, Target{"list": []string{"a"}}, false},
		{"system_scope:all", system, nil, true},
		{"system:all", system, nil, true},
		{"system_scope:all", alice, nil, false},
		{"system_scope:None", alice, nil, true},
		{"system:None", alice, nil, false},
		{"is_admin:True", admin, nil, true},
		{"is_admin:False", alice, nil, true},
		{"is_admin_project:True", alice, nil, true},
		{"service:compute", svc, nil, true},
		{"service:compute", alice, nil, false},
		{"service_roles:service", svc, nil, true},
		{"service_roles:service", alice, nil, false},
		{"is_admin:True", nephos.Service("compute", admin), nil, false},
		{"no_such_thing:None", alice, nil, false},
		{"field:networks:shared=True", alice, Target{"shared": true}, true},
		{"field:networks:router:external=True", alice, Target{"router:external": false}, false},
		{"field:port:device_owner=~^network:", alice, Target{"device_owner": "network:dhcp"}, true},
		{"field:port:device_owner=~network:", alice, Target{"device_owner": "my network:"}, false},
		{"field:port:device_owner=~^network:", alice, nil, false},
		{"rule:project_reader_or_admin", alice, Target{"project_id": "p1"}, true},
		{"rule:project_member_or_admin", alice, Target{"project_id": "p2"}, false},
		{"rule:project_member_or_admin", admin, Target{"project_id": "p2"}, true},
		{"rule:project_manager_or_admin", alice, Target{"project_id": "p1"}, false},
		{"rule:no_such_rule", admin, nil, false},
		{"rule:admin_or_service", svc, nil, true},
		{"@ or ! and !", alice, nil, true},
		{"(@ or !) and !", alice, nil, false},
		{"not @ or @", alice, nil, true},
		{"NOT (@ OR @)", alice, nil, false},
		{"! or (@ and @) and not @", alice, nil, false},
	} {
		e := enforcer(t, Rule{Name: "x", Check: tt.check})
		ctx := as(tt.who)
		require.Equal(t, tt.want, e.Allowed(ctx, "x", tt.target), "%s %v", tt.check, tt.target)
		require.Equal(t, tt.want, e.Enforce(ctx, "x", tt.target) == nil, "%s", tt.check)
		require.Equal(t, tt.want, e.Explain(ctx, "x", tt.target).Allowed, "%s", tt.check)
	}
}

func TestEnforceErrors(t *testing.T) {
	e := enforcer(t, Rule{Name: "svc:do", Check: "!"}, Rule{Name: "svc:sys", ScopeTypes: []string{"system"}})

	err := e.Enforce(context.Background(), "svc:do", nil)
	require.ErrorIs(t, err, nephos.ErrUnauthenticated)
	require.False(t, e.Allowed(context.Background(), "svc:sys", nil))

	var fault *nephos.Error
	require.ErrorAs(t, e.Enforce(as(alice), "svc:do", nil), &fault)
	require.ErrorIs(t, fault, nephos.ErrForbidden)
	require.Equal(t, "PolicyNotAuthorized", fault.Reason)
	require.Equal(t, "Policy doesn't allow svc:do to be performed.", fault.Message)

	require.ErrorAs(t, e.Enforce(as(alice), "svc:undo", nil), &fault)
	require.ErrorIs(t, fault, nephos.ErrForbidden)
	require.ErrorContains(t, fault.Cause, "neither such a rule")

	require.ErrorAs(t, e.Enforce(as(alice), "svc:sys", nil), &fault)
	require.ErrorContains(t, fault.Cause, "scope project")
	require.NoError(t, e.Enforce(as(nephos.Caller{System: true}), "svc:sys", nil))
}

func TestDefaultRuleStandsIn(t *testing.T) {
	e := enforcer(t, Rule{Name: DefaultRule, Check: "role:member"}, Rule{Name: "x", Check: "rule:missing"})
	require.NoError(t, e.Enforce(as(alice), "unknown", nil))
	require.NoError(t, e.Enforce(as(alice), "x", nil))
	require.Error(t, e.Enforce(as(nephos.Caller{}), "unknown", nil))
	require.Contains(t, e.Explain(as(alice), "unknown", nil).String(), "stands in")

	_, err := New([]Rule{{Name: DefaultRule, Check: "rule:missing"}})
	require.ErrorContains(t, err, "circle: default -> default")
}

func TestNewRefuses(t *testing.T) {
	deep := make([]Rule, 40)
	for i := range deep {
		next := "rule:" + strings.Repeat("r", i+2)
		deep[i] = Rule{Name: strings.Repeat("r", i+1), Check: next + " and " + next}
	}
	for name, tt := range map[string]struct {
		rules []Rule
		want  string
	}{
		"no name":    {[]Rule{{Check: "@"}}, "no name"},
		"twice":      {[]Rule{{Name: "a"}, {Name: "a"}}, "rule a is registered twice"},
		"bad text":   {[]Rule{{Name: "a", Check: "role:x and"}}, `rule a: parse rule "role:x and": ends where a check should stand`},
		"circle":     {[]Rule{{Name: "a", Check: "not rule:b"}, {Name: "b", Check: "@ or rule:c"}, {Name: "c", Check: "rule:a"}}, "circle: a -> b -> c -> a"},
		"scope":      {[]Rule{{Name: "a", ScopeTypes: []string{"galaxy"}}}, `scope type "galaxy"`},
		"deprecated": {[]Rule{{Name: "a", Deprecated: &Deprecated{Name: "b", Check: "("}}}, "the deprecated check"},
		"costly":     {deep, "more than 100000 checks"},
	} {
		_, err := New(tt.rules)
		require.ErrorContains(t, err, tt.want, name)
	}
}

func TestRulesAndProblems(t *testing.T) {
	e := enforcer(t, Rule{Name: "x", Check: "rule:gone or color:red", Operations: []string{"GET /x"}})
	rules := e.Rules()
	require.IsIncreasing(t, names(rules))
	require.Len(t, rules, len(Base())+1)
	require.Equal(t, []string{
		"rule x asks for the caller's color, which no caller has",
		"rule x refers to rule gone, which is not defined",
	}, e.Problems())
	require.Empty(t, enforcer(t).Problems(), "the base rules stand by themselves")

	// What nothing asks for is misspelt, as a rule.
	path := filepath.Join(t.TempDir(), "policy.yaml")
	require.NoError(t, os.WriteFile(path, []byte("\"x\": \"rule:mine\"\n\"mine\": \"@\"\n\"y\": \"!\"\n\"default\": \"!\"\n"), 0o600))
	e = enforcer(t, Rule{Name: "x", Check: "!", Operations: []string{"GET /x"}})
	require.NoError(t, e.LoadFile(path))
	require.Equal(t, []string{"nothing here asks for these rules of the file (1): y"}, e.Problems())
}

func names(rules []Rule) []string {
	var all []string
	for _, r := range rules {
		all = append(all, r.Name)
	}
	return all
}

func TestExplain(t *testing.T) {
	e := enforcer(t, Rule{Name: "servers:delete", Check: RuleProjectMemberOrAdmin})
	x := e.Explain(as(alice), "servers:delete", Target{"project_id": "p2"})
	require.False(t, x.Allowed)
	var said []string
	for _, r := range x.Deciders() {
		said = append(said, r.Check+": "+r.Saw)
	}
	require.Equal(t, []string{
		`project_id:%(project_id)s: the caller's project_id is "p1", the target's project_id is "p2"`,
		"role:admin: the caller's roles are Member, reader",
	}, said)
	require.Contains(t, e.Explain(context.Background(), "servers:delete", nil).String(), "nobody is calling")
	require.Contains(t, e.Explain(as(alice), "no", nil).String(), "neither such a rule")
	require.Contains(t, e.Explain(as(alice), "servers:delete", nil).String(), "the target has no project_id")
}
