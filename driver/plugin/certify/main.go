// Command certify runs the conformance suite of its kind against a plugin, a
// binary or a script with a #! line, and prints a certificate:
//
//	go run github.com/nephos-cloud/nephos/driver/plugin/certify [flags] PLUGIN [ARGUMENT...]
//
// It starts the plugin many times, each test with a directory of its own in
// NEPHOS_PLUGIN_DIR, kills it and starts it again where nothing may be lost. The
// last line of what it prints is
//
//	certified: passed P failed F skipped S
//
// and its exit status is 0 only if F is 0. A plugin that cannot be started at all
// counts as one failure. Tests that need something of the plugin's surroundings
// (an image to boot, a second host) are skipped unless a flag provides it, and so
// are those of abilities that the plugin does not offer.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	c, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(errs, "certify:", err)
		return 2
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("certifying took longer than %v", c.timeout))
	defer cancel()
	result, err := c.certify(ctx, out)
	if err != nil {
		fmt.Fprintf(out, "FAIL Plugin/Start\n    %v\n", err)
		result.Failed++
	}
	fmt.Fprintf(out, "certified: passed %d failed %d skipped %d\n", result.Passed, result.Failed, result.Skipped)
	if result.Failed > 0 {
		return 1
	}
	return 0
}

// certify prints the certificate and runs the tests.
func (c *config) certify(ctx context.Context, out io.Writer) (result drivertest.Result, err error) {
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "certify"); err != nil {
			return result, err
		}
		defer os.RemoveAll(c.dir)
	}
	if err := c.reachable(c.dir); err != nil {
		return result, err
	}
	about, err := plugin.Inspect(ctx, c.path, c.launch(filepath.Join(c.dir, "inspect")))
	if err != nil {
		return result, err
	}
	fmt.Fprintf(out, "plugin     %s\n", c.path)
	fmt.Fprintf(out, "sha256     %s\n", checksum(c.path))
	fmt.Fprintf(out, "kind       %s\n", about.Kind)
	if name := strings.TrimSpace(about.Name + " " + about.Version); name != "" {
		fmt.Fprintf(out, "driver     %s\n", name)
	}
	fmt.Fprintf(out, "contract   version %d\n", about.Contract)
	fmt.Fprintf(out, "abilities  %s\n", list(about.Abilities))

	for _, group := range []struct {
		name  string
		tests []drivertest.Test
	}{{"Plugin", c.pluginTests(about)}, {title(about.Kind), c.suite(about.Kind)}} {
		runner := drivertest.Runner{Out: out, Verbose: c.verbose, Dir: c.dir, Prefix: group.name + "/", Timeout: c.each}
		result.Add(runner.Run(ctx, c.wanted(group.name, group.tests)))
	}
	if len(result.Outcomes) == 0 { // nothing was shown
		return result, fmt.Errorf("-run %s: no test has such a name: names are as in Volume/Reopen", c.run)
	}
	return result, nil
}

// wanted are the tests that -run names.
func (c *config) wanted(group string, tests []drivertest.Test) []drivertest.Test {
	if c.run == nil {
		return tests
	}
	return slices.DeleteFunc(tests, func(t drivertest.Test) bool { return !c.run.MatchString(group + "/" + t.Name) })
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}

func title(kind string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(kind, "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

func checksum(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown: " + err.Error()
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "unknown: " + err.Error()
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// namePattern is what -run takes.
func namePattern(s string) (*regexp.Regexp, error) {
	if s == "" {
		return nil, nil
	}
	return regexp.Compile(s)
}
