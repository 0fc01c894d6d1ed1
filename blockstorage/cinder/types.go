package cinder

import (
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) typeRoutes() []httpapi.Route {
	const base = "volume_extension:"
	specs, access := base+"types_extra_specs:", base+"volume_type_access:"
	return []httpapi.Route{
		{Pattern: at("POST", "/types"), Rules: []string{base + "type_create"}, Handler: a.createType},
		{Pattern: at("GET", "/types"), Rules: []string{base + "type_get_all"}, Handler: a.listTypes},
		{Pattern: at("GET", "/types/{id}"), Rules: []string{base + "type_get"}, Handler: a.showType},
		{Pattern: at("PUT", "/types/{id}"), Rules: []string{base + "type_update"}, Handler: a.updateType},
		{Pattern: at("DELETE", "/types/{id}"), Rules: []string{base + "type_delete"}, Handler: a.deleteType},
		{Pattern: at("GET", "/types/{id}/extra_specs"), Rules: []string{specs + "index"}, Handler: a.listExtraSpecs},
		{Pattern: at("POST", "/types/{id}/extra_specs"), Rules: []string{specs + "create"}, Handler: a.createExtraSpecs},
		{Pattern: at("GET", "/types/{id}/extra_specs/{key}"), Rules: []string{specs + "show"}, Handler: a.showExtraSpec},
		{Pattern: at("PUT", "/types/{id}/extra_specs/{key}"), Rules: []string{specs + "update"}, Handler: a.updateExtraSpec},
		{Pattern: at("DELETE", "/types/{id}/extra_specs/{key}"), Rules: []string{specs + "delete"}, Handler: a.deleteExtraSpec},
		{Pattern: at("GET", "/types/{id}/os-volume-type-access"), Rules: []string{access + "get_all_for_type"}, Handler: a.listTypeAccess},
		{
			Pattern: at("POST", "/types/{id}/action"), Rules: []string{access + "addProjectAccess", access + "removeProjectAccess"},
			Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return act(r, a.typeActions()) },
		},
		{Pattern: at("GET", "/default-types"), Min: "3.62", Rules: []string{base + "default_get_all"}, Handler: a.listDefaultTypes},
		{Pattern: at("GET", "/default-types/{project}"), Min: "3.62", Rules: []string{base + "default_get"}, Handler: a.showDefaultType},
		{Pattern: at("PUT", "/default-types/{project}"), Min: "3.62", Rules: []string{base + "default_set_or_update"}, Handler: a.setDefaultType},
		{Pattern: at("DELETE", "/default-types/{project}"), Min: "3.62", Rules: []string{base + "default_unset"}, Handler: a.unsetDefaultType},
	}
}

// typeView is a volume type as the caller may see it.
func (a *api) typeView(r *httpapi.Request, t blockstorage.Type) object {
	ctx, project := r.Context(), r.Caller().ProjectID
	o := object{"id": t.ID, "name": t.Name, "is_public": t.IsPublic, "description": t.Description}
	if a.Backends.Allowed(ctx, "volume_extension:access_types_extra_specs", project) {
		o["extra_specs"] = t.ExtraSpecs
	}
	if a.Backends.Allowed(ctx, "volume_extension:access_types_qos_specs_id", project) {
		o["qos_specs_id"] = orNull(t.QoSID)
	}
	if a.Backends.Allowed(ctx, "volume_extension:volume_type_access", project) {
		o["os-volume-type-access:is_public"] = t.IsPublic
	}
	return o
}

