package acceptance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
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
	got := map[test]outcome{}
	var mu sync.Mutex
	t.Run("lanes", func(t *testing.T) {
		for _, l := range lanes {
			suites := slices.DeleteFunc(findSuites(t, l.services), func(s string) bool {
				return absentSuites(expected)[s] || only != "" && s != only
			})
			if len(suites) == 0 {
				continue
			}
			t.Run(l.user+" "+l.services[0], func(t *testing.T) {
				t.Parallel()
				c := cloudtest.New(t, cloudtest.Options{Hosts: 1, Live: true, Listen: true}) // some ask the first host about the only server
				// Some look for the status in between, as it takes a guest a while.
				c.Faults.Add(fake.Fault{Method: "Reboot", Delay: time.Second / 2, Count: -1})
				results := runSuites(t, prepare(t, c, l.user), suites, l.run)
				mu.Lock()
				defer mu.Unlock()
				for k, o := range results {
					if was, ok := got[k]; !ok || was.verdict == "skip" {
						got[k] = o
					}
				}
			})
		}
	})
	if only != "" {
		maps.DeleteFunc(expected, func(k test, _ outcome) bool { return k.suite != only })
	} else if updating() {
		require.NoError(t, update(expected, got))
		return
	}
	for _, d := range differences(expected, got) {
		t.Error(d)
	}
}

// findSuites lists the suites of services, by their path below suites.
func findSuites(t *testing.T, services []string) []string {
	args := []string{"list", "-tags", "acceptance", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}"}
	for _, s := range services {
		args = append(args, suites+s+"/...")
	}
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	require.NoError(t, err)
	var found []string
	for p := range strings.FieldsSeq(string(out)) {
		found = append(found, strings.TrimPrefix(p, suites))
	}
	return found
}

// event is one line of go test -json.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// runSuites runs suites, one after the other, and returns what became of their
// tests.
func runSuites(t *testing.T, env, names []string, run string) map[test]outcome {
	args := []string{"test", "-json", "-tags", "acceptance", "-count=1", "-vet=off", "-p=1", "-timeout=5m"}
	if run != "" {
		args = append(args, "-run", run)
	}
	for _, n := range names {
		args = append(args, suites+n)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	got := readResults(t, stdout)
	err = cmd.Wait() // that tests failed is no news
	require.NotEmpty(t, got, "%v: %s", err, stderr.String())
	return got
}

// readResults reads what go test -json says.
func readResults(t *testing.T, r io.Reader) map[test]outcome {
	got := map[test]outcome{}
	output := map[test][]string{}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return got
		}
		var e event
		require.NoError(t, json.Unmarshal(line, &e))
		name, _, sub := strings.Cut(e.Test, "/")
		k := test{strings.TrimPrefix(e.Package, suites), name}
		switch e.Action {
		case "output":
			output[k] = append(output[k], e.Output)
		case "pass", "fail", "skip":
			if name == "" {
				t.Logf("%s: %s in %.1fs", k.suite, e.Action, e.Elapsed)
			}
			if sub || name == "" {
				if e.Action == "fail" && name == "" {
					t.Logf("%s: %s", k.suite, strings.Join(output[k], ""))
				}
				continue
			}
			o := outcome{verdict: e.Action}
			if e.Action != "pass" {
				o.reason = reason(output[k])
			}
			if testing.Verbose() && e.Action == "fail" {
				t.Logf("%s %s\n%s", k.suite, name, strings.Join(output[k], ""))
			}
			got[k] = o
		}
	}
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
