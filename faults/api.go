package faults

import (
	"net/http"
	"strconv"
	"time"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
)

const ruleManage = "faults:manage"

// Rules returns the policy rules of [Set.API].
func Rules() []policy.Rule {
	return []policy.Rule{{Name: ruleManage, Check: policy.RuleAdmin, Description: "Make the cloud fail on purpose.", Operations: []string{
		"GET /v1/rules", "POST /v1/rules", "GET /v1/rules/{id}", "DELETE /v1/rules/{id}", "POST /v1/reset", "GET /v1/steps",
	}}}
}

// wireRule is a rule on the wire.
type wireRule struct {
	ID          string  `json:"id,omitempty"`
	Point       Point   `json:"point"`
	Effect      Effect  `json:"effect"`
	Service     string  `json:"service,omitempty"`
	Operation   string  `json:"operation,omitempty"`
	Action      string  `json:"action,omitempty"`
	Resource    string  `json:"resource,omitempty"`
	ProjectID   string  `json:"project_id,omitempty"`
	UserID      string  `json:"user_id,omitempty"`
	Host        string  `json:"host,omitempty"`
	Skip        int     `json:"skip,omitempty"`
	Count       int     `json:"count,omitempty"`
	Probability float64 `json:"probability,omitempty"`
	Status      int     `json:"status,omitempty"`
	Message     string  `json:"message,omitempty"`
	RetryAfter  int     `json:"retry_after,omitempty"`
	Kind        string  `json:"kind,omitempty"`
	DelayMS     float64 `json:"delay_ms,omitempty"`
	After       bool    `json:"after,omitempty"`
}

func (w wireRule) rule() (Rule, error) {
	if !(w.DelayMS >= 0 && w.DelayMS <= float64(maxDelay/time.Millisecond)) {
		return Rule{}, invalid("delay_ms", "A latency's delay_ms must be above 0 and at most %s.", strconv.Itoa(int(maxDelay/time.Millisecond)))
	}
	return Rule{
		ID: w.ID, Point: w.Point, Effect: w.Effect, Service: w.Service, Operation: w.Operation, Action: w.Action,
		Resource: w.Resource, Project: w.ProjectID, User: w.UserID, Host: w.Host, Skip: w.Skip, Count: w.Count, Probability: w.Probability,
		Status: w.Status, Message: w.Message, RetryAfter: w.RetryAfter, Kind: w.Kind,
		Delay: time.Duration(w.DelayMS * float64(time.Millisecond)), After: w.After,
	}, nil
}

// shown is a rule as the API shows it.
type shown struct {
	wireRule
	Seen int `json:"seen"`
	Hits int `json:"hits"`
}

func show(r Added) shown {
	return shown{wireRule{
		ID: r.ID, Point: r.Point, Effect: r.Effect, Service: r.Service, Operation: r.Operation, Action: r.Action,
		Resource: r.Resource, ProjectID: r.Project, UserID: r.User, Host: r.Host, Skip: r.Skip, Count: r.Count, Probability: r.Probability,
		Status: r.Status, Message: r.Message, RetryAfter: r.RetryAfter, Kind: r.Kind, DelayMS: float64(r.Delay) / float64(time.Millisecond), After: r.After,
	}, r.Seen, r.Hits}
}

// API returns the HTTP API by which admins manage the rules:
//
//	GET    /v1/rules        all, with how often each matched and hit
//	POST   /v1/rules        {"rule": {"point": "api", "effect": "error", "service": "compute", "status": 503, "count": 2}}
//	GET    /v1/rules/{id}
//	DELETE /v1/rules/{id}
//	POST   /v1/reset        {"seed": 1}: no rules, and chance anew
//	GET    /v1/steps        the crash points that were passed
//
// A rule's fields are those of [Rule], delay_ms in milliseconds. The API itself
// never fails on purpose. Its faults look like the Identity API's.
func (s *Set) API(enforcer *policy.Enforcer, cfg httpapi.Config) *httpapi.API {
	cfg.Service, cfg.Faults, cfg.Around, cfg.Follow = "faults", httpapi.KeystoneFault, nil, nil
	h := httpapi.New(cfg)
	guard := func(f httpapi.Handler) httpapi.Handler {
		return func(r *httpapi.Request) (*httpapi.Response, error) {
			if err := enforcer.Enforce(r.Context(), ruleManage, policy.Target{}); err != nil {
				return nil, err
			}
			return f(r)
		}
	}
	route := func(pattern string, f httpapi.Handler) httpapi.Route {
		return httpapi.Route{Pattern: pattern, Rules: []string{ruleManage}, Handler: guard(f)}
	}
	h.Add(
		route("GET /v1/rules", func(*httpapi.Request) (*httpapi.Response, error) {
			rules := []shown{}
			for _, r := range s.Rules() {
				rules = append(rules, show(r))
			}
			return httpapi.OK(map[string]any{"rules": rules}), nil
		}),
		route("POST /v1/rules", func(r *httpapi.Request) (*httpapi.Response, error) {
			var body struct {
				Rule *wireRule `json:"rule"`
			}
			if err := r.Decode(&body); err != nil {
				return nil, err
			}
			if body.Rule == nil {
				return nil, invalid("rule", "The body must have a rule.")
			}
			rule, err := body.Rule.rule()
			if err != nil {
				return nil, err
			}
			added, err := s.Add(rule)
			if err != nil {
				return nil, err
			}
			return httpapi.Created(map[string]any{"rule": show(added)}), nil
		}),
		route("GET /v1/rules/{id}", func(r *httpapi.Request) (*httpapi.Response, error) {
			rule, err := s.Rule(r.PathValue("id"))
			if err != nil {
				return nil, err
			}
			return httpapi.OK(map[string]any{"rule": show(rule)}), nil
		}),
		route("DELETE /v1/rules/{id}", func(r *httpapi.Request) (*httpapi.Response, error) {
			return httpapi.Status(http.StatusNoContent, nil), s.Remove(r.PathValue("id"))
		}),
		route("POST /v1/reset", func(r *httpapi.Request) (*httpapi.Response, error) {
			var body struct {
				Seed uint64 `json:"seed"`
			}
			raw, err := r.Raw()
			if err == nil && len(raw) > 0 {
				err = r.Decode(&body)
			}
			if err != nil {
				return nil, err
			}
			s.Reset(body.Seed)
			return httpapi.NoContent(), nil
		}),
		route("GET /v1/steps", func(*httpapi.Request) (*httpapi.Response, error) {
			return httpapi.OK(map[string]any{"steps": s.Steps()}), nil
		}),
	)
	return h
}
