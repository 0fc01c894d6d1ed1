package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// payload is what a token says: ids and times, nothing that can change.
type payload struct {
	UserID    string
	Methods   []string
	ProjectID string // at most one of the three scopes is set
	DomainID  string
	System    bool
	AppCredID string
	ExpiresAt time.Time
	AuditIDs  []string  // the token's own, and that of the first of its chain
	IssuedAt  time.Time // the envelope's
}

// The versions of Keystone's payloads.
const (
	payloadUnscoped = 0
	payloadDomain   = 1
	payloadProject  = 2
	payloadSystem   = 8
	payloadAppCred  = 9
)

// authMethods are Keystone's methods in the order of their bits.
var authMethods = []string{"external", "password", "token", "oauth1", "mapped", "application_credential"}

// encode writes the payload in Keystone's layout: an array of the version, the
// user, the methods' bits, the scope's id, the expiry as seconds, and the audit
// ids. A UUID is 16 bytes behind a true, another id is text behind a false.
func (p payload) encode() ([]byte, error) {
	bits := 0
	for i, m := range authMethods {
		for _, have := range p.Methods {
			if m == have {
				bits |= 1 << i
			}
		}
	}
	audits := make([]any, len(p.AuditIDs))
	for i, a := range p.AuditIDs {
		raw, err := base64.RawURLEncoding.DecodeString(a)
		if err != nil {
			return nil, fmt.Errorf("encoding a token: audit id: %w", err)
		}
		audits[i] = raw
	}
	expires := float64(p.ExpiresAt.UnixMicro()) / 1e6
	user := packID(p.UserID)
	var fields []any
	switch {
	case p.AppCredID != "":
		fields = []any{payloadAppCred, user, bits, packID(p.ProjectID), expires, audits, packID(p.AppCredID)}
	case p.ProjectID != "":
		fields = []any{payloadProject, user, bits, packID(p.ProjectID), expires, audits}
	case p.DomainID != "":
		fields = []any{payloadDomain, user, bits, packID(p.DomainID)[1], expires, audits}
	case p.System:
		fields = []any{payloadSystem, user, bits, "all", expires, audits}
	default:
		fields = []any{payloadUnscoped, user, bits, expires, audits}
	}
	var b bytes.Buffer
	enc := msgpack.NewEncoder(&b)
	enc.UseCompactInts(true)
	if err := enc.Encode(fields); err != nil {
		return nil, fmt.Errorf("encoding a token: %w", err)
	}
	return b.Bytes(), nil
}

func packID(id string) []any {
	if raw, ok := uuidBytes(id); ok {
		return []any{true, raw}
	}
	return []any{false, id}
}

// uuidBytes packs an id of 32 lower-case hexadecimal digits.
func uuidBytes(id string) ([]byte, bool) {
	raw, err := hex.DecodeString(id)
	return raw, err == nil && len(raw) == 16 && hex.EncodeToString(raw) == id
}

var errPayload = errors.New("its payload is malformed")

// decodePayload reads any of the payloads that this service issues, as written
// here or by a Keystone.
func decodePayload(b []byte) (p payload, err error) {
	dec := msgpack.NewDecoder(bytes.NewReader(b))
	v, err := dec.DecodeInterface()
	if err != nil {
		return p, errPayload
	}
	f, ok := v.([]any)
	if !ok || len(f) < 5 {
		return p, errPayload
	}
	version, ok := unpackInt(f[0])
	if !ok {
		return p, errPayload
	}
	want := map[int64]int{payloadUnscoped: 5, payloadDomain: 6, payloadProject: 6, payloadSystem: 6, payloadAppCred: 7}[version]
	if want == 0 {
		return p, fmt.Errorf("its payload is of the unknown version %d", version)
	}
	if len(f) != want {
		return p, errPayload
	}
	bits, okBits := unpackInt(f[2])
	p.UserID, ok = unpackID(f[1])
	if !ok || !okBits || bits < 0 || bits >= 1<<len(authMethods) {
		return p, errPayload
	}
	for i := len(authMethods) - 1; i >= 0; i-- {
		if bits&(1<<i) != 0 {
			p.Methods = append(p.Methods, authMethods[i])
		}
	}
	rest := f[3:]
	switch version {
	case payloadDomain:
		p.DomainID, ok = unpackBareID(rest[0])
	case payloadProject, payloadAppCred:
		p.ProjectID, ok = unpackID(rest[0])
	case payloadSystem:
		var all string
		all, ok = unpackText(rest[0])
		p.System, ok = true, ok && all == "all"
	}
	if !ok {
		return p, errPayload
	}
	if version != payloadUnscoped {
		rest = rest[1:]
	}
	if version == payloadAppCred {
		if p.AppCredID, ok = unpackID(rest[2]); !ok {
			return p, errPayload
		}
	}
	expires, ok := rest[0].(float64)
	if !ok || math.IsNaN(expires) || expires < 0 || expires > 1<<40 {
		return p, errPayload
	}
	p.ExpiresAt = time.UnixMicro(int64(math.Round(expires * 1e6))).UTC()
	audits, ok := rest[1].([]any)
	if !ok || len(audits) < 1 || len(audits) > 2 {
		return p, errPayload
	}
	for _, a := range audits {
		raw, ok := a.([]byte)
		if !ok || len(raw) == 0 || len(raw) > 48 {
			return p, errPayload
		}
		p.AuditIDs = append(p.AuditIDs, base64.RawURLEncoding.EncodeToString(raw))
	}
	return p, nil
}

func unpackInt(v any) (int64, bool) {
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return r.Int(), true
	case r.CanUint():
		return int64(r.Uint()), r.Uint() <= math.MaxInt64
	}
	return 0, false
}

func unpackText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, v != ""
	case []byte:
		return string(v), len(v) > 0
	}
	return "", false
}

// unpackID reads a pair of "is it packed" and the id.
func unpackID(v any) (string, bool) {
	pair, ok := v.([]any)
	if !ok || len(pair) != 2 {
		return "", false
	}
	packed, ok := pair[0].(bool)
	if !ok {
		return "", false
	}
	if !packed {
		return unpackText(pair[1])
	}
	raw, ok := pair[1].([]byte)
	return hex.EncodeToString(raw), ok && len(raw) == 16
}

// unpackBareID reads an id of which only the type tells whether it is packed.
func unpackBareID(v any) (string, bool) {
	if raw, ok := v.([]byte); ok && len(raw) == 16 {
		return hex.EncodeToString(raw), true
	}
	return unpackText(v)
}
