package cinder

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) qosRoutes() []httpapi.Route {
	rule := func(verb string) []string { return []string{"volume_extension:qos_specs_manage:" + verb} }
	return []httpapi.Route{
		{Pattern: at("GET", "/qos-specs"), Rules: rule("get_all"), Handler: a.listQoS},
		{Pattern: at("POST", "/qos-specs"), Rules: rule("create"), Handler: a.createQoS},
		{Pattern: at("GET", "/qos-specs/{id}"), Rules: rule("get"), Handler: a.showQoS},
		{Pattern: at("PUT", "/qos-specs/{id}"), Rules: rule("update"), Handler: a.updateQoS},
		{Pattern: at("DELETE", "/qos-specs/{id}"), Rules: rule("delete"), Handler: a.deleteQoS},
		{Pattern: at("PUT", "/qos-specs/{id}/delete_keys"), Rules: rule("delete"), Handler: a.unsetQoS},
		{Pattern: at("GET", "/qos-specs/{id}/associations"), Rules: rule("get_all"), Handler: a.listAssociations},
		{Pattern: at("GET", "/qos-specs/{id}/associate"), Rules: rule("update"), Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
			return withType(r, func(id, typeID string) error { return a.QoS.AssociateQoS(r.Context(), id, typeID) })
		}},
		{Pattern: at("GET", "/qos-specs/{id}/disassociate"), Rules: rule("update"), Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
			return withType(r, func(id, typeID string) error { return a.QoS.DisassociateQoS(r.Context(), id, typeID) })
		}},
		{Pattern: at("GET", "/qos-specs/{id}/disassociate_all"), Rules: rule("update"), Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
			return accepted(a.QoS.DisassociateQoS(r.Context(), r.PathValue("id"), ""))
		}},
	}
}

func qosSummary(q blockstorage.QoS) object {
	return object{"id": q.ID, "name": q.Name, "consumer": q.Consumer, "specs": q.Specs}
}

func qosView(r *httpapi.Request, q blockstorage.QoS) object {
	return object{"qos_specs": qosSummary(q), "links": links(r, "qos-specs", q.ID)}
}

// qosName is the format of the name of QoS specs, whose outer spaces do not count.
func qosName(s string) error {
	if utf8.RuneCountInString(strings.TrimSpace(s)) > 255 {
		return schema.Alone("An invalid 'name' value was provided. The 'name' can not be greater than 255 characters.")
	}
	return isName(s)
}

// specsOf reads the pairs beside the name and the consumer.
func specsOf(in object) (map[string]string, error) {
	out := map[string]string{}
	for k, v := range in {
		if k == "name" || k == "consumer" {
			continue
		}
		text, ok := v.(string)
		if !ok && v != nil {
			return nil, badRequest("Invalid input received: Value for key \"%s\" is not a string or unicode", clip(k))
		}
		out[k] = text
	}
	return out, nil
}

func (a *api) createQoS(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("qos_specs", schema.Schema{
		Types: typeObject, Open: true, Required: []string{"name"}, Props: props(map[string]schema.Schema{"name": {Types: typeText, Format: qosName}}),
	}))
	if err != nil {
		return nil, err
	}
	in := member(o, "qos_specs")
	consumer, ok := in["consumer"].(string)
	if !ok && in["consumer"] != nil {
		return nil, badRequest("Invalid input received: Value for key \"consumer\" is not a string or unicode")
	}
	if ok && consumer == "" {
		consumer = " " // it is no consumer, where none would be the default
	}
	spec := blockstorage.QoSSpec{Name: strings.TrimSpace(textOf(in, "name")), Consumer: consumer}
	if spec.Specs, err = specsOf(in); err != nil {
		return nil, err
	}
	q, err := a.QoS.CreateQoS(r.Context(), spec)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(qosView(r, q)), nil
}

func (a *api) listQoS(r *httpapi.Request) (*httpapi.Response, error) {
	l, err := a.readList(r, "qos", "qos")
	if err != nil {
		return nil, err
	}
	list, _, err := a.QoS.ListQoS(r.Context(), blockstorage.QoSFilter{Offset: l.offset, Match: l.match}, l.page)
	if err != nil {
		return nil, err
	}
	if r.NoItems() {
		list = nil
	}
	return pageOf(r, l, "qos_specs", "qos_specs_links", list, func(q blockstorage.QoS) string { return q.ID },
		func(q blockstorage.QoS) (object, error) { return qosSummary(q), nil }, nil)
}

func (a *api) showQoS(r *httpapi.Request) (*httpapi.Response, error) {
	q, err := a.QoS.QoS(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(qosView(r, q)), nil
}

func (a *api) updateQoS(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("qos_specs", schema.Schema{Types: typeObject, Patterns: pairs(keyForm, pNullVal)}))
	if err != nil {
		return nil, err
	}
	specs := pairsOf(o, "qos_specs")
	consumer := specs["consumer"]
	delete(specs, "consumer")
	if err := a.QoS.UpdateQoS(r.Context(), r.PathValue("id"), consumer, specs); err != nil {
		return nil, err
	}
	return httpapi.OK(o), nil
}

func (a *api) deleteQoS(r *httpapi.Request) (*httpapi.Response, error) {
	force, err := boolParam(r, "force")
	if err != nil {
		return nil, err
	}
	return accepted(a.QoS.DeleteQoS(r.Context(), r.PathValue("id"), force))
}

func (a *api) unsetQoS(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, strict(map[string]schema.Schema{"keys": {Types: []string{"array"}}}, "keys"))
	if err != nil {
		return nil, err
	}
	list, _ := o["keys"].([]any)
	seen := map[string]bool{}
	keys := make([]string, 0, len(list))
	for i, k := range list {
		text, _ := k.(string)
		if err := check(schema.Schema{Types: typeText, MinLength: 1, MaxLength: 255}, strconv.Itoa(i), k); err != nil {
			return nil, err
		}
		if seen[text] {
			return nil, invalid("keys", o["keys"], "%s has non-unique elements", quoting.Repr(o["keys"]))
		}
		seen[text] = true
		keys = append(keys, text)
	}
	return accepted(a.QoS.UnsetQoS(r.Context(), r.PathValue("id"), keys))
}

func (a *api) listAssociations(r *httpapi.Request) (*httpapi.Response, error) {
	types, err := a.QoS.AssociatedTypes(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := make([]object, len(types))
	for i, t := range types {
		out[i] = object{"association_type": "volume_type", "name": t.Name, "id": t.ID}
	}
	return httpapi.OK(object{"qos_associations": out}), nil
}

// withType runs f on the QoS specs of the path and the volume type of the query.
func withType(r *httpapi.Request, f func(id, typeID string) error) (*httpapi.Response, error) {
	typeID, _ := r.Param("vol_type_id")
	if typeID == "" {
		return nil, nephos.Errorf(nephos.ErrInvalid, "Volume Type id must not be None.").WithField("vol_type_id")
	}
	return accepted(f(r.PathValue("id"), typeID))
}
