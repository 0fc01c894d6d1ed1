package policy

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// text is a value as it is compared: Python's str() of it. none marks Python's
// None, so that the absence of a value never equals somebody's text "None".
type text struct {
	s    string
	none bool
}

var noneText = text{"None", true}

// parseLiteral reads the left side of a check as a Python literal; ok is false
// when it is the name of an attribute instead.
func parseLiteral(s string) (t text, ok bool, err error) {
	switch s {
	case "":
		return text{}, false, errors.New("nothing stands before the colon")
	case "None":
		return noneText, true, nil
	case "True", "False":
		return text{s: s}, true, nil
	}
	if q := s[0]; q == '\'' || q == '"' {
		if len(s) < 2 || s[len(s)-1] != q || strings.ContainsAny(s[1:len(s)-1], "\\\n"+string(q)) {
			return text{}, false, errors.New("the quoted text before the colon is not closed, or holds an escape, which is not supported")
		}
		return text{s: s[1 : len(s)-1]}, true, nil
	}
	if strings.ContainsAny(s, "[]{}'\"") {
		return text{}, false, errors.New("before the colon only text, numbers, True, False, None and names are supported")
	}
	digits := strings.TrimLeft(s, "+-.")
	if digits == "" || digits[0] < '0' || digits[0] > '9' {
		return text{}, false, nil
	}
	n, err := parseNumber(s)
	return text{s: n}, err == nil, err
}

func parseNumber(s string) (string, error) {
	bare := strings.TrimLeft(s, "+-")
	octal := len(bare) > 1 && bare[0] == '0' && strings.Trim(bare, "0123456789_") == "" && strings.Trim(bare, "0_") != ""
	hexFloat := strings.ContainsAny(bare, "pP")
	if len(s)-len(bare) <= 1 && !octal && !hexFloat {
		if i, err := strconv.ParseInt(s, 0, 64); err == nil {
			return strconv.FormatInt(i, 10), nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return formatFloat(f), nil
		}
	}
	return "", fmt.Errorf("%q starts like a number and is none", abridge(s))
}

// formatFloat writes a float as Python does.
func formatFloat(f float64) string {
	s := strconv.FormatFloat(f, 'e', -1, 64)
	if _, exp, ok := strings.Cut(s, "e"); ok {
		if e, err := strconv.Atoi(exp); err == nil && e >= -4 && e < 16 {
			if s = strconv.FormatFloat(f, 'f', -1, 64); !strings.Contains(s, ".") {
				s += ".0"
			}
		}
	}
	return s
}

// textOf returns the value of a target as it is compared; false for a value,
// such as a list, that equals nothing.
func textOf(v any) (text, bool) {
	switch v := v.(type) {
	case nil:
		return noneText, true
	case string:
		return text{s: v}, true
	case bool:
		return boolText(v), true
	case int:
		return text{s: strconv.Itoa(v)}, true
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.String:
		return text{s: r.String()}, true
	case reflect.Bool:
		return boolText(r.Bool()), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return text{s: strconv.FormatInt(r.Int(), 10)}, true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return text{s: strconv.FormatUint(r.Uint(), 10)}, true
	case reflect.Float32, reflect.Float64:
		return text{s: formatFloat(r.Float())}, true
	case reflect.Pointer:
		if r.IsNil() {
			return noneText, true
		}
		switch e := r.Elem(); e.Kind() {
		case reflect.String, reflect.Bool, reflect.Int, reflect.Int64:
			return textOf(e.Interface())
		}
	}
	return text{}, false
}

func boolText(b bool) text {
	if b {
		return text{s: "True"}
	}
	return text{s: "False"}
}
