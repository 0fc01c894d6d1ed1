package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a policy file in bytes.
const maxFile = 1 << 20

// LoadFile replaces what overrides the defaults by the rules of a YAML or JSON
// file: a map of names to checks, each in the language's text or as a list of
// lists. A name that no service registered becomes a rule that others may refer
// to. An empty file restores the defaults.
//
// When the file cannot be read, does not parse or makes a circle of rules, the
// error says where, and the rules in force stay.
func (e *Enforcer) LoadFile(path string) error {
	e.load.Lock()
	defer e.load.Unlock()
	data, err := readFile(path)
	if err != nil {
		return fmt.Errorf("load policy file: %w", err)
	}
	overrides, err := parseFile(data)
	if err != nil {
		return fmt.Errorf("load policy file %s: %w", path, err)
	}
	set, err := build(e.defaults, overrides)
	if err != nil {
		return fmt.Errorf("load policy file %s: %w", path, err)
	}
	e.current.Store(set)
	return nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read %s: it is larger than %d bytes", path, maxFile)
	}
	return data, nil
}

// parseFile reads JSON where it is JSON, and YAML otherwise.
func parseFile(data []byte) (map[string]override, error) {
	if json.Valid(data) {
		return parseJSON(data)
	}
	return parseYAML(data)
}

func parseJSON(data []byte) (map[string]override, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	switch t, err := dec.Token(); {
	case err != nil:
		return nil, err
	case t == nil: // null
		return nil, nil
	case t != json.Delim('{'):
		return nil, errors.New("it is no map of rules")
	}
	rules := make(map[string]override)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, fmt.Errorf("rule %q: %w", name, err)
		}
		if err := addRule(rules, name, v); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

// parseYAML works on the syntax tree, which knows lines and expands no aliases.
func parseYAML(data []byte) (map[string]override, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		// The message goes on with an excerpt of the file.
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, errors.New(abridge(first))
	}
	var root ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if root != nil {
			return nil, errors.New("it holds more than one YAML document")
		}
		root = doc.Body
	}
	var pairs []*ast.MappingValueNode
	switch n := root.(type) {
	case nil, *ast.NullNode:
		return nil, nil
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return nil, errors.New("it is no map of rules")
	}
	rules := make(map[string]override, len(pairs))
	for _, p := range pairs {
		name, ok := yamlText(p.Key)
		if !ok {
			return nil, fmt.Errorf("line %d: a rule's name must be text", yamlLine(p.Key))
		}
		v, err := yamlValue(p.Value, 0)
		if err == nil {
			err = addRule(rules, name, v)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", yamlLine(p.Key), err)
		}
	}
	return rules, nil
}

func yamlText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		if n.Value != nil {
			return n.Value.Value, true
		}
	}
	return "", false
}

func yamlLine(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// yamlValue returns text or lists of text; deeper than a rule goes it refuses.
func yamlValue(n ast.Node, depth int) (any, error) {
	if s, ok := yamlText(n); ok {
		return s, nil
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok || depth == 2 {
		return nil, errors.New(`a rule must be text or a list of lists of text; write "@" to allow everything, and quote what begins with "!" or "@"`)
	}
	list := make([]any, 0, len(seq.Values))
	for _, v := range seq.Values {
		item, err := yamlValue(v, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

func addRule(rules map[string]override, name string, v any) error {
	if name == "" {
		return errors.New("a rule has no name")
	}
	if _, ok := rules[name]; ok {
		return fmt.Errorf("rule %q stands twice", abridge(name))
	}
	var o override
	var err error
	switch v := v.(type) {
	case string:
		o.text = v
		o.check, err = Parse(v)
	case []any:
		if o.check, err = ParseList(v); err == nil {
			o.text = o.check.String()
		}
	default:
		err = errors.New("it must be text or a list of lists of text")
	}
	if err != nil {
		return fmt.Errorf("rule %q: %w", abridge(name), err)
	}
	rules[name] = o
	return nil
}
