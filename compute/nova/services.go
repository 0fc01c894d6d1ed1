package nova

import (
	"strconv"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) computeServiceRoutes() []httpapi.Route {
	const one = root + "/os-services/{id}"
	return []httpapi.Route{
		{Pattern: "GET " + root + "/os-services", Rules: rules("os-services:list"), Handler: a.listServices},
		{Pattern: "PUT " + one, Rules: rules("os-services:update"), Max: "2.52", Handler: a.serviceAction},
		{Pattern: "PUT " + one, Rules: rules("os-services:update"), Min: "2.53", Handler: a.updateService},
		{Pattern: "DELETE " + one, Rules: rules("os-services:delete"), Handler: a.deleteService},
	}
}

type serviceBody struct {
	ID             any               `json:"id"`
	Binary         string            `json:"binary"`
	Host           string            `json:"host"`
	Zone           string            `json:"zone"`
	Status         string            `json:"status"`
	State          string            `json:"state"`
	UpdatedAt      string            `json:"updated_at"`
	DisabledReason *nullable[string] `json:"disabled_reason"`
	ForcedDown     *bool             `json:"forced_down,omitempty"`
}

func serviceEdits(s compute.ServiceRecord) httpapi.Edits[serviceBody] {
	return httpapi.Edits[serviceBody]{
		{Version: httpapi.V(2, 53), Apply: func(b *serviceBody) error { b.ID = s.Number; return nil }},
		{Version: httpapi.V(2, 11), Apply: func(b *serviceBody) error { b.ForcedDown = nil; return nil }},
	}
}

func serviceView(r *httpapi.Request, s compute.ServiceRecord) (*serviceBody, error) {
	b := &serviceBody{
		ID: s.ID, Binary: s.Binary, Host: s.Host, Zone: s.Zone, Status: enabledWord(s.Disabled), State: hostState(s.Up),
		UpdatedAt: dateTime(s.SeenAt), DisabledReason: textOrNull(s.DisabledReason), ForcedDown: &s.ForcedDown,
	}
	return b, serviceEdits(s).Down(r.Version, b)
}

func (a *api) listServices(r *httpapi.Request) (*httpapi.Response, error) {
	if err := onlyParams(r, 75, "host", "binary"); err != nil {
		return nil, err
	}
	host, _ := r.Param("host")
	binary, _ := r.Param("binary")
	all, err := a.Catalog.ListServices(r.Context(), host, binary)
	if err != nil {
		return nil, err
	}
	list := make([]*serviceBody, len(all))
	for i, s := range all {
		if list[i], err = serviceView(r, s); err != nil {
			return nil, err
		}
	}
	return httpapi.OK(map[string]any{"services": list}), nil
}

func (a *api) updateService(r *httpapi.Request) (*httpapi.Response, error) {
	body, err := parse(r, &schema.Schema{Types: []string{"object"}, Props: []schema.Prop{
		prop("status", oneOfNames("enabled", "disabled")), prop("disabled_reason", text(1, 255)), prop("forced_down", boolean()),
	}})
	if err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	if err := uuidInPath(id); err != nil {
		return nil, err
	}
	var u compute.ServiceUpdate
	if body.has("status") {
		disabled := body.str("status") == "disabled"
		if u.Disabled, u.DisabledReason = &disabled, body.str("disabled_reason"); !disabled && u.DisabledReason != "" {
			return nil, invalid("Specifying 'disabled_reason' with status 'enabled' is invalid.").WithField("disabled_reason")
		}
	}
	if body.has("forced_down") {
		down := body.bool("forced_down", false)
		u.ForcedDown = &down
	}
	s, err := a.Catalog.UpdateService(r.Context(), id, u)
	if err != nil {
		return nil, err
	}
	b, err := serviceView(r, s)
	return httpapi.OK(map[string]any{"service": b}), err
}

// serviceAction is what changed services before 2.53: the path names what is
// done, the body where.
func (a *api) serviceAction(r *httpapi.Request) (*httpapi.Response, error) {
	props := []schema.Prop{prop("host", hostName()), prop("binary", text(1, 255)), prop("disabled_reason", text(1, 255))}
	if atLeast(r, 11) {
		props = append(props, prop("forced_down", boolean()))
	}
	body, err := parse(r, &schema.Schema{Types: []string{"object"}, Props: props, Required: []string{"host", "binary"}})
	if err != nil {
		return nil, err
	}
	host, binary, reason := body.str("host"), body.str("binary"), body.str("disabled_reason")
	answer := map[string]any{"host": host, "binary": binary}
	yes, no := true, false
	var u compute.ServiceUpdate
	action := r.PathValue("id")
	switch {
	case action == "enable":
		u.Disabled, answer["status"] = &no, "enabled"
	case action == "disable":
		u.Disabled, answer["status"] = &yes, "disabled"
	case action == "disable-log-reason":
		if reason == "" {
			return nil, invalid("Missing disabled reason field").WithField("disabled_reason")
		}
		u.Disabled, u.DisabledReason = &yes, reason
		answer["status"], answer["disabled_reason"] = "disabled", reason
	case action == "force-down" && atLeast(r, 11):
		if !body.has("forced_down") {
			return nil, invalid("Missing forced_down field").WithField("forced_down")
		}
		down := body.bool("forced_down", false)
		u.ForcedDown, answer["forced_down"] = &down, down
	default:
		return nil, nephos.Errorf(nephos.ErrNotFound, "Unknown action")
	}
	_, err = a.Catalog.UpdateServiceOn(r.Context(), host, binary, u)
	return httpapi.OK(map[string]any{"service": answer}), err
}

func (a *api) deleteService(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("id")
	if atLeast(r, 53) {
		if err := uuidInPath(id); err != nil {
			return nil, err
		}
	} else if _, err := strconv.ParseInt(id, 10, 64); err != nil {
		return nil, invalid("Invalid input received: id must be an integer").WithField("id")
	}
	return nil, a.Catalog.DeleteService(r.Context(), id)
}
