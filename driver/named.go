package driver

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Named are what a service has several of, such as pools or stores, by their
// names, which its rows keep. The zero value is not for use: see [NewNamed].
type Named[D HasName] struct {
	all    []D
	rules  Names
	byName map[string]D
}

// HasName is what [Named] can tell apart: by a name, which may be empty.
type HasName interface {
	comparable
	Name() string
}

// Names are the rules for names.
type Names struct {
	What    string // what they are of, as errors call it: pool
	Option  string // where names are given: volume.PoolOptions.Name
	Default string // the name of one that was given none
	Without string // characters that no name may have
}

// NewNamed checks the names of all, of which the first is the default and at
// least one is needed.
func NewNamed[D HasName](all []D, rules Names) (Named[D], error) {
	n := Named[D]{all: all, rules: rules, byName: map[string]D{}}
	if len(all) == 0 {
		return n, fmt.Errorf("it needs a %s", rules.What)
	}
	for _, one := range all {
		name := n.NameOf(one)
		if strings.ContainsAny(name, rules.Without) || len(name) > 200 {
			return n, fmt.Errorf("%.300q is no name for a %s: it must be at most 200 bytes without any of %s", name, rules.What, rules.Without)
		}
		if n.Has(name) {
			return n, fmt.Errorf("two %ss are called %s: %s tells them apart", rules.What, name, rules.Option)
		}
		n.byName[name] = one
	}
	return n, nil
}

// All returns all of them, the default first. The slice must not be changed.
func (n Named[D]) All() []D { return n.all }

// NameOf returns the name of one of them, which is never empty.
func (n Named[D]) NameOf(one D) string { return cmp.Or(one.Name(), n.rules.Default) }

// Default returns the name of the default one.
func (n Named[D]) Default() string { return n.NameOf(n.all[0]) }

// Has reports whether there is one of that name.
func (n Named[D]) Has(name string) bool {
	_, ok := n.byName[name]
	return ok
}

// Of returns the one of that name; the default one's may be empty. It fails with
// nephos.ErrUnavailable if there is none: rows may name what there was.
func (n Named[D]) Of(name string) (D, error) {
	if name == "" {
		return n.all[0], nil
	}
	one, ok := n.byName[name]
	if !ok {
		return one, nephos.Errorf(nephos.ErrUnavailable, "the %s %s is not there: it was taken out of the configuration", n.rules.What, name)
	}
	return one, nil
}
