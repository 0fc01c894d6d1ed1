package scheduler

import (
	"strconv"
	"strings"
)

// Match says whether a value meets a requirement written with the operators of
// Nova's extra specs:
//
//	=                    a number at least as great
//	== != >= <=          numbers
//	s== s!= s< s<= s> s>=  strings
//	<in> word            the value contains the word
//	<all-in> word …      the value contains all the words
//	<or> word <or> word  the value is one of the words
//
// A requirement without an operator is met by the equal value alone. A
// comparison of numbers with what is not a number is not met.
func Match(value, requirement string) bool {
	words := strings.Fields(requirement)
	if len(words) == 0 {
		return value == requirement
	}
	op, words := words[0], words[1:]
	switch op {
	case "<or>":
		for i := 0; i < len(words); i += 2 {
			if words[i] == value {
				return true
			}
		}
		return false
	case "<all-in>":
		for _, w := range words {
			if !strings.Contains(value, w) {
				return false
			}
		}
		return len(words) > 0
	case "=", "==", "!=", ">=", "<=", "s==", "s!=", "s<", "s<=", "s>", "s>=", "<in>":
		return len(words) > 0 && compare(op, value, words[0])
	}
	return value == requirement
}

func compare(op, x, y string) bool {
	switch op {
	case "<in>":
		return strings.Contains(x, y)
	case "s==":
		return x == y
	case "s!=":
		return x != y
	case "s<":
		return x < y
	case "s<=":
		return x <= y
	case "s>":
		return x > y
	case "s>=":
		return x >= y
	}
	a, err := strconv.ParseFloat(strings.TrimSpace(x), 64)
	if err != nil {
		return false
	}
	b, err := strconv.ParseFloat(y, 64)
	if err != nil {
		return false
	}
	switch op {
	case "=", ">=":
		return a >= b
	case "==":
		return a == b
	case "!=":
		return a != b
	default: // "<="
		return a <= b
	}
}
