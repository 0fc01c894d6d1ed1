package acceptance

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const table = "expected.txt"

// absent is what becomes of a suite that is not run: its subject is not built.
const absent = "absent"

// test is a test of a suite; that of all tests of an absent suite is "*".
type test struct{ suite, name string }

// outcome is what becomes of a test.
type outcome struct {
	verdict string // pass, fail, skip or absent
	reason  string // of all but pass
}

// unjudged begins a reason that a run wrote; a person replaces it.
const unjudged = "? "

func updating() bool { return os.Getenv("NEPHOS_ACCEPTANCE_UPDATE") == "1" }

const tableHead = `# What becomes of gophercloud's acceptance tests, by suite; see doc.go.
# suite  test  pass | fail | skip | absent  reason
`

func readExpected(t *testing.T) map[test]outcome {
	f, err := os.Open(table)
	if os.IsNotExist(err) {
		return map[test]outcome{}
	}
	require.NoError(t, err)
	defer f.Close()
	expected := map[test]outcome{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		require.GreaterOrEqual(t, len(words), 3, "%s:%d", table, n)
		require.Contains(t, []string{"pass", "fail", "skip", absent}, words[2], "%s:%d", table, n)
		key := test{words[0], words[1]}
		require.NotContains(t, expected, key, "%s:%d is there twice", table, n)
		o := outcome{words[2], strings.Join(words[3:], " ")}
		if o.verdict != "pass" {
			judged := o.reason != "" && !strings.HasPrefix(o.reason, unjudged)
			require.True(t, judged || updating(), "%s:%d: a reason is needed", table, n)
		}
		expected[key] = o
	}
	require.NoError(t, lines.Err())
	return expected
}

// absentSuites are those that the table says are not run.
func absentSuites(expected map[test]outcome) map[string]bool {
	suites := map[string]bool{}
	for k, o := range expected {
		if o.verdict == absent {
			suites[k.suite] = true
		}
	}
	return suites
}

// differences says where results are not what was expected.
func differences(expected, got map[test]outcome) []string {
	var lines []string
	for _, k := range inOrder(got) {
		have, want := got[k], expected[k]
		switch {
		case want.verdict == "":
			lines = append(lines, fmt.Sprintf("%s %s: not in %s; its verdict is %s: %s", k.suite, k.name, table, have.verdict, have.reason))
		case want.verdict != have.verdict:
			lines = append(lines, fmt.Sprintf("%s %s: %s, should %s (%s)", k.suite, k.name, have.verdict, want.verdict,
				cmp.Or(want.reason, have.reason)))
		}
	}
	for _, k := range inOrder(expected) {
		if _, ok := got[k]; !ok && expected[k].verdict != absent {
			lines = append(lines, fmt.Sprintf("%s %s: in %s, but it did not run", k.suite, k.name, table))
		}
	}
	return lines
}

// update writes the table: results are got's, reasons those that were there for
// the same verdict.
func update(expected, got map[test]outcome) error {
	for k, o := range expected {
		if o.verdict == absent {
			got[k] = o
		}
	}
	var b strings.Builder
	b.WriteString(tableHead)
	suite := ""
	for _, k := range inOrder(got) {
		if k.suite != suite {
			suite = k.suite
			b.WriteByte('\n')
		}
		o := got[k]
		if was := expected[k]; was.verdict == o.verdict && was.reason != "" {
			o.reason = was.reason
		}
		if o.verdict == "pass" {
			o.reason = ""
		}
		b.WriteString(strings.TrimSpace(strings.Join([]string{k.suite, k.name, o.verdict, o.reason}, " ")) + "\n")
	}
	return os.WriteFile(table, []byte(b.String()), 0o644)
}

func inOrder(m map[test]outcome) []test {
	return slices.SortedFunc(maps.Keys(m), func(a, b test) int {
		return cmp.Or(cmp.Compare(a.suite, b.suite), cmp.Compare(a.name, b.name))
	})
}
