package cinder

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) typeEncryptionRoutes() []httpapi.Route {
	const rule = "volume_extension:volume_type_encryption:"
	return []httpapi.Route{
		{Pattern: at("GET", "/types/{id}/encryption"), Rules: []string{rule + "get"}, Handler: a.showTypeEncryption},
		{Pattern: at("POST", "/types/{id}/encryption"), Rules: []string{rule + "create"}, Handler: a.createTypeEncryption},
		{Pattern: at("GET", "/types/{id}/encryption/{key}"), Rules: []string{rule + "get"}, Handler: a.showTypeEncryptionItem},
		{Pattern: at("PUT", "/types/{id}/encryption/{key}"), Rules: []string{rule + "update"}, Handler: a.updateTypeEncryption},
		{Pattern: at("DELETE", "/types/{id}/encryption/{key}"), Rules: []string{rule + "delete"}, Handler: a.deleteTypeEncryption},
	}
}

// isKeySize is the format of key sizes.
func isKeySize(s string) error {
	if _, err := strconv.Atoi(strings.TrimSpace(s)); err != nil {
		return schema.Alone("Invalid input received: key_size must be an integer.")
	}
	return nil
}

func encryptionSchema(required ...string) schema.Schema {
	return body("encryption", schema.Schema{Types: typeObject, Open: true, Required: required, Props: props(map[string]schema.Schema{
		"key_size": {Types: []string{"string", "integer", "null"}, Format: isKeySize}, "provider": {Types: typeText, MaxLength: 255},
		"control_location": {Enum: []any{"front-end", "back-end"}}, "cipher": pNullText,
	})})
}

// encryptionOf reads what the body says, and returns the body as it is told
// again: with the size of the key as a number.
func encryptionOf(r *httpapi.Request, required ...string) (blockstorage.TypeEncryptionUpdate, object, error) {
	var u blockstorage.TypeEncryptionUpdate
	o, err := decode(r, encryptionSchema(required...))
	if err != nil {
		return u, nil, err
	}
	in := member(o, "encryption")
	for name, to := range map[string]**string{"provider": &u.Provider, "control_location": &u.ControlLocation} {
		if text, ok := in[name].(string); ok {
			*to = &text
		}
	}
	if v, ok := in["cipher"]; ok {
		var cipher *string
		if text, ok := v.(string); ok {
			cipher = &text
		}
		u.Cipher = &cipher
	}
	if v, ok := in["key_size"]; ok {
		var size *int
		switch v := v.(type) {
		case string:
			n, _ := strconv.Atoi(strings.TrimSpace(v))
			size = &n
		case json.Number:
			n, _ := strconv.Atoi(v.String())
			size = &n
		}
		switch {
		case size != nil && *size < 0:
			return u, nil, invalid("key_size", v, "%d is less than the minimum of 0", *size)
		case size != nil && *size > maxInt:
			return u, nil, invalid("key_size", v, "%d is greater than the maximum of %d", *size, maxInt)
		}
		u.KeySize, in["key_size"] = &size, size
	}
	return u, in, nil
}

func (a *api) createTypeEncryption(r *httpapi.Request) (*httpapi.Response, error) {
	u, in, err := encryptionOf(r, "provider", "control_location")
	if err != nil {
		return nil, err
	}
	e := blockstorage.TypeEncryption{TypeID: r.PathValue("id"), Provider: *u.Provider, ControlLocation: *u.ControlLocation}
	if u.Cipher != nil {
		e.Cipher = *u.Cipher
	}
	if u.KeySize != nil {
		e.KeySize = *u.KeySize
	}
	if e, err = a.Encryption.CreateTypeEncryption(r.Context(), e); err != nil {
		return nil, err
	}
	in["volume_type_id"], in["encryption_id"] = e.TypeID, e.ID
	return httpapi.OK(object{"encryption": in}), nil
}

func (a *api) updateTypeEncryption(r *httpapi.Request) (*httpapi.Response, error) {
	u, in, err := encryptionOf(r)
	if err != nil {
		return nil, err
	}
	if err := a.Encryption.UpdateTypeEncryption(r.Context(), r.PathValue("id"), u); err != nil {
		return nil, err
	}
	return httpapi.OK(object{"encryption": in}), nil
}

func (a *api) deleteTypeEncryption(r *httpapi.Request) (*httpapi.Response, error) {
	if err := a.Encryption.DeleteTypeEncryption(r.Context(), r.PathValue("id")); err != nil {
		return nil, err
	}
	return httpapi.Accepted(nil), nil
}

// typeEncryption is what is told of a type: nothing where it asks for none.
func (a *api) typeEncryption(r *httpapi.Request) (object, error) {
	e, err := a.Encryption.TypeEncryption(r.Context(), r.PathValue("id"))
	if err != nil || e == nil {
		return object{}, err
	}
	return object{
		"volume_type_id": e.TypeID, "encryption_id": e.ID, "provider": e.Provider, "control_location": e.ControlLocation,
		"cipher": e.Cipher, "key_size": e.KeySize, "created_at": stamp(e.CreatedAt), "updated_at": nullStamp(e.UpdatedAt),
		"deleted": false, "deleted_at": nil,
	}, nil
}

func (a *api) showTypeEncryption(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := a.typeEncryption(r)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(o), nil
}

func (a *api) showTypeEncryptionItem(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := a.typeEncryption(r)
	if err != nil {
		return nil, err
	}
	key := r.PathValue("key")
	v, ok := o[key]
	if !ok {
		return nil, nephos.Errorf(nephos.ErrNotFound, "Volume type encryption for type %s does not exist.", clip(r.PathValue("id")))
	}
	return httpapi.OK(object{key: v}), nil
}
