// Command scaffold writes a driver of a new name that compiles, passes its
// kind's suite in process and as a plugin, and does nothing of use yet:
//
//	go run github.com/nephos-cloud/nephos/driver/plugin/scaffold volume acme
//
// writes the directory acme with main.go, driver.go, records.go and
// driver_test.go. What it keeps it keeps in files; an author puts the real thing
// in place of them, call by call, and the tests tell when something was lost on
// the way. The kinds are hypervisor, network, volume, blob, and scheduler for an
// extension of that.
package main

import (
	"bytes"
	"embed"
	"errors"
	"flag"
	"fmt"
	"go/format"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

//go:embed templates
var templates embed.FS

// nephos is this module.
const nephos = "github.com/nephos-cloud/nephos"

var kinds = []string{"hypervisor", "network", "volume", "blob", "scheduler"}

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scaffold:", err)
		os.Exit(1)
	}
}

// names are what the templates fill in.
type names struct {
	Kind   string // of driver
	Name   string // as given: acme
	Type   string // of Go: Acme
	Module string // of the new go.mod; empty: none is written
	Nephos string
}

func run(args []string, out, errs io.Writer) error {
	f := flag.NewFlagSet("scaffold", flag.ContinueOnError)
	f.SetOutput(errs)
	dir := f.String("dir", "", "`directory` to write to; ./NAME by default")
	module := f.String("module", "", "write a go.mod for a module of this `path`; needed outside of a module")
	f.Usage = func() {
		fmt.Fprintln(errs, "usage: scaffold [flags]", strings.Join(kinds, "|"), "NAME")
		f.PrintDefaults()
	}
	words, err := parse(f, args)
	if err != nil {
		return err
	}
	if len(words) != 2 {
		f.Usage()
		return errors.New("name the kind and the driver, as in: scaffold volume acme")
	}
	n := names{Kind: words[0], Name: words[1], Module: *module, Nephos: nephos}
	if !slices.Contains(kinds, n.Kind) {
		return fmt.Errorf("there is no kind of driver %q: the kinds are %s", n.Kind, strings.Join(kinds, ", "))
	}
	if !regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`).MatchString(n.Name) {
		return fmt.Errorf("the name %q: want up to 31 lower-case letters, digits and dashes, a letter first", n.Name)
	}
	n.Type = typeName(n.Name)
	if *dir == "" {
		*dir = n.Name
	}
	files, err := render(n)
	if err != nil {
		return err
	}
	if err := write(*dir, files); err != nil {
		return err
	}
	fmt.Fprintf(out, "wrote %s: read driver.go, then try\n", *dir)
	where := *dir
	if !filepath.IsAbs(where) {
		where = "./" + filepath.Clean(where)
	}
	if n.Module != "" {
		fmt.Fprintf(out, "  cd %s && go get %s && go mod tidy\n", where, nephos)
		where = "."
	}
	fmt.Fprintf(out, "  go test %[1]s\n  go build -o /tmp/%[2]s %[1]s && go run %[3]s/driver/plugin/certify /tmp/%[2]s\n", where, n.Name, nephos)
	return nil
}

// parse takes flags before, between and after the words.
func parse(f *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			return words, nil
		}
		words, args = append(words, f.Arg(0)), f.Args()[1:]
	}
}

// typeName is a name as a Go type: acme-ssd becomes AcmeSsd.
func typeName(name string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(name, "-") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}

// render returns the files by name.
func render(n names) (map[string][]byte, error) {
	from := map[string]string{
		"main.go": "main.go.tmpl", "driver.go": n.Kind + ".go.tmpl", "driver_test.go": n.Kind + "_test.go.tmpl", "records.go": "records.go.tmpl",
	}
	if n.Kind == "blob" || n.Kind == "scheduler" {
		delete(from, "records.go") // a blob's files are the objects, and an extension keeps nothing
	}
	if n.Module != "" {
		from["go.mod"] = "go.mod.tmpl"
	}
	files := map[string][]byte{}
	for name, source := range from {
		t, err := template.ParseFS(templates, "templates/"+source)
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		if err := t.Execute(&text, n); err != nil {
			return nil, err
		}
		files[name] = text.Bytes()
		if strings.HasSuffix(name, ".go") {
			if files[name], err = format.Source(text.Bytes()); err != nil {
				return nil, fmt.Errorf("%s: %w", source, err)
			}
		}
	}
	return files, nil
}

// write writes all files, or none if one is there already.
func write(dir string, files map[string][]byte) error {
	for name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already: choose another -dir", filepath.Join(dir, name))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