func (a *api) createType(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("volume_type", strict(map[string]schema.Schema{
		"name": {Types: typeText, MinLength: 1, MaxLength: 255, Format: isName}, "description": pNullText,
		"extra_specs":                     {Types: typeObject, Patterns: pairs(keyForm, pNullVal)},
		"os-volume-type-access:is_public": pBool,
	}, "name")))
	if err != nil {
		return nil, err
	}
	in := member(o, "volume_type")
	spec := blockstorage.TypeSpec{Name: textOf(in, "name"), Description: nullText(in, "description"), IsPublic: true, ExtraSpecs: pairsOf(in, "extra_specs")}
	if v, ok := in["os-volume-type-access:is_public"]; ok {
		spec.IsPublic = boolOf(v)
	}
	t, err := a.Types.CreateType(r.Context(), spec)
	if err != nil {
		return nil, err
	}
	view := a.typeView(r, t)
	delete(view, "qos_specs_id") // a new type has none, and the API does not say so
	return httpapi.OK(object{"volume_type": view}), nil
}

func (a *api) listTypes(r *httpapi.Request) (*httpapi.Response, error) {
	l, err := a.readList(r, "type", "volume_type")
	if err != nil {
		return nil, err
	}
	f := blockstorage.TypeFilter{Offset: l.offset, Match: l.match}
	public, given := l.take("is_public")
	if a.Backends.IsAdmin(r.Context()) {
		switch b, ok := httpapi.ParseBool(public); {
		case !given:
			b = true
			f.Public = &b
		case strings.EqualFold(public, "none"):
		case !ok:
			return nil, badRequest("Invalid is_public filter [%s]", clip(public))
		default:
			f.Public = &b
		}
	}
	if f.ExtraSpecs, err = l.takePairs("extra_specs"); err != nil {
		return nil, err
	}
	if !since(r, "3.52") {
		f.ExtraSpecs = nil
	}
	hidden := false
	if !a.Backends.Allowed(r.Context(), "volume_extension:types_extra_specs:read_sensitive", r.Caller().ProjectID) {
		for k := range f.ExtraSpecs {
			hidden = hidden || !slices.Contains(blockstorage.UserVisibleExtraSpecs(), k)
		}
	}
	ts, _, err := a.Types.ListTypes(r.Context(), f, l.page)
	if err != nil {
		return nil, err
	}
	if hidden || r.NoItems() {
		ts = nil
	}
	return pageOf(r, l, "volume_types", "volume_type_links", ts, func(t blockstorage.Type) string { return t.ID },
		func(t blockstorage.Type) (object, error) { return a.typeView(r, t), nil }, nil)
}

func (a *api) showType(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("id")
	t, err := a.Types.Type(r.Context(), id)
	if err != nil {
		return nil, err
	}
	view := a.typeView(r, t)
	if id == "default" {
		delete(view, "os-volume-type-access:is_public") // it is said of types by id only
	}
	return httpapi.OK(object{"volume_type": view}), nil
}

func (a *api) updateType(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("volume_type", strict(map[string]schema.Schema{
		"name": {Types: typeNullText, MinLength: 1, MaxLength: 255}, "description": pNullText, "is_public": pBool,
	})))
	if err != nil {
		return nil, err
	}
	in := member(o, "volume_type")
	u := blockstorage.TypeUpdate{Name: nullText(in, "name"), Description: nullText(in, "description")}
	if v, ok := in["is_public"]; ok {
		b := boolOf(v)
		u.IsPublic = &b
	}
	t, err := a.Types.UpdateType(r.Context(), r.PathValue("id"), u)
	if err != nil {
		return nil, err
	}
	view := a.typeView(r, t)
	delete(view, "qos_specs_id")
	delete(view, "os-volume-type-access:is_public")
	return httpapi.OK(object{"volume_type": view}), nil
}

func (a *api) deleteType(r *httpapi.Request) (*httpapi.Response, error) {
	return accepted(a.Types.DeleteType(r.Context(), r.PathValue("id")))
}

func (a *api) listExtraSpecs(r *httpapi.Request) (*httpapi.Response, error) {
	specs, err := a.Types.ExtraSpecs(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"extra_specs": specs}), nil
}

