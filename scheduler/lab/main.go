// Command lab answers questions about scheduling on clouds that are not there:
// how many more servers of a kind fit, what another policy would have done, why
// yesterday's decisions fell as they did, how time grows with the number of hosts.
//
//	go run ./scheduler/lab -h
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/nephos-cloud/nephos"
)

//go:embed testdata/example.jsonl
var example embed.FS

// command is one of the lab's.
type command struct {
	name, arguments, short string
	run                    func(ctx context.Context, l *lab, args []string) error
}

func commands() []command {
	return []command{
		{"generate", "", "make up a cloud and a workload", generate},
		{"import", "FILE", "turn a public trace of Azure or Google into a workload", importTrace},
		{"export", "", "write down the hosts and servers of a Nephos database", export},
		{"run", "TRACE", "play a workload and tell what became of it", run},
		{"fit", "TRACE", "tell how many more servers of a kind fit", fit},
		{"compare", "TRACE", "play a workload under two policies, side by side", compare},
		{"replay", "RECORDING", "make recorded decisions again, and show those that differ", replay},
		{"grow", "", "measure a decision's time against the number of hosts", grow},
	}
}

// lab is where a command speaks to, and what it needs of the outside.
type lab struct {
	in        io.Reader
	out, errs io.Writer
	clock     nephos.Clock
	terminal  bool // errs is one
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	info, err := os.Stderr.Stat()
	l := &lab{
		in: os.Stdin, out: os.Stdout, errs: os.Stderr, clock: nephos.WallClock{},
		terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
	}
	os.Exit(l.main(ctx, os.Args[1:]))
}

// main runs a command and returns the exit status: 1 if it failed, 2 if it was
// misused.
func (l *lab) main(ctx context.Context, args []string) int {
	if len(args) == 0 || args[0] == "-h" || args[0] == "-help" || args[0] == "--help" || args[0] == "help" && len(args) == 1 {
		l.usage(l.out)
		return 0
	}
	if args[0] == "help" {
		args = []string{args[1], "-h"}
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		switch err := c.run(ctx, l, args[1:]); {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return 0
		case errors.Is(err, errUsage):
			fmt.Fprintf(l.errs, "lab %s: %v\nlab %s -h tells more\n", c.name, err, c.name)
			return 2
		default:
			fmt.Fprintf(l.errs, "lab %s: %v\n", c.name, err)
			return 1
		}
	}
	fmt.Fprintf(l.errs, "lab: there is no command %q\n", args[0])
	l.usage(l.errs)
	return 2
}

func (l *lab) usage(w io.Writer) {
	fmt.Fprint(w, `lab plays clouds to the scheduler, without a cloud.

Usage: lab COMMAND [flags] [FILE]

Commands:
`)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s %-10s %s\n", c.name, c.arguments, c.short)
	}
	fmt.Fprint(w, `
TRACE is a file of JSON lines, - for standard input, or the word example for one
that is built in. Try:

    lab run -plot . example
    lab compare -a pack -b spread example
    lab generate -hosts 1000 -servers 20000 > t.jsonl
    lab fit -vcpus 4 -memory 16384 t.jsonl
    lab run -record r.jsonl t.jsonl && lab replay r.jsonl

lab COMMAND -h tells of its flags.
`)
}

// errUsage is that of wrong flags and arguments.
var errUsage = errors.New("")

func misused(format string, args ...any) error {
	return fmt.Errorf("%s%w", fmt.Sprintf(format, args...), errUsage)
}

// flagSet are a command's flags, and what -h says.
type flagSet struct {
	*flag.FlagSet
	help func()
}

// flags returns a command's flags.
func (l *lab) flags(name, arguments, about string) flagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return flagSet{f, func() {
		fmt.Fprintf(l.out, "Usage: lab %s [flags] %s\n\n%s\n\nFlags:\n", name, arguments, about)
		f.SetOutput(l.out)
		f.PrintDefaults()
	}}
}

// parse reads flags and returns exactly as many arguments as there should be.
func parse(f flagSet, args []string, n int) ([]string, error) {
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		f.help()
		return nil, err
	} else if err != nil {
		return nil, misused("%v", err)
	}
	if f.NArg() != n {
		plural := "s"
		if n == 1 {
			plural = ""
		}
		return nil, misused("it takes %d argument%s after the flags, not %d", n, plural, f.NArg())
	}
	return f.Args(), nil
}
