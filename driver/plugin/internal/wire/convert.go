package wire

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"
)

// To makes the message of plain data: each field of the driver's type goes to
// the message's field of the same name, whatever the case and underscores. Both
// must have the same fields; a difference between the types panics, and the
// test that converts every type finds it.
//
// Times become nanoseconds since 1970, durations nanoseconds, addresses and
// prefixes their text. Empty slices and maps arrive as nil.
func To[P any](v any) *P {
	p := new(P)
	convert(reflect.ValueOf(p).Elem(), reflect.ValueOf(v))
	return p
}

// ToAll is [To] for each of a slice.
func ToAll[P, T any](vs []T) []*P {
	if len(vs) == 0 {
		return nil
	}
	ps := make([]*P, len(vs))
	for i := range vs {
		ps[i] = To[P](vs[i])
	}
	return ps
}

// From is the way back. An absent message is the zero value. An address that
// does not parse is no address.
func From[T any](p any) T {
	var t T
	if v := reflect.ValueOf(p); v.IsValid() && !v.IsNil() {
		convert(reflect.ValueOf(&t).Elem(), v.Elem())
	}
	return t
}

// FromAll is [From] for each of a slice.
func FromAll[T, P any](ps []*P) []T {
	if len(ps) == 0 {
		return nil
	}
	ts := make([]T, len(ps))
	for i := range ps {
		ts[i] = From[T](ps[i])
	}
	return ts
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	addrType     = reflect.TypeFor[netip.Addr]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	addrPortType = reflect.TypeFor[netip.AddrPort]()
)

// convert copies src into dst, one of which belongs to a driver's type and the
// other to a message's.
func convert(dst, src reflect.Value) {
	if scalar(dst, src) {
		return
	}
	switch {
	case dst.Kind() == reflect.Pointer && src.Kind() == reflect.Pointer:
		if !src.IsNil() {
			dst.Set(reflect.New(dst.Type().Elem()))
			convert(dst.Elem(), src.Elem())
		}
	case dst.Kind() == reflect.Pointer: // a struct by value becomes a message
		dst.Set(reflect.New(dst.Type().Elem()))
		convert(dst.Elem(), src)
	case src.Kind() == reflect.Pointer: // and back
		if !src.IsNil() {
			convert(dst, src.Elem())
		}
	case dst.Kind() == reflect.Struct && src.Kind() == reflect.Struct:
		for _, f := range fieldsOf(dst.Type(), src.Type()) {
			convert(dst.Field(f.dst), src.Field(f.src))
		}
	case dst.Kind() == reflect.Slice && src.Kind() == reflect.Slice:
		if src.Len() == 0 {
			return
		}
		if dst.Type() == src.Type() {
			dst.Set(src)
			return
		}
		dst.Set(reflect.MakeSlice(dst.Type(), src.Len(), src.Len()))
		for i := range src.Len() {
			convert(dst.Index(i), src.Index(i))
		}
	case dst.Kind() == reflect.Map && src.Kind() == reflect.Map:
		if src.Len() == 0 {
			return
		}
		if dst.Type() == src.Type() {
			dst.Set(src)
			return
		}
		dst.Set(reflect.MakeMapWithSize(dst.Type(), src.Len()))
		for i := src.MapRange(); i.Next(); {
			k, v := reflect.New(dst.Type().Key()).Elem(), reflect.New(dst.Type().Elem()).Elem()
			convert(k, i.Key())
			convert(v, i.Value())
			dst.SetMapIndex(k, v)
		}
	default:
		panic(fmt.Sprintf("wire: no way from %s to %s", src.Type(), dst.Type()))
	}
}

// scalar converts what is no composite, if it is.
func scalar(dst, src reflect.Value) bool {
	switch {
	case src.Type() == timeType && dst.Kind() == reflect.Int64:
		if t := src.Interface().(time.Time); !t.IsZero() {
			dst.SetInt(t.UnixNano())
		}
	case dst.Type() == timeType && src.Kind() == reflect.Int64:
		if n := src.Int(); n != 0 {
			dst.Set(reflect.ValueOf(time.Unix(0, n).UTC()))
		}
	case dst.Kind() == reflect.String && src.Kind() == reflect.Struct:
		dst.SetString(text(src))
	case src.Kind() == reflect.String && dst.Kind() == reflect.Struct:
		parse(dst, src.String())
	case src.Kind() == reflect.String && dst.Kind() == reflect.String:
		dst.SetString(src.String())
	case src.Kind() == reflect.Bool && dst.Kind() == reflect.Bool:
		dst.SetBool(src.Bool())
	case src.CanInt() && dst.CanInt():
		dst.SetInt(src.Int())
	case src.CanUint() && dst.CanUint():
		dst.SetUint(src.Uint())
	case src.CanFloat() && dst.CanFloat():
		dst.SetFloat(src.Float())
	default:
		return false
	}
	return true
}

// text is an address in words; the zero address is the empty string.
func text(v reflect.Value) string {
	var t fmt.Stringer
	var ok bool
	switch v.Type() {
	case addrType:
		a := v.Interface().(netip.Addr)
		t, ok = a, a.IsValid()
	case prefixType:
		p := v.Interface().(netip.Prefix)
		t, ok = p, p.IsValid()
	case addrPortType:
		p := v.Interface().(netip.AddrPort)
		t, ok = p, p.IsValid()
	default:
		panic(fmt.Sprintf("wire: no text for %s", v.Type()))
	}
	if !ok {
		return ""
	}
	return t.String()
}

func parse(dst reflect.Value, s string) {
	if s == "" {
		return
	}
	switch dst.Type() {
	case addrType:
		a, _ := netip.ParseAddr(s)
		dst.Set(reflect.ValueOf(a))
	case prefixType:
		p, _ := netip.ParsePrefix(s)
		dst.Set(reflect.ValueOf(p))
	case addrPortType:
		p, _ := netip.ParseAddrPort(s)
		dst.Set(reflect.ValueOf(p))
	default:
		panic(fmt.Sprintf("wire: no %s in words", dst.Type()))
	}
}

// pair is a field in two types.
type pair struct{ dst, src int }

// plans remembers fieldsOf; what it holds depends on nothing but types.
var plans sync.Map // [2]reflect.Type -> []pair

func fieldsOf(dst, src reflect.Type) []pair {
	key := [2]reflect.Type{dst, src}
	if plan, ok := plans.Load(key); ok {
		return plan.([]pair)
	}
	from := map[string]int{}
	for i := range src.NumField() {
		if f := src.Field(i); f.IsExported() {
			from[canonical(f.Name)] = i
		}
	}
	var plan []pair
	for i := range dst.NumField() {
		f := dst.Field(i)
		if !f.IsExported() {
			continue
		}
		j, ok := from[canonical(f.Name)]
		if !ok {
			panic(fmt.Sprintf("wire: %s has no field for %s of %s", src, f.Name, dst))
		}
		delete(from, canonical(f.Name))
		plan = append(plan, pair{i, j})
	}
	for name := range from {
		panic(fmt.Sprintf("wire: %s has no field for %s of %s", dst, name, src))
	}
	plans.Store(key, plan)
	return plan
}

// canonical is a field's name without what the two worlds write differently.
func canonical(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", ""))
}
