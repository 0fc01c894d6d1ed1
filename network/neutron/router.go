package neutron

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/network"
)

// gateway takes external_gateway_info; null and the empty object take the
// gateway away.
func gateway(name string, v any) (any, error) {
	if v == nil {
		return network.GatewaySpec{}, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalidValue(name, "'%s' is not a dictionary", show(v))
	}
	for _, k := range sorted(m) {
		if k != "network_id" && k != "enable_snat" && k != "external_fixed_ips" {
			return nil, invalidValue(name, "Unexpected keys supplied: %s", clip(k, 64))
		}
	}
	return object("external gateway", map[string]converter{
		"network_id": uuid, "enable_snat": boolean, "external_fixed_ips": optional(listFor[network.FixedIP]("fixed IP", fixedIP)),
	}, func(name string, g values) (any, error) {
		spec := network.GatewaySpec{
			NetworkID: plain[string](g, "network_id"), SNAT: get[bool](g, "enable_snat"), FixedIPs: get[[]network.FixedIP](g, "external_fixed_ips"),
		}
		if spec.NetworkID == "" && len(g) > 0 {
			return nil, invalidValue(name, "Validation of dictionary's keys failed. Expected keys: {'network_id'} Provided keys: {'%s'}", strings.Join(sorted(g), "', '"))
		}
		return spec, nil
	})(name, v)
}

// router is the resource routers.
func (a *api) router() resource[network.Router] {
	s := a.cfg.Service
	return resource[network.Router]{
		singular: "router", plural: "routers", path: "routers",
		attributes: standard(map[string]attribute{
			"name": both(text(255)), "admin_state_up": both(boolean), "external_gateway_info": both(gateway), "routes": onPut(routeList),
			"availability_zone_hints": onPost(zoneHints), "availability_zones": readOnly(), "status": readOnly(),
		}),
		list: s.ListRouters, show: s.Router, remove: s.DeleteRouter,
		create: func(ctx context.Context, items []values) ([]network.Router, error) {
			specs := make([]network.RouterSpec, len(items))
			for i, v := range items {
				specs[i] = network.RouterSpec{
					ProjectID: v.project(), Name: plain[string](v, "name"), Description: plain[string](v, "description"),
					AdminUp: get[bool](v, "admin_state_up"), ZoneHints: plain[[]string](v, "availability_zone_hints"),
				}
				if g := get[network.GatewaySpec](v, "external_gateway_info"); g != nil && g.NetworkID != "" {
					specs[i].Gateway = g
				}
			}
			return s.CreateRouters(ctx, specs)
		},
		update: func(ctx context.Context, id string, v values) (network.Router, error) {
			return s.UpdateRouter(ctx, id, network.RouterUpdate{
				Name: get[string](v, "name"), Description: get[string](v, "description"), AdminUp: get[bool](v, "admin_state_up"),
				Gateway: get[network.GatewaySpec](v, "external_gateway_info"), Routes: get[[]network.Route](v, "routes"),
			})
		},
		render: a.renderRouter,
	}
}

func (a *api) renderRouter(ctx context.Context, r network.Router) map[string]any {
	m := renderMeta(r.Meta, map[string]any{
		"name": r.Name, "description": r.Description, "admin_state_up": r.AdminUp, "status": r.Status, "routes": renderRoutes(r.Routes),
		"availability_zone_hints": emptyList(r.ZoneHints), "availability_zones": emptyList(r.Zones), "external_gateway_info": nil,
		"distributed": false, "ha": false, "flavor_id": nil,
	})
	if r.GatewayNetworkID != "" {
		m["external_gateway_info"] = map[string]any{
			"network_id": r.GatewayNetworkID, "enable_snat": r.SNAT, "external_fixed_ips": renderFixedIPs(r.GatewayIPs),
		}
	}
	a.hide(ctx, "router", r.ProjectID, m, "distributed", "ha")
	return m
}

// routerActions are the operations that a router has besides.
func (a *api) routerActions() []httpapi.Route {
	s := a.cfg.Service
	connect := func(f func(context.Context, string, network.InterfaceRequest) (network.RouterInterface, error)) httpapi.Handler {
		return func(r *httpapi.Request) (*httpapi.Response, error) {
			req, err := interfaceRequest(r)
			if err != nil {
				return nil, err
			}
			i, err := f(r.Context(), r.PathValue("id"), req)
			if err != nil {
				return nil, err
			}
			subnet := any(nil)
			if len(i.SubnetIDs) > 0 {
				subnet = i.SubnetIDs[0]
			}
			return httpapi.OK(map[string]any{
				"id": i.Router.ID, "tenant_id": i.Router.ProjectID, "project_id": i.Router.ProjectID, "port_id": i.PortID,
				"network_id": i.NetworkID, "subnet_id": subnet, "subnet_ids": emptyList(i.SubnetIDs), "tags": emptyList(i.Router.Tags),
			}), nil
		}
	}
	routes := func(f func(context.Context, string, []network.Route) (network.Router, error)) httpapi.Handler {
		return func(r *httpapi.Request) (*httpapi.Response, error) {
			items, _, err := decode(r, "router", "routers", map[string]attribute{"routes": {put: true, convert: routeList}}, false)
			if err != nil {
				return nil, err
			}
			router, err := f(r.Context(), r.PathValue("id"), plain[[]network.Route](items[0], "routes"))
			if err != nil {
				return nil, err
			}
			return httpapi.OK(map[string]any{"router": a.renderRouter(r.Context(), router)}), nil
		}
	}
	at := "PUT /v2.0/routers/{id}/"
	return []httpapi.Route{
		{Pattern: at + "add_router_interface", Rules: []string{"add_router_interface"}, Handler: connect(s.AddRouterInterface)},
		{Pattern: at + "remove_router_interface", Rules: []string{"remove_router_interface"}, Handler: connect(s.RemoveRouterInterface)},
		{Pattern: at + "add_extraroutes", Rules: []string{"add_extraroutes"}, Handler: routes(s.AddRoutes)},
		{Pattern: at + "remove_extraroutes", Rules: []string{"remove_extraroutes"}, Handler: routes(s.RemoveRoutes)},
	}
}

// interfaceRequest reads {"subnet_id": …} or {"port_id": …}.
func interfaceRequest(r *httpapi.Request) (network.InterfaceRequest, error) {
	raw, err := r.Raw()
	if err != nil {
		return network.InterfaceRequest{}, err
	}
	out := network.InterfaceRequest{}
	var body any
	if len(raw) > 0 && (!utf8.Valid(raw) || json.Unmarshal(raw, &body) != nil) {
		return out, malformedBody()
	}
	item, _ := body.(map[string]any) // what is no object names neither
	for name, to := range map[string]*string{"subnet_id": &out.SubnetID, "port_id": &out.PortID} {
		v, given := item[name]
		if !given {
			continue
		}
		id, err := uuid(name, v)
		if err != nil {
			return out, nephos.Errorf(nephos.ErrInvalid, "Bad router request: '%s' is not a valid UUID.", show(v)).WithReason("BadRequest").WithField(name)
		}
		*to = id.(string)
	}
	return out, nil
}
