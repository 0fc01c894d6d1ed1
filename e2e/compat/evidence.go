package compat

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// The lists of what is proven, and by which test of whom.
const (
	Gophercloud = "gophercloud.txt"
	OpenStack   = "openstack.txt"
)

// Updating reports whether lists and page are to be written anew.
func Updating() bool { return os.Getenv("NEPHOS_COMPATIBILITY_UPDATE") == "1" }

// folder is where this package's files lie.
func folder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

const head = `# What %s proves: an operation and a test that used it with success.
# Written by a run, and compared with every run; see doc.go. Do not edit.
`

// Check compares what a run has shown with the list, and returns what is wrong;
// when updating it writes the list instead.
func Check(list string, got Evidence) ([]string, error) {
	path := filepath.Join(folder(), list)
	if Updating() {
		return nil, write(path, strings.TrimSuffix(list, ".txt"), got)
	}
	said, err := read(path)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for _, op := range slices.SortedFunc(maps.Keys(said), compare) {
		if len(got[op]) == 0 {
			wrong = append(wrong, fmt.Sprintf("%s says that %s is proven by %s, and no test has shown it", list, op, said[op][0]))
		} else if !slices.Contains(got[op], said[op][0]) {
			wrong = append(wrong, fmt.Sprintf("%s says that %s is proven by %s, and it is by %s", list, op, said[op][0], got[op][0]))
		}
	}
	for _, op := range slices.SortedFunc(maps.Keys(got), compare) {
		if len(said[op]) == 0 {
			wrong = append(wrong, fmt.Sprintf("%s does not say that %s is proven by %s", list, op, got[op][0]))
		}
	}
	return wrong, nil
}

func write(path, who string, e Evidence) error {
	var b strings.Builder
	fmt.Fprintf(&b, head, who)
	for _, op := range slices.SortedFunc(maps.Keys(e), compare) {
		fmt.Fprintf(&b, "%s = %s\n", op, e[op][0])
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func read(path string) (Evidence, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	e := Evidence{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		left, test, ok := strings.Cut(text, " = ")
		op, err := parse(strings.Fields(left))
		if !ok || err != nil {
			return nil, fmt.Errorf("%s:%d: want an operation, = and a test", path, n)
		}
		e.add(op, test)
	}
	return e, lines.Err()
}

func parse(words []string) (Operation, error) {
	if len(words) != 3 && len(words) != 4 {
		return Operation{}, fmt.Errorf("want an API, a method, a path and perhaps an action, not %q", words)
	}
	op := Operation{API: words[0], Method: words[1], Path: words[2]}
	if len(words) == 4 {
		op.Action = words[3]
	}
	return op, nil
}

// Reference returns the operations of OpenStack's API references.
func Reference() ([]Operation, error) {
	f, err := os.Open(filepath.Join(folder(), "reference.txt"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var ops []Operation
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if text := lines.Text(); text != "" && !strings.HasPrefix(text, "#") {
			op, err := parse(strings.Fields(text))
			if err != nil {
				return nil, fmt.Errorf("reference.txt:%d: %w", n, err)
			}
			ops = append(ops, op)
		}
	}
	return ops, lines.Err()
}
