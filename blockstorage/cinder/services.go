package cinder

import (
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// pHost is the name of a host, with or without a backend and a pool.
var pHost = schema.Schema{Types: typeNullText, MinLength: 1, MaxLength: 255, Pattern: schema.Match(`^[a-zA-Z0-9-._#@:/+\[\]]*$`)}

const ruleUpdateServices = "volume_extension:services:update"

func (a *api) serviceRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: at("GET", "/os-services"), Rules: []string{"volume_extension:services:index"}, Handler: a.listServices},
		{Pattern: at("PUT", "/os-services/{action}"), Rules: []string{ruleUpdateServices, "volume:freeze_host", "volume:thaw_host", "volume:failover_host"}, Handler: a.updateService},
	}
}

func upDown(up bool) string { return map[bool]string{true: "up", false: "down"}[up] }

func enabled(c blockstorage.Component) string { return status(c.Disabled) }

func status(disabled bool) string {
	return map[bool]string{true: "disabled", false: "enabled"}[disabled]
}

func (a *api) listServices(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := a.Components.Components(r.Context())
	if err != nil {
		return nil, err
	}
	host, byHost := r.Param("host")
	binary, byBinary := r.Param("binary")
	out := []object{}
	for _, c := range all {
		if byHost && c.Host != host || byBinary && c.Binary != binary {
			continue
		}
		o := object{
			"binary": c.Binary, "host": c.Host, "zone": c.Zone, "status": enabled(c), "state": upDown(c.Up), "updated_at": stamp(c.At),
			"disabled_reason": c.Reason, "cluster": nil,
		}
		if c.Binary == "cinder-volume" {
			o["replication_status"], o["active_backend_id"], o["frozen"], o["backend_state"] = "disabled", nil, c.Frozen, upDown(c.Up)
		}
		if err := serviceEdits().Down(r.Version, &o); err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return httpapi.OK(object{"services": out}), nil
}

// updateService serves the operations on services, each a word at the end of
// the path. Those on logs are not built.
func (a *api) updateService(r *httpapi.Request) (*httpapi.Response, error) {
	if !a.Backends.Allowed(r.Context(), ruleUpdateServices, r.Caller().ProjectID) {
		return nil, denied(ruleUpdateServices)
	}
	switch word := r.PathValue("action"); {
	case word == "enable":
		return a.setService(r, false, false)
	case word == "disable":
		return a.setService(r, true, false)
	case word == "disable-log-reason":
		return a.setService(r, true, true)
	case word == "freeze", word == "thaw", word == "failover_host", word == "failover" && since(r, "3.26"):
		return a.replicate(r, word)
	case (word == "get-log" || word == "set-log") && since(r, "3.32"):
		return unbuilt(r)
	}
	return nil, nephos.Errorf(nephos.ErrInvalid, "Invalid input received: Unknown action")
}

func (a *api) setService(r *httpapi.Request, disabled, withReason bool) (*httpapi.Response, error) {
	name := schema.Schema{Types: typeText, MinLength: 1, MaxLength: 255}
	of := map[string]schema.Schema{"binary": name, "service": name, "host": pHost, "cluster": pNullText}
	if withReason {
		of["disabled_reason"] = schema.Schema{Types: typeText, MinLength: 1, MaxLength: 255, Format: func(s string) error {
			if strings.TrimSpace(s) == "" {
				return schema.NotA("disabled_reason")
			}
			return nil
		}}
	}
	o, err := decode(r, schema.Schema{Types: typeObject, AnyOf: []string{"binary", "service"}, Props: props(of)})
	if err != nil {
		return nil, err
	}
	binary, service, host := textOf(o, "binary"), textOf(o, "service"), textOf(o, "host")
	if host == "" {
		return nil, errNoHost("Host field is missing.")
	}
	u := blockstorage.ComponentUpdate{Binary: binary, Host: host, Disabled: disabled}
	if binary == "" {
		u.Binary = service
	}
	answer := object{"binary": binary, "service": service, "host": host, "disabled": disabled, "status": status(disabled)}
	if reason, given := o["disabled_reason"].(string); withReason {
		if given {
			u.Reason = &reason
		}
		answer["disabled_reason"] = u.Reason
	}
	if err := a.Components.UpdateComponent(r.Context(), u); err != nil {
		return nil, err
	}
	return httpapi.OK(answer), nil
}

// replicate serves what an operator does for replication. Backends are not in
// clusters, so that naming one finds none.
func (a *api) replicate(r *httpapi.Request, word string) (*httpapi.Response, error) {
	of := map[string]schema.Schema{"host": pHost, "cluster": pNullText}
	if word == "failover" || word == "failover_host" {
		of["backend_id"] = pNullText
	}
	o, err := decode(r, strict(of))
	if err != nil {
		return nil, err
	}
	cluster, message := "", "Host field is missing."
	if word != "failover_host" && since(r, "3.26") {
		cluster, message = textOf(o, "cluster"), "One and only one of cluster and host must be set."
	}
	host := textOf(o, "host")
	if (host == "") == (cluster == "") {
		return nil, errNoHost(message)
	}
	if cluster != "" {
		return nil, badRequest("No service found with cluster=%s", clip(cluster))
	}
	switch word {
	case "freeze", "thaw":
		return httpapi.Status(200, nil), a.Components.FreezeHost(r.Context(), host, word == "freeze")
	default:
		return accepted(a.Components.FailOverHost(r.Context(), host))
	}
}

func errNoHost(message string) error {
	return nephos.Errorf(nephos.ErrInvalid, "Invalid input received: %s", message).WithField("host")
}

// unbuilt answers 501.
func unbuilt(r *httpapi.Request) (*httpapi.Response, error) {
	return httpapi.NotBuilt(nil, "")[0].Handler(r)
}
