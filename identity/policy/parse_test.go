package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wellFormed is texts and how they print.
var wellFormed = map[string]string{
	"":                                       "@",
	"( ! )":                                  "!",
	"role:a and not role:b or role:c":        "((role:a and not role:b) or role:c)",
	"not role:a and role:b":                  "(not role:a and role:b)",
	"role:a and (role:b or role:c)":          "(role:a and (role:b or role:c))",
	"a:b or c:d and (e:f or g:h)":            "(a:b or (c:d and (e:f or g:h)))",
	"a:b or (c:d and e:f) and g:h":           "(a:b or (c:d and e:f and g:h))",
	"(a:b and c:d) and e:f":                  "((a:b and c:d) and e:f)",
	"a:b or (c:d or e:f) and g:h":            "(a:b or ((c:d or e:f) and g:h))",
	"a:b or not (c:d and e:f) and g:h":       "(a:b or (not (c:d and e:f) and g:h))",
	"a:b and c:d or e:f and g:h and i:j":     "((a:b and c:d) or (e:f and g:h and i:j))",
	"not\tnot\n((a:b))":                      "not not a:b",
	"(project_id:%(project_id)s)":            "project_id:%(project_id)s",
	"'lit':%(x)s OR None:%(y)s Or a:x%%":     "('lit':%(x)s or None:%(y)s or a:x%%)",
	"field:networks:router:external=True":    "field:networks:router:external=True",
	"tenant_id:%(network:tenant_id)s":        "tenant_id:%(network:tenant_id)s",
	"role:":                                  "role:",
	"compute:x:y":                            "compute:x:y",
	"user_id:%(target.user.id)s\u00a0and @":  "(user_id:%(target.user.id)s and @)",
	"rule:os_compute_api:servers:show or a:": "(rule:os_compute_api:servers:show or a:)",
}

// malformed is texts that oslo.policy takes for "never" or trips over later.
var malformed = []string{
	" ", "()", "(", ")", "not", "and", "or role:a", "role:a role:b", "role:a not role:b", "role:a and", "role:a or or role:b",
	"foo", "foo and @", `"quoted"`, "'a':'b'", "not(a:b)", "a:b or c:d) and (e:f", "x:(y)", "((a:b)", "!)", "'x y':%(z)s",
	"a:%", "a:%s", "a:%(b)", "a:%(b)d", "a:%(b", "a:%()s", "a:50%", ":x", "'open:x", `'a\n':x`, "1a:x", "0123:x", "[1]:x", "{}:x", "b'x':x", "--1:x", "0x1p4:x",
	"http:example.org", "https:example.org/%(x)s", "field:networks", "field:networks:shared", "field:networks:x=~(",
}

func TestParse(t *testing.T) {
	for in, want := range wellFormed {
		c, err := Parse(in)
		require.NoError(t, err, in)
		require.Equal(t, want, c.String())
		roundTrip(t, c)
	}
	for _, in := range malformed {
		_, err := Parse(in)
		require.Error(t, err, in)
	}
}

func TestParseBounds(t *testing.T) {
	for _, in := range []string{strings.Repeat("(", 10_000) + "@", strings.Repeat("not ", 10_000) + "@", "a:" + strings.Repeat("b", maxText)} {
		_, err := Parse(in)
		require.Error(t, err)
		require.Less(t, len(err.Error()), 500)
	}
}

func roundTrip(t *testing.T, c *Check) {
	t.Helper()
	again, err := Parse(c.String())
	require.NoError(t, err, "%s", c)
	require.True(t, c.Equal(again), "%s became %s", c, again)
	require.True(t, c.Equal(c.clone()))
}

func TestParseList(t *testing.T) {
	list := func(v ...any) []any { return v }
	for _, tt := range []struct {
		in   []any
		want string
	}{
		{list(), "@"},
		{list(list()), "!"},
		{list("role:a"), "role:a"},
		{list("", list("role:a", "role:b"), list("@")), "((role:a and role:b) or @)"},
		{list("'two words':%(x)s"), "'two words':%(x)s"},
	} {
		c, err := ParseList(tt.in)
		require.NoError(t, err)
		require.Equal(t, tt.want, c.String())
	}
	for _, in := range [][]any{list(1), list(list(1)), list(list(list("@"))), list("foo"), list(list("@", "http:x"))} {
		_, err := ParseList(in)
		require.Error(t, err)
	}
}

func FuzzParse(f *testing.F) {
	for in := range wellFormed {
		f.Add(in)
	}
	for _, in := range malformed {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		c, err := Parse(in)
		if err != nil {
			return
		}
		if s := c.String(); len(s) <= maxText {
			roundTrip(t, c)
		}
		c.eval(&alice, Target{"x": 1})
	})
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte(`{"a": "role:b", "c": [["role:d", "@"], "!"]}`))
	f.Add([]byte("# c\n\"a\": role:b\nc:\n- - role:d\n  - '@'\n- '!'\nd: >-\n  role:x\n"))
	f.Add([]byte("a: &x [role:b]\nb: *x\n<<: {c: d}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, err := parseFile(data)
		if err == nil {
			_, _ = build(nil, rules)
		}
	})
}
