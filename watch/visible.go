package watch

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

const (
	ruleList  = "watch:events:list"
	ruleRest  = "watch:events:unlisted"
	ruleHosts = "watch:events:hosts"
)

// Rules returns the service's policy rules.
func Rules() []policy.Rule {
	ops := []string{"GET /v1/events"}
	return []policy.Rule{
		{Name: ruleList, Check: "@", Operations: ops, Description: "Watch events; which ones, the rules of their resources say."},
		{Name: ruleRest, Check: policy.RuleAdmin, Operations: ops, Description: "See events of resources that no rule of their own guards."},
		{Name: ruleHosts, Check: policy.RuleAdmin, Operations: ops, Description: "See in events which hosts are concerned."},
	}
}

// Visibility returns the policy rules that guard the events of resources, by
// "service.resource". A rule's target is the event's project_id, tenant_id and
// user_id. Events of what is not in it are guarded by watch:events:unlisted.
func Visibility() map[string]string {
	return map[string]string{
		"compute.server":              "os_compute_api:servers:show",
		"compute.keypair":             "os_compute_api:os-keypairs:show",
		"compute.server_group":        "os_compute_api:os-server-groups:show",
		"network.network":             "get_network",
		"network.subnet":              "get_subnet",
		"network.port":                "get_port",
		"network.router":              "get_router",
		"network.floatingip":          "get_floatingip",
		"network.security_group":      "get_security_group",
		"network.security_group_rule": "get_security_group_rule",
		"image.image":                 "get_image",
		"blockstorage.volume":         "volume:get",
		"blockstorage.snapshot":       "volume:get_snapshot",
		"blockstorage.attachment":     "volume:get",
	}
}

// hostFields are those of events' data that tell of hosts, or of how services
// know each other's resources.
var hostFields = []string{"host", "owner_key", "connection", "connector", "node"}

// viewer is what one caller may see. It remembers what it asked.
type viewer struct {
	service *Service
	hosts   bool
	known   map[string]bool // by rule, project and user
}

func (s *Service) viewer(ctx context.Context) *viewer {
	return &viewer{service: s, hosts: s.cfg.Policy.Allowed(ctx, ruleHosts, policy.Target{}), known: map[string]bool{}}
}

func resourceOf(eventType string) string {
	resource, _, _ := strings.Cut(eventType, ".")
	return resource
}

// sees reports whether the context's caller may see an event.
func (v *viewer) sees(ctx context.Context, service, resource, projectID, userID string) bool {
	kind := service + "." + resource
	rule := v.service.cfg.Visibility[kind]
	if rule == "" {
		if rule = visibility[kind]; rule == "" {
			rule = ruleRest
		}
	}
	key := rule + "\x00" + projectID + "\x00" + userID
	may, ok := v.known[key]
	if !ok {
		may = v.service.cfg.Policy.Allowed(ctx, rule, policy.Target{
			"project_id": projectID, "tenant_id": projectID, "user_id": userID,
		})
		if len(v.known) >= 4096 {
			clear(v.known)
		}
		v.known[key] = may
	}
	return may
}

var visibility = Visibility()

// data returns an event's data without what the caller may not see of it.
func (v *viewer) data(raw json.RawMessage) json.RawMessage {
	if v.hosts || len(raw) == 0 || raw[0] != '{' {
		return raw
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return json.RawMessage("null")
	}
	before := len(fields)
	for _, name := range hostFields {
		delete(fields, name)
	}
	if len(fields) == before {
		return raw
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}

// event makes an Event of a row.
func (v *viewer) event(e *store.Event, token string) Event {
	return Event{
		Token: token, Type: e.Service + "." + e.Type, Service: e.Service, Resource: resourceOf(e.Type),
		ResourceID: e.ResourceID, ProjectID: e.ProjectID, UserID: e.UserID, RequestID: e.RequestID, At: e.At.UTC(), Data: v.data(e.Data),
	}
}

func callerOf(ctx context.Context) nephos.Caller {
	c, _ := nephos.CallerFrom(ctx)
	return c
}
