package policy

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	tmp := path + ".new"
	require.NoError(t, os.WriteFile(tmp, []byte(content), 0o600))
	require.NoError(t, os.Rename(tmp, path))
}

func TestLoadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	for name, content := range map[string]string{
		"yaml":      "# of the operator\n\"x\": \"role:member and rule:mine\"\nmine: user_id:alice # helper\n",
		"yaml flow": "{x: 'rule:mine and role:member', 'mine': 'user_id:alice'}",
		"yaml list": "x:\n- - role:member\n  - rule:mine\nmine: [['user_id:alice']]\n",
		"yaml fold": "x: >-\n  role:member\n  and rule:mine\nmine: |\n  user_id:alice\n",
		"one key":   "x: role:member and user_id:alice",
		"json":      "{\n\t\"x\": [[\"role:member\", \"rule:mine\"]],\n\t\"mine\": \"user_id:alice\"\n}",
	} {
		e := enforcer(t, Rule{Name: "x", Check: "!", Description: "An example."})
		require.False(t, e.Allowed(as(alice), "x", nil))
		write(t, path, content)
		require.NoError(t, e.LoadFile(path), name)
		require.True(t, e.Allowed(as(alice), "x", nil), name)
		require.False(t, e.Allowed(as(nephos.Caller{UserID: "bob", Roles: []string{"member"}}), "x", nil), name)
		for _, r := range e.Rules() {
			if r.Name == "x" {
				require.Contains(t, r.Check, "role:member", name)
				require.Equal(t, "An example.", r.Description)
			}
		}
	}
}

func TestLoadFileRefusesAndKeeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	e := enforcer(t, Rule{Name: "x", Check: "role:member"})
	for content, want := range map[string]string{
		"x: 'role:a and'":            `line 1: rule "x"`,
		"\n\nx: [[[role:a]]]":        "line 3",
		"x: role:a\nx: role:b":       "already defined",
		`{"x": "@", "x": "!"}`:       "twice",
		`{"x": null}`:                "must be text",
		`["x"]`:                      "no map",
		"- x":                        "no map",
		"x:":                         "must be text",
		"x: true":                    "must be text",
		"x: !":                       "must be text",
		"x: {y: z}":                  "must be text",
		"a: &a role:x\nx: *a":        "must be text",
		"1: '@'":                     "name must be text",
		"x: '@'\n---\nx: '!'":        "more than one",
		"x: [":                       "[1:4]",
		"x: rule:y\ny: rule:x":       "circle",
		"x: 'http://example.org'":    "not supported",
		"'': '@'":                    "no name",
		strings.Repeat("#\n", 1<<20): "larger than",
	} {
		write(t, path, content)
		require.ErrorContains(t, e.LoadFile(path), want, content)
		require.True(t, e.Allowed(as(alice), "x", nil), "the old rule stays after %.30s", content)
	}
	require.ErrorIs(t, e.LoadFile(path+".missing"), os.ErrNotExist)

	write(t, path, "x: '!'")
	require.NoError(t, e.LoadFile(path))
	require.False(t, e.Allowed(as(alice), "x", nil))
	for _, empty := range []string{"", "# nothing\n", "---\n", "null", "{}"} {
		write(t, path, empty)
		require.NoError(t, e.LoadFile(path), "%q", empty)
		require.True(t, e.Allowed(as(alice), "x", nil), "the default is back")
	}
}

func TestDeprecatedNameStillOverrides(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	rule := Rule{Name: "new", Check: "!", Deprecated: &Deprecated{Name: "old", Check: "role:reader"}}
	for content, allowed := range map[string]bool{
		"old: role:member":            true,
		"old: role:reader":            false, // the old default: the new default holds
		"old: rule:new":               false,
		"old: role:member\nnew: '!'":  false,
		"old: '!'\nnew: role:member":  true,
		"something: else_is:the_case": false,
	} {
		e := enforcer(t, rule)
		write(t, path, content)
		require.NoError(t, e.LoadFile(path))
		require.Equal(t, allowed, e.Allowed(as(alice), "new", nil), content)
	}
}

// stepClock lets a test see Watch go to sleep and wake it.
type stepClock struct {
	nephos.WallClock
	asleep chan chan time.Time
}

func (c stepClock) After(time.Duration) <-chan time.Time {
	wake := make(chan time.Time, 1)
	c.asleep <- wake
	return wake
}

func TestWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	e := enforcer(t, Rule{Name: "x", Check: "!"})
	var log bytes.Buffer
	clock := stepClock{asleep: make(chan chan time.Time)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.Watch(ctx, path, clock, slog.New(slog.NewTextHandler(&log, nil)))
	}()
	wake := <-clock.asleep
	step := func() string { // one round of Watch; returns what it logged
		log.Reset()
		wake <- time.Time{}
		wake = <-clock.asleep
		return log.String()
	}
	allowed := func() bool { return e.Allowed(as(alice), "x", nil) }

	require.Contains(t, log.String(), "default rules are in force")
	require.False(t, allowed())
	require.Empty(t, step())

	write(t, path, "x: role:member\ny: rule:nowhere")
	said := step()
	require.Contains(t, said, "policy file loaded")
	require.Contains(t, said, "refers to rule nowhere")
	require.True(t, allowed())
	require.Empty(t, step(), "nothing changed")

	write(t, path, "x: '((('")
	require.Contains(t, step(), "level=ERROR")
	require.True(t, allowed(), "the old rules stay")
	require.Empty(t, step(), "said once")

	require.NoError(t, os.Remove(path))
	require.Contains(t, step(), "level=ERROR")
	require.True(t, allowed())

	write(t, path, "x: '!'")
	require.Contains(t, step(), "policy file loaded")
	require.False(t, allowed())

	cancel()
	<-ended
}

func TestConcurrentUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	write(t, path, "x: rule:member\nmember: role:member")
	e := enforcer(t, Rule{Name: "x", Check: "role:member"})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if !e.Allowed(as(alice), "x", nil) {
					t.Error("denied during a reload")
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				if err := e.LoadFile(path); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