func (a *api) createExtraSpecs(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("extra_specs", schema.Schema{Types: typeObject, Patterns: pairs(specKey, pNullVal)}))
	if err != nil {
		return nil, err
	}
	if err := a.Types.SetExtraSpecs(r.Context(), r.PathValue("id"), pairsOf(o, "extra_specs")); err != nil {
		return nil, err
	}
	return httpapi.OK(o), nil
}

func (a *api) showExtraSpec(r *httpapi.Request) (*httpapi.Response, error) {
	specs, err := a.Types.ExtraSpecs(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	key := r.PathValue("key")
	v, ok := specs[key]
	if !ok {
		return nil, nephos.Errorf(nephos.ErrNotFound, "Volume Type %s has no extra specs with key %s.", r.PathValue("id"), clip(key))
	}
	return httpapi.OK(object{key: v}), nil
}

func (a *api) updateExtraSpec(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, schema.Schema{Types: typeObject, Patterns: pairs(specKey, pNullVal), MinProps: 1, MaxProps: 1})
	if err != nil {
		return nil, err
	}
	key := r.PathValue("key")
	if _, ok := o[key]; !ok {
		return nil, badRequest("Request body and URI mismatch")
	}
	if err := a.Types.SetExtraSpecs(r.Context(), r.PathValue("id"), map[string]string{key: textOf(o, key)}); err != nil {
		return nil, err
	}
	return httpapi.OK(o), nil
}

func (a *api) deleteExtraSpec(r *httpapi.Request) (*httpapi.Response, error) {
	return accepted(a.Types.UnsetExtraSpec(r.Context(), r.PathValue("id"), r.PathValue("key")))
}

func (a *api) listTypeAccess(r *httpapi.Request) (*httpapi.Response, error) {
	projects, err := a.Types.TypeAccess(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := make([]object, len(projects))
	for i, p := range projects {
		out[i] = object{"volume_type_id": r.PathValue("id"), "project_id": p}
	}
	return httpapi.OK(object{"volume_type_access": out}), nil
}

func (a *api) typeActions() map[string]action {
	project := always(strict(map[string]schema.Schema{"project": pUUID}, "project"))
	return map[string]action{
		"addProjectAccess": {schema: project, run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
			return accepted(a.Types.AddTypeAccess(r.Context(), id, textOf(in, "project")))
		}},
		"removeProjectAccess": {schema: project, run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
			return accepted(a.Types.RemoveTypeAccess(r.Context(), id, textOf(in, "project")))
		}},
	}
}

func defaultTypeView(d blockstorage.DefaultType) object {
	return object{"project_id": d.ProjectID, "volume_type_id": d.TypeID}
}

func (a *api) listDefaultTypes(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := a.Types.ListDefaultTypes(r.Context())
	if err != nil {
		return nil, err
	}
	out := make([]object, len(all))
	for i, d := range all {
		out[i] = defaultTypeView(d)
	}
	return httpapi.OK(object{"default_types": out}), nil
}

func (a *api) showDefaultType(r *httpapi.Request) (*httpapi.Response, error) {
	d, err := a.Types.DefaultTypeOf(r.Context(), r.PathValue("project"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"default_type": defaultTypeView(d)}), nil
}

func (a *api) setDefaultType(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("default_type", strict(map[string]schema.Schema{
		"volume_type": {Types: typeText, MinLength: 1, MaxLength: 255, Format: isName},
	}, "volume_type")))
	if err != nil {
		return nil, err
	}
	d, err := a.Types.SetDefaultType(r.Context(), r.PathValue("project"), textOf(member(o, "default_type"), "volume_type"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"default_type": defaultTypeView(d)}), nil
}

func (a *api) unsetDefaultType(r *httpapi.Request) (*httpapi.Response, error) {
	if err := a.Types.UnsetDefaultType(r.Context(), r.PathValue("project")); err != nil {
		return nil, err
	}
	return httpapi.NoContent(), nil
}
