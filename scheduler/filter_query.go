package scheduler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// JSONFilter lets hosts pass that meet the user's own condition, which the
// scheduler hint query gives as a JSON list: an operator and its operands, which
// may be lists again.
//
//	[">=", "$free_ram_mb", 1024]
//	["and", [">=", "$free_disk_mb", 20480], ["in", "$hypervisor_hostname", "a", "b"]]
//
// The operators are =, <, >, <=, >= (of the first operand with each of the
// others), in (the first among the others), not, or, and. Text that begins with
// $ stands for one of the host's facts: those that
// [ComputeCapabilitiesFilter] names, and its attributes, with dots for the way
// into one that holds JSON. A fact that the host lacks meets no comparison. A
// query that cannot be read turns every host away.
type JSONFilter struct{}

// Name implements [Filter].
func (JSONFilter) Name() string { return "JsonFilter" }

// Prepare implements [Filter].
func (JSONFilter) Prepare(req *Request) Check {
	words := req.Hints["query"]
	if len(words) == 0 || len(words) == 1 && strings.TrimSpace(words[0]) == "" {
		return Check{}
	}
	q, err := parseQuery(words)
	if err != nil {
		return turnAll("not comparable with the hint query, which cannot be read", err.Error())
	}
	facts := knownFacts{}
	return Check{Host: func(h HostView) Verdict {
		v, err := q.ask(h, facts)
		switch {
		case err != nil:
			return Verdict{Reason: "not comparable as the hint query asks", Saw: clip(err.Error()), Fix: "mend the query"}
		case !v:
			return Verdict{Reason: "do not meet the hint query", Want: clip(strings.Join(words, " "))}
		}
		return Verdict{}
	}}
}

// turnAll turns every host away because of the request itself.
func turnAll(reason, saw string) Check {
	v := Verdict{Reason: reason, Saw: clip(saw), Fix: "mend the request"}
	return Check{Shared: true, Host: func(HostView) Verdict { return v }}
}

const (
	maxQueryBytes = 16 << 10
	maxQueryDepth = 32
	maxQueryNodes = 256 // operands, lists among them
)

// query is a parsed condition: a list with an operator.
type query struct {
	op   string
	args []any // query, string, json.Number, bool or nil
}

func parseQuery(words []string) (query, error) {
	var list []any
	if len(words) == 1 {
		if len(words[0]) > maxQueryBytes {
			return query{}, errors.New("it is too long")
		}
		dec := json.NewDecoder(bytes.NewReader([]byte(words[0])))
		dec.UseNumber()
		if err := dec.Decode(&list); err != nil {
			return query{}, fmt.Errorf("it is not a JSON list: %w", err)
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return query{}, errors.New("more follows after the list")
		}
	} else {
		for _, w := range words { // a list in the request itself
			if _, err := strconv.ParseFloat(w, 64); err == nil {
				list = append(list, json.Number(w))
			} else {
				list = append(list, w)
			}
		}
	}
	nodes := 0
	return readQuery(list, 0, &nodes)
}

func readQuery(list []any, depth int, nodes *int) (query, error) {
	if *nodes += len(list); *nodes > maxQueryNodes {
		return query{}, errors.New("it has too many operands")
	}
	if depth > maxQueryDepth {
		return query{}, errors.New("it is nested too deeply")
	}
	if len(list) == 0 {
		return query{}, errors.New("a list is empty: it needs an operator")
	}
	op, ok := list[0].(string)
	if !ok || !slices.Contains([]string{"=", "<", ">", "in", "<=", ">=", "not", "or", "and"}, op) {
		return query{}, fmt.Errorf("%.40v is not an operator", list[0])
	}
	q := query{op: op}
	for _, a := range list[1:] {
		switch a := a.(type) {
		case []any:
			sub, err := readQuery(a, depth+1, nodes)
			if err != nil {
				return query{}, err
			}
			q.args = append(q.args, sub)
		case map[string]any:
			return query{}, errors.New("an operand is an object")
		default:
			q.args = append(q.args, a)
		}
	}
	return q, nil
}

// ask says whether the host meets the condition.
func (q query) ask(h HostView, facts knownFacts) (bool, error) {
	values := make([]any, len(q.args))
	for i, a := range q.args {
		switch a := a.(type) {
		case query:
			b, err := a.ask(h, facts)
			if err != nil {
				return false, err
			}
			values[i] = b
		case string:
			if name, ok := strings.CutPrefix(a, "$"); ok {
				values[i] = facts.of(h, name)
			} else {
				values[i] = a
			}
		case json.Number:
			f, err := a.Float64()
			if err != nil {
				return false, err
			}
			values[i] = f
		default:
			values[i] = a
		}
	}
	switch q.op {
	case "not": // as in Nova, any operand that is not so will do
		return slices.ContainsFunc(values, func(v any) bool { return !truthy(v) }), nil
	case "or":
		return slices.ContainsFunc(values, truthy), nil
	case "and":
		return !slices.ContainsFunc(values, func(v any) bool { return !truthy(v) }), nil
	}
	if len(values) < 2 {
		return false, nil
	}
	if q.op == "in" {
		return slices.ContainsFunc(values[1:], func(v any) bool { return v == values[0] }), nil
	}
	for _, v := range values[1:] {
		ok, err := ordered(q.op, values[0], v)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// knownFacts remembers facts from inside of attributes, which take long to read
// and are the same for all hosts of a profile.
type knownFacts map[factKey]any

type factKey struct {
	p    *profile
	name string
}

func (k knownFacts) of(h HostView, name string) any {
	if !strings.Contains(name, ".") {
		return queryFact(h, name)
	}
	key := factKey{h.profile(), name}
	v, ok := k[key]
	if !ok {
		v = queryFact(h, name)
		k[key] = v
	}
	return v
}

// queryFact is a fact by its name: a number or text, or nil if the host lacks it.
func queryFact(h HostView, name string) any {
	text, ok := capabilityOf(h, strings.Split(name, "."))
	if !ok {
		return nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return text
}

func truthy(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != ""
	}
	return false
}

func ordered(op string, a, b any) (bool, error) {
	if op == "=" {
		return a == b, nil
	}
	if a == nil || b == nil {
		return false, nil
	}
	less, more := false, false
	switch x := a.(type) {
	case float64:
		y, ok := b.(float64)
		if !ok {
			return false, fmt.Errorf("%v is a number and %.40v is not", a, b)
		}
		less, more = x < y, x > y
	case string:
		y, ok := b.(string)
		if !ok {
			return false, fmt.Errorf("%.40v is text and %v is not", a, b)
		}
		less, more = x < y, x > y
	default:
		return false, fmt.Errorf("%.40v has no order", a)
	}
	switch op {
	case "<":
		return less, nil
	case ">":
		return more, nil
	case "<=":
		return !more, nil
	default: // ">="
		return !less, nil
	}
}
