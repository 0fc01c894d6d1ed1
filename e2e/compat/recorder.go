package compat

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/nephos-cloud/nephos/httpapi"
)

// Operation is one operation as an API of ours routes it.
type Operation struct {
	API    string // its mount: compute
	Method string // as it was asked for
	Path   string // the route's pattern, without the method
	Action string // of a POST to a path that ends in /action
}

// String is how lists have it.
func (o Operation) String() string {
	return strings.TrimSpace(strings.Join([]string{o.API, o.Method, o.Path, o.Action}, " "))
}

func compare(a, b Operation) int {
	return cmp.Or(cmp.Compare(a.API, b.API), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Action, b.Action))
}

// Recorder notes which operations were answered with success, and during which
// test. It is safe for concurrent use; tests come one after the other.
type Recorder struct {
	mu   sync.Mutex
	test string
	seen map[string]map[Operation]bool // by test
}

// NewRecorder returns one that has seen nothing. Give its Observe to the cloud.
func NewRecorder() *Recorder { return &Recorder{seen: map[string]map[Operation]bool{}} }

// Observe is cloud.Config's.
func (r *Recorder) Observe(api string, req *httpapi.Request, status int) {
	if status < 200 || status >= 400 || req.Route() == "" {
		return
	}
	_, path, _ := strings.Cut(req.Route(), " ")
	op := Operation{API: api, Method: req.Method, Path: strings.TrimSpace(path), Action: req.ActionName()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.test == "" {
		return
	}
	if r.seen[r.test] == nil {
		r.seen[r.test] = map[Operation]bool{}
	}
	r.seen[r.test][op] = true
}

// During says that what follows is the test's; empty is nobody's.
func (r *Recorder) During(test string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.test = test
}

// Forget takes back what a test has shown, because it failed.
func (r *Recorder) Forget(test string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, test)
}

// Evidence returns which tests prove what.
func (r *Recorder) Evidence() Evidence {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := Evidence{}
	for test, ops := range r.seen {
		for op := range ops {
			e.add(op, test)
		}
	}
	return e
}

// Evidence is, for each operation, the tests that prove it, in order.
type Evidence map[Operation][]string

func (e Evidence) add(op Operation, test string) {
	if i, found := slices.BinarySearch(e[op], test); !found {
		e[op] = slices.Insert(e[op], i, test)
	}
}

// Merge adds what another run has shown.
func (e Evidence) Merge(other Evidence) {
	for op, tests := range other {
		for _, test := range tests {
			e.add(op, test)
		}
	}
}
