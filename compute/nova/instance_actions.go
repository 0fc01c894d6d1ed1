package nova

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
)

func (a *api) instanceActionRoutes() []httpapi.Route {
	const server = root + "/servers/{id}"
	return []httpapi.Route{
		{Pattern: "GET " + server + "/os-instance-actions", Rules: rules("os-instance-actions:list"), Handler: a.listActions},
		{
			Pattern: "GET " + server + "/os-instance-actions/{request_id}",
			Rules:   rules("os-instance-actions:show", "os-instance-actions:events", "os-instance-actions:events:details"), Handler: a.showAction,
		},
	}
}

// actionBody is an action of the newest microversion.
type actionBody struct {
	Action    string        `json:"action"`
	Server    string        `json:"instance_uuid"`
	RequestID string        `json:"request_id"`
	UserID    string        `json:"user_id"`
	ProjectID string        `json:"project_id"`
	StartTime string        `json:"start_time"`
	Message   *string       `json:"message"`
	UpdatedAt *string       `json:"updated_at,omitempty"`
	Events    *[]actionStep `json:"events,omitempty"`
}

type actionStep struct {
	Event     string            `json:"event"`
	Start     string            `json:"start_time"`
	Finish    *string           `json:"finish_time"`
	Result    *string           `json:"result"`
	Traceback *nullable[string] `json:"traceback,omitempty"`
	Host      *nullable[string] `json:"host,omitempty"`
	HostID    *string           `json:"hostId,omitempty"`
	Details   *nullable[string] `json:"details,omitempty"`
}

const actionTime = "2006-01-02T15:04:05.000000"

var actionEdits = httpapi.Edits[actionBody]{
	{Version: httpapi.V(2, 58), Apply: func(b *actionBody) error { b.UpdatedAt = nil; return nil }},
	{Version: httpapi.V(2, 62), Apply: func(b *actionBody) error { return eachStep(b, func(s *actionStep) { s.Host, s.HostID = nil, nil }) }},
	{Version: httpapi.V(2, 84), Apply: func(b *actionBody) error { return eachStep(b, func(s *actionStep) { s.Details = nil }) }},
}

func eachStep(b *actionBody, f func(*actionStep)) error {
	if b.Events != nil {
		for i := range *b.Events {
			f(&(*b.Events)[i])
		}
	}
	return nil
}

func renderAction(r *httpapi.Request, x *compute.Action) (*actionBody, error) {
	b := &actionBody{
		Action: x.Action, Server: x.ServerID, RequestID: x.RequestID, UserID: x.UserID, ProjectID: x.ProjectID,
		StartTime: x.StartedAt.UTC().Format(actionTime), Message: x.Message, UpdatedAt: ptr(x.UpdatedAt.UTC().Format(actionTime)),
	}
	return b, actionEdits.Down(r.Version, b)
}

func (a *api) listActions(r *httpapi.Request) (*httpapi.Response, error) {
	var p nephos.Page
	var f compute.ActionFilter
	if atLeast(r, 58) {
		known := []string{"limit", "marker", "changes-since"}
		if atLeast(r, 66) {
			known = append(known, "changes-before")
		}
		err := onlyParams(r, 58, known...)
		if err != nil {
			return nil, err
		}
		if p, err = r.Page(httpapi.PageOptions{Style: httpapi.Nova}); err != nil {
			return nil, err
		}
		var times compute.ServerFilter
		given := map[string]string{}
		for _, name := range []string{"changes-since", "changes-before"} {
			if v, ok := r.Param(name); ok {
				given[name] = v
			}
		}
		if err := timeFilters(r, given, &times); err != nil {
			return nil, err
		}
		f.Since, f.Before = times.Since, times.Before
	}
	// Actions of a deleted server show from 2.21 on.
	if !atLeast(r, 21) {
		if _, err := a.Servers.Server(r.Context(), r.PathValue("id")); err != nil {
			return nil, err
		}
	}
	list, _, err := a.Actions.ListActions(r.Context(), r.PathValue("id"), f, p)
	if err != nil {
		return nil, err
	}
	if limit, _ := r.Param("limit"); limit == "0" && atLeast(r, 58) {
		list = nil // elsewhere it is no limit
	}
	out := struct {
		Actions []*actionBody  `json:"instanceActions"`
		Links   []httpapi.Link `json:"links,omitempty"`
	}{Actions: make([]*actionBody, len(list))}
	for i := range list {
		if out.Actions[i], err = renderAction(r, &list[i]); err != nil {
			return nil, err
		}
	}
	if n := len(list); n > 0 && atLeast(r, 58) {
		out.Links = httpapi.PageLinks(r, httpapi.Nova, p, n, list[0].RequestID, list[n-1].RequestID)
	}
	return httpapi.OK(out), nil
}

func (a *api) showAction(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("id")
	if !atLeast(r, 21) {
		if _, err := a.Servers.Server(r.Context(), id); err != nil {
			return nil, err
		}
	}
	x, err := a.Actions.Action(r.Context(), id, r.PathValue("request_id"))
	if err != nil {
		return nil, err
	}
	b, err := renderAction(r, &x)
	if err != nil {
		return nil, err
	}
	all := a.Policy.Allowed(r.Context(), "os_compute_api:os-instance-actions:events", policy.Target{"project_id": x.ProjectID})
	details := a.Policy.Allowed(r.Context(), "os_compute_api:os-instance-actions:events:details", policy.Target{"project_id": x.ProjectID})
	if all || atLeast(r, 51) {
		steps := make([]actionStep, len(x.Events))
		for i, e := range x.Events { // the latest first, as Nova lists them
			steps[len(steps)-1-i] = renderStep(&x, e, all, details)
		}
		b.Events = &steps
	}
	return httpapi.OK(map[string]*actionBody{"instanceAction": b}), actionEdits.Down(r.Version, b)
}

func renderStep(x *compute.Action, e compute.ActionEvent, all, details bool) actionStep {
	s := actionStep{Event: e.Name, Start: e.Start.UTC().Format(actionTime), Finish: timeOrNil(e.Finish), HostID: ptr("")}
	if e.Result != "" {
		s.Result = &e.Result
	}
	if e.Host != "" {
		sum := sha256.Sum224([]byte(x.ProjectID + e.Host))
		s.HostID = ptr(hex.EncodeToString(sum[:]))
	}
	if all {
		s.Traceback, s.Host = textOrNull(e.Internal), textOrNull(e.Host)
	}
	if details {
		s.Details = textOrNull(e.Details)
	}
	return s
}

func timeOrNil(t *time.Time) *string {
	if t == nil {
		return nil
	}
	return ptr(t.UTC().Format(actionTime))
}
