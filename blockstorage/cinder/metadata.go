package cinder

import (
	"context"
	"crypto/md5" //nolint:gosec // the API's entity tag
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// metadataOf is the metadata of volumes or of snapshots.
type metadataOf struct {
	get   func(ctx context.Context, id string) (map[string]string, error)
	set   func(ctx context.Context, id string, m map[string]string, replace bool) (map[string]string, error)
	unset func(ctx context.Context, id, key string) error
	what  string
	tags  bool // entity tags, from microversion 3.15
	loose bool // bodies are not held against a schema
}

func (a *api) metadataRoutes() []httpapi.Route {
	m := a.Metadata
	vol := metadataOf{m.VolumeMetadata, m.SetVolumeMetadata, m.UnsetVolumeMetadata, "Volume", true, false}
	snap := metadataOf{m.SnapshotMetadata, m.SetSnapshotMetadata, m.UnsetSnapshotMetadata, "Snapshot", false, true}
	return append(vol.routes("/volumes/{id}/metadata", "volume:", "volume"), snap.routes("/snapshots/{id}/metadata", "volume:", "snapshot")...)
}

func (m metadataOf) routes(path, base, what string) []httpapi.Route {
	rule := func(verb string) []string { return []string{base + verb + "_" + what + "_metadata"} }
	create := rule("update")
	if m.tags {
		create = rule("create")
	}
	return []httpapi.Route{
		{Pattern: at("GET", path), Rules: rule("get"), Handler: m.list},
		{Pattern: at("POST", path), Rules: create, Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return m.write(r, false) }},
		{Pattern: at("PUT", path), Rules: rule("update"), Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return m.write(r, true) }},
		{Pattern: at("GET", path+"/{key}"), Rules: rule("get"), Handler: m.show},
		{Pattern: at("PUT", path+"/{key}"), Rules: rule("update"), Handler: m.writeOne},
		{Pattern: at("DELETE", path+"/{key}"), Rules: rule("delete"), Handler: m.delete},
	}
}

// tag is the entity tag of metadata: the digest of its JSON.
func tag(m map[string]string) string {
	if m == nil {
		m = map[string]string{}
	}
	b, _ := json.Marshal(map[string]map[string]string{"metadata": m}) // texts always encode
	sum := md5.Sum(b)                                                 //nolint:gosec // no secret
	return hex.EncodeToString(sum[:])
}

// checkTag holds an If-Match header against the metadata.
func (m metadataOf) checkTag(r *httpapi.Request) error {
	want := r.Header.Get("If-Match")
	if !m.tags || want == "" || !since(r, "3.15") {
		return nil
	}
	now, err := m.get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	for t := range strings.SplitSeq(want, ",") {
		if t = strings.Trim(strings.TrimPrefix(strings.TrimSpace(t), "W/"), `"`); slices.Contains([]string{"*", tag(now)}, t) {
			return nil
		}
	}
	return nephos.Errorf(nephos.ErrPrecondition, "The metadata is another by now.")
}

func (m metadataOf) list(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := m.get(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	resp := httpapi.OK(object{"metadata": all})
	if m.tags && since(r, "3.15") {
		resp.Set("Etag", tag(all))
	}
	return resp, nil
}

func (m metadataOf) write(r *httpapi.Request, replace bool) (*httpapi.Response, error) {
	o, err := m.read(r, "metadata", body("metadata", pMetadata))
	if err != nil {
		return nil, err
	}
	if replace {
		if err := m.checkTag(r); err != nil {
			return nil, err
		}
	}
	all, err := m.set(r.Context(), r.PathValue("id"), pairsOf(o, "metadata"), replace)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"metadata": all}), nil
}

// read reads a body with one member. Those of snapshots' metadata are of a time
// before there were schemas.
func (m metadataOf) read(r *httpapi.Request, name string, s schema.Schema) (object, error) {
	if !m.loose {
		return decode(r, s)
	}
	o, err := decode(r, schema.Schema{Open: true})
	if err != nil {
		return nil, err
	}
	in, ok := o[name].(object)
	if !ok {
		return nil, badRequest("Missing required element '%s' in request body.", name)
	}
	for _, k := range slices.Sorted(maps.Keys(in)) {
		v, isText := in[k].(string)
		switch n := utf8.RuneCountInString(k); {
		case k == "":
			return nil, badRequest("Invalid metadata: Invalid input received: Metadata key:  has 0 characters, less than 1.")
		case !isText:
			return nil, badRequest("Invalid metadata: Invalid input received: Value for metadata key: %s is not a string or unicode", clip(k))
		case n > 255:
			return nil, nephos.Errorf(nephos.ErrTooLarge, "Invalid metadata size: Metadata property key %s greater than 255 characters.", clip(k))
		case utf8.RuneCountInString(v) > 255:
			return nil, nephos.Errorf(nephos.ErrTooLarge, "Invalid metadata size: Metadata property key %s value greater than 255 characters.", clip(k))
		}
	}
	return o, nil
}

func (m metadataOf) writeOne(r *httpapi.Request) (*httpapi.Response, error) {
	p := pMetadata
	p.MinProps, p.MaxProps = 1, 1
	o, err := m.read(r, "meta", body("meta", p))
	if err != nil {
		return nil, err
	}
	in := pairsOf(o, "meta")
	if _, ok := in[r.PathValue("key")]; !ok {
		return nil, badRequest("Request body and URI mismatch")
	}
	if err := m.checkTag(r); err != nil {
		return nil, err
	}
	if _, err := m.set(r.Context(), r.PathValue("id"), in, false); err != nil {
		return nil, err
	}
	return httpapi.OK(object{"meta": in}), nil
}

func (m metadataOf) show(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := m.get(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	key := r.PathValue("key")
	v, ok := all[key]
	if !ok {
		return nil, nephos.Errorf(nephos.ErrNotFound, "%s %s has no metadata with key %s.", m.what, r.PathValue("id"), clip(key))
	}
	return httpapi.OK(object{"meta": object{key: v}}), nil
}

func (m metadataOf) delete(r *httpapi.Request) (*httpapi.Response, error) {
	if err := m.unset(r.Context(), r.PathValue("id"), r.PathValue("key")); err != nil {
		return nil, err
	}
	return httpapi.Status(200, nil), nil
}
