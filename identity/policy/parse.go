package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Bounds of one rule's text. They are far above what people write and keep the
// depth of every recursion small.
const (
	maxText  = 64 << 10
	maxDepth = 100
)

// Parse parses a rule's text. The empty text allows everything.
func Parse(text string) (*Check, error) {
	if text == "" {
		return &Check{op: opTrue}, nil
	}
	if len(text) > maxText {
		return nil, fmt.Errorf("parse rule: %d bytes long; the limit is %d", len(text), maxText)
	}
	p := exprParser{tokens: tokenize(text)}
	c, err := p.or(0)
	if err == nil && p.next < len(p.tokens) {
		err = p.unexpected(`"and", "or" or the end`)
	}
	if err != nil {
		return nil, fmt.Errorf("parse rule %q: %w", abridge(text), err)
	}
	return c, nil
}

// ParseList parses the older form: a list whose members, each a check or a list
// of checks, are joined by "or", and within a member by "and". An empty list
// allows everything; empty members are passed over, and nothing but empty
// members allows nothing.
func ParseList(list []any) (*Check, error) {
	if len(list) == 0 {
		return &Check{op: opTrue}, nil
	}
	var alternatives []*Check
	for i, member := range list {
		var all []*Check
		switch m := member.(type) {
		case string:
			if m == "" {
				continue
			}
			c, err := parseOne(m)
			if err != nil {
				return nil, fmt.Errorf("parse rule list: member %d: %w", i, err)
			}
			all = append(all, c)
		case []any:
			for _, v := range m {
				s, ok := v.(string)
				if !ok {
					return nil, fmt.Errorf("parse rule list: member %d: holds a %T; want text", i, v)
				}
				c, err := parseOne(s)
				if err != nil {
					return nil, fmt.Errorf("parse rule list: member %d: %w", i, err)
				}
				all = append(all, c)
			}
		default:
			return nil, fmt.Errorf("parse rule list: member %d: is a %T; want text or a list of text", i, member)
		}
		switch len(all) {
		case 0:
		case 1:
			alternatives = append(alternatives, all[0])
		default:
			alternatives = append(alternatives, &Check{op: opAnd, kids: all})
		}
	}
	switch len(alternatives) {
	case 0:
		return &Check{op: opFalse}, nil
	case 1:
		return alternatives[0], nil
	}
	return &Check{op: opOr, kids: alternatives}, nil
}

type tokenKind uint8

const (
	tokOpen tokenKind = iota
	tokClose
	tokAnd
	tokOr
	tokNot
	tokCheck
	tokQuoted
)

type token struct {
	kind tokenKind
	text string
	at   int // byte offset
}

// tokenize splits at white space. Parentheses count only at the start and the
// end of a word, because "%(name)s" has some of its own.
func tokenize(s string) []token {
	var tokens []token
	for at := 0; at < len(s); {
		n := strings.IndexFunc(s[at:], func(r rune) bool { return !isSpace(r) })
		if n < 0 {
			break
		}
		at += n
		end := strings.IndexFunc(s[at:], isSpace)
		if end < 0 {
			end = len(s) - at
		}
		word := s[at : at+end]
		for strings.HasPrefix(word, "(") {
			tokens = append(tokens, token{tokOpen, "(", at})
			word, at, end = word[1:], at+1, end-1
		}
		clean := strings.TrimRight(word, ")")
		if clean != "" {
			tokens = append(tokens, wordToken(word, clean, at))
		}
		for i := len(clean); i < len(word); i++ {
			tokens = append(tokens, token{tokClose, ")", at + i})
		}
		at += end
	}
	return tokens
}

func wordToken(word, clean string, at int) token {
	switch strings.ToLower(clean) {
	case "and":
		return token{tokAnd, clean, at}
	case "or":
		return token{tokOr, clean, at}
	case "not":
		return token{tokNot, clean, at}
	}
	if first, last := word[0], word[len(word)-1]; len(word) >= 2 && first == last && (first == '"' || first == '\'') {
		return token{tokQuoted, word, at}
	}
	return token{tokCheck, clean, at}
}

