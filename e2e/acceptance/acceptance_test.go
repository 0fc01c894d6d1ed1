package acceptance

import (
	"cmp"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/e2e/compat"
)

const (
	module = "github.com/gophercloud/gophercloud/v2"
	suites = module + "/internal/acceptance/openstack/"
)

// lane is some services' suites, run one after the other on a cloud of their
// own, because some tests count what they find.
type lane struct {
	services []string // a name stands for all suites below it
	user     string   // who runs them: admin, or a member of the project demo
	run      string   // only the tests that match; empty: all
}

var lanes = []lane{
	{services: []string{"compute/v2"}, user: "admin"},
	{services: []string{"blockstorage/v3", "identity/v3", "image/v2", "networking/v2", "placement/v1"}, user: "admin"},
	{services: []string{"compute/v2", "identity/v3"}, user: "demo", run: "^(TestServersActionLock|TestProjectsListAvailable)$"},
}

func TestGophercloud(t *testing.T) {
	if os.Getenv("NEPHOS_E2E") != "1" {
		t.Skip("NEPHOS_E2E=1 is not set: it takes minutes")
	}
	expected := readExpected(t)
	only := os.Getenv("NEPHOS_ACCEPTANCE_ONLY")
	got, evidence := map[test]outcome{}, compat.Evidence{}
	var mu sync.Mutex
	t.Run("lanes", func(t *testing.T) {
		for _, l := range lanes {
			suites := slices.DeleteFunc(findSuites(t, l.services), func(s suite) bool {
				return absentSuites(expected)[s.name] || only != "" && s.name != only
			})
			if len(suites) == 0 {
				continue
			}
			t.Run(l.user+" "+l.services[0], func(t *testing.T) {
				t.Parallel()
				rec := compat.NewRecorder()
				c := cloudtest.New(t, cloudtest.Options{
					Hosts: 1, // some ask the first host about the only server
					Live:  true, Listen: true, Compose: func(cfg *cloud.Config) { cfg.Observe = rec.Observe },
				})
				// Some look for the status in between, as it takes a guest a while.
				c.Faults.Add(fake.Fault{Method: "Reboot", Delay: time.Second / 2, Count: -1})
				env := prepare(t, c, l.user)
				for _, s := range suites {
					results := runSuite(t, s, env, l.run, rec)
					mu.Lock()
					for k, o := range results {
						if was, ok := got[k]; !ok || was.verdict == "skip" {
							got[k] = o
						}
					}
					mu.Unlock()
				}
				mu.Lock()
				defer mu.Unlock()
				evidence.Merge(rec.Evidence())
			})
		}
	})
	if only != "" {
		maps.DeleteFunc(expected, func(k test, _ outcome) bool { return k.suite != only })
	} else if updating() {
		require.NoError(t, update(expected, got))
		expected = got
	}
	for _, d := range differences(expected, got) {
		t.Error(d)
	}
	if only == "" {
		wrong, err := compat.Check(compat.Gophercloud, evidence)
		require.NoError(t, err)
		for _, w := range wrong {
			t.Error(w)
		}
	}
}

// suite is one package of tests, compiled.
type suite struct{ name, dir, program string }

// findSuites lists the suites of services, by their path below suites.
func findSuites(t *testing.T, services []string) []suite {
	args := []string{"list", "-tags", "acceptance", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.Dir}}{{end}}"}
	for _, s := range services {
		args = append(args, suites+s+"/...")
	}
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	require.NoError(t, err)
	var found []suite
	for line := range strings.Lines(string(out)) {
		name, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		found = append(found, suite{name: strings.TrimPrefix(name, suites), dir: dir})
	}
	return found
}

// patience bounds one test.
const patience = 5 * time.Minute

// runSuite compiles a suite and runs its tests one after the other, each as a
// process of its own, so that the cloud can tell whose request is whose. It
// returns what became of them.
func runSuite(t *testing.T, s suite, env []string, run string, rec *compat.Recorder) map[test]outcome {
	s.program = filepath.Join(t.TempDir(), "suite.test")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "acceptance", "-vet=off", "-o", s.program, suites+s.name)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = s.command(t.Context(), env, "-test.list", cmp.Or(run, ".")).Output()
	require.NoError(t, err)
	got := map[test]outcome{}
	begin := time.Now()
	for name := range strings.FieldsSeq(string(out)) {
		if !strings.HasPrefix(name, "Test") {
			continue
		}
		proof := s.name + " " + name
		rec.During(proof)
		got[test{s.name, name}] = s.run(t, env, name)
		rec.During("")
		if got[test{s.name, name}].verdict != "pass" {
			rec.Forget(proof)
		}
	}
	t.Logf("%s: %d tests in %s", s.name, len(got), time.Since(begin).Round(100*time.Millisecond))
	return got
}

func (s suite) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Dir, cmd.Env = s.dir, env
	return cmd
}

// run runs one test.
func (s suite) run(t *testing.T, env []string, name string) outcome {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := s.command(ctx, env, "-test.v", "-test.run", "^"+name+"$").CombinedOutput()
	lines := slices.Collect(strings.Lines(string(out)))
	switch {
	case err != nil:
		if testing.Verbose() {
			t.Logf("%s %s\n%s", s.name, name, out)
		}
		return outcome{"fail", reason(lines)}
	case slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "--- SKIP: "+name+" ") }):
		return outcome{"skip", reason(lines)}
	}
	return outcome{verdict: "pass"}
}

var (
	place = regexp.MustCompile(`^\s+\S+\.go:\d+: `)
	color = regexp.MustCompile("\x1b\\[[0-9;]*m")
)

// reason is what a test said last, best of all from its own file: what comes
// from others tells of tidying up.
func reason(output []string) string {
	last := ""
	for _, line := range output {
		line = color.ReplaceAllString(line, "")
		at := place.FindString(line)
		if own := strings.Contains(at, "_test.go:"); at != "" && (own || !strings.Contains(last, "_test.go:")) {
			last = strings.Join(strings.Fields(line), " ")
		}
	}
	return unjudged + last
}