func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

type exprParser struct {
	tokens []token
	next   int
}

func (p *exprParser) peek() (token, bool) {
	if p.next < len(p.tokens) {
		return p.tokens[p.next], true
	}
	return token{}, false
}

func (p *exprParser) accept(k tokenKind) bool {
	t, ok := p.peek()
	if ok && t.kind == k {
		p.next++
		return true
	}
	return false
}

func (p *exprParser) unexpected(want string) error {
	t, ok := p.peek()
	if !ok {
		return fmt.Errorf("ends where %s should stand", want)
	}
	return fmt.Errorf("at byte %d: found %q where %s should stand", t.at, abridge(t.text), want)
}

func (p *exprParser) or(depth int) (*Check, error) {
	first, err := p.and(depth, false)
	if err != nil {
		return nil, err
	}
	kids := []*Check{first}
	for p.accept(tokOr) {
		k, err := p.and(depth, true)
		if err != nil {
			return nil, err
		}
		kids = append(kids, k)
	}
	if len(kids) == 1 {
		return first, nil
	}
	return &Check{op: opOr, kids: kids}, nil
}

// and parses factors joined by "and". After an "or", oslo.policy joins a
// leading "(a and b)" with the factors behind it; so the same text prints the
// same way here.
func (p *exprParser) and(depth int, afterOr bool) (*Check, error) {
	first, err := p.factor(depth)
	if err != nil {
		return nil, err
	}
	kids := []*Check{first}
	for p.accept(tokAnd) {
		k, err := p.factor(depth)
		if err != nil {
			return nil, err
		}
		kids = append(kids, k)
	}
	if len(kids) == 1 {
		return first, nil
	}
	if afterOr && first.op == opAnd {
		kids = append(append([]*Check(nil), first.kids...), kids[1:]...)
	}
	return &Check{op: opAnd, kids: kids}, nil
}

func (p *exprParser) factor(depth int) (*Check, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch t, ok := p.peek(); {
	case !ok:
	case t.kind == tokNot:
		p.next++
		k, err := p.factor(depth + 1)
		if err != nil {
			return nil, err
		}
		return &Check{op: opNot, kids: []*Check{k}}, nil
	case t.kind == tokOpen:
		p.next++
		c, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.accept(tokClose) {
			return nil, p.unexpected(`")"`)
		}
		return c, nil
	case t.kind == tokCheck:
		p.next++
		c, err := parseOne(t.text)
		if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", t.at, err)
		}
		return c, nil
	}
	return nil, p.unexpected("a check")
}

// parseOne parses a single check, "kind:match".
func parseOne(s string) (*Check, error) {
	switch s {
	case "!":
		return &Check{op: opFalse}, nil
	case "@":
		return &Check{op: opTrue}, nil
	}
	kind, match, ok := strings.Cut(s, ":")
	if !ok {
		return nil, fmt.Errorf(`check %q has no colon; want kind:match, "@" or "!"`, abridge(s))
	}
	c := &Check{kind: kind, match: match}
	err := c.compile()
	if err != nil {
		return nil, fmt.Errorf("check %q: %w", abridge(s), err)
	}
	return c, nil
}

// compile prepares the check of c.kind and c.match.
func (c *Check) compile() (err error) {
	switch c.kind {
	case "rule":
		c.op = opRule
		return nil
	case "http", "https":
		return errors.New("asking another server is not supported")
	case "field":
		c.op = opField
		c.fld, err = parseField(c.match)
		return err
	}
	if c.tmpl, err = parseTemplate(c.match); err != nil {
		return err
	}
	if c.kind == "role" {
		c.op = opRole
		return nil
	}
	lit, ok, err := parseLiteral(c.kind)
	if err != nil {
		return err
	}
	if ok {
		c.op, c.lit = opLiteral, lit
		return nil
	}
	c.op, c.attr = opAttribute, attributes[c.kind]
	return nil
}

// abridge keeps error messages about hostile text short.
func abridge(s string) string {
	if len(s) <= 120 {
		return s
	}
	return strings.ToValidUTF8(s[:117], "") + "..."
}
