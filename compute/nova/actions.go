package nova

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
)

// action is one of the actions that are posted to a server.
type action struct {
	rules    []string
	min, max int // minor versions in which it exists; 0: from the first, to the last
	do       func(a *api, r *httpapi.Request, id string, body json.RawMessage) (*httpapi.Response, error)
}

// serverActions are the actions by name. Those without do are Nova's, and not
// built here. It is never written to.
var serverActions = map[string]action{
	"os-start":            {rules: rules("servers:start"), do: bare((*api).start)},
	"os-stop":             {rules: rules("servers:stop"), do: bare((*api).stop)},
	"reboot":              {rules: rules("servers:reboot"), do: (*api).reboot},
	"pause":               {rules: rules("os-pause-server:pause"), do: bare((*api).pause)},
	"unpause":             {rules: rules("os-pause-server:unpause"), do: bare((*api).unpause)},
	"suspend":             {rules: rules("os-suspend-server:suspend"), do: bare((*api).suspend)},
	"resume":              {rules: rules("os-suspend-server:resume"), do: bare((*api).resume)},
	"lock":                {rules: rules("os-lock-server:lock"), do: (*api).lock},
	"unlock":              {rules: rules("os-lock-server:unlock"), do: bare((*api).unlock)},
	"forceDelete":         {rules: rules("os-deferred-delete:force"), do: bare((*api).forceDelete)},
	"os-resetState":       {rules: rules("os-admin-actions:reset_state"), do: (*api).resetState},
	"createImage":         {rules: rules("servers:create_image"), do: (*api).createImage},
	"addSecurityGroup":    {rules: rules("os-security-groups:add"), do: regroup("addSecurityGroup")},
	"removeSecurityGroup": {rules: rules("os-security-groups:remove"), do: regroup("removeSecurityGroup")},
	"os-getConsoleOutput": {rules: rules("os-console-output"), do: (*api).consoleOutput},
	"os-getVNCConsole":    {rules: rules("os-remote-consoles"), max: 5, do: oldConsole("vnc", "novnc", "xvpvnc")},
	"os-getSerialConsole": {rules: rules("os-remote-consoles"), max: 5, do: oldConsole("serial", "serial")},
	"os-getSPICEConsole":  {rules: rules("os-remote-consoles"), max: 5, do: oldConsole("spice", "spice-html5")},
	"os-getRDPConsole":    {rules: rules("os-remote-consoles"), max: 5, do: oldConsole("rdp", "rdp-html5")},

	"resize":             {rules: rules("servers:resize")},
	"confirmResize":      {rules: rules("servers:confirm_resize")},
	"revertResize":       {rules: rules("servers:revert_resize")},
	"rebuild":            {rules: rules("servers:rebuild")},
	"createBackup":       {rules: rules("os-create-backup")},
	"trigger_crash_dump": {rules: rules("servers:trigger_crash_dump"), min: 17},
	"restore":            {rules: rules("os-deferred-delete:restore")},
	"rescue":             {rules: rules("os-rescue")},
	"unrescue":           {rules: rules("os-unrescue")},
	"shelve":             {rules: rules("os-shelve:shelve")},
	"unshelve":           {rules: rules("os-shelve:unshelve")},
	"shelveOffload":      {rules: rules("os-shelve:shelve_offload")},
	"evacuate":           {rules: rules("os-evacuate")},
	"migrate":            {rules: rules("os-migrate-server:migrate")},
	"os-migrateLive":     {rules: rules("os-migrate-server:migrate_live")},
	"changePassword":     {rules: rules("os-admin-password")},
	"addFixedIp":         {rules: rules("os-multinic:add"), max: 43},
	"removeFixedIp":      {rules: rules("os-multinic:remove"), max: 43},
	"addFloatingIp":      {rules: rules("os-floating-ips:add"), max: 43},
	"removeFloatingIp":   {rules: rules("os-floating-ips:remove"), max: 43},
}

func (a *api) actionRoutes() []httpapi.Route {
	var all []string
	for _, name := range sortedKeys(serverActions) {
		all = append(all, serverActions[name].rules...)
	}
	return []httpapi.Route{{Pattern: "POST " + root + "/servers/{id}/action", Rules: all, Handler: a.act}}
}

// act runs the action that the body names.
func (a *api) act(r *httpapi.Request) (*httpapi.Response, error) {
	tree, err := r.Tree()
	if err != nil {
		return nil, err
	}
	if len(tree) != 1 {
		return nil, invalid("Malformed request body")
	}
	name := sortedKeys(tree)[0]
	act, ok := serverActions[name]
	if !ok {
		return nil, invalid("There is no such action: %s", clip(name))
	}
	if act.min != 0 && !atLeast(r, act.min) || act.max != 0 && atLeast(r, act.max+1) {
		return nil, nephos.Errorf(nephos.ErrNotFound, "The resource could not be found.")
	}
	id := r.PathValue("id")
	if act.do == nil {
		return nil, a.notBuilt(r, id, name, act)
	}
	return act.do(a, r, id, tree[name])
}

// notBuilt answers for an action that Nova has. Whoever may not know of the
// server does not hear even that.
func (a *api) notBuilt(r *httpapi.Request, id, name string, act action) error {
	s, err := a.Servers.Server(r.Context(), id)
	if err != nil {
		return err
	}
	for _, rule := range act.rules {
		if err := a.Policy.Enforce(r.Context(), rule, map[string]any{"project_id": s.ProjectID, "user_id": s.UserID}); err != nil {
			return err
		}
	}
	return nephos.Errorf(errors.ErrUnsupported, "The action %s is not built here.", name)
}

// bare is an action whose body says nothing more.
func bare(f func(a *api, r *httpapi.Request, id string) error) func(*api, *httpapi.Request, string, json.RawMessage) (*httpapi.Response, error) {
	return func(a *api, r *httpapi.Request, id string, _ json.RawMessage) (*httpapi.Response, error) {
		if err := f(a, r, id); err != nil {
			return nil, err
		}
		return httpapi.Accepted(nil), nil
	}
}

func (a *api) start(r *httpapi.Request, id string) error {
	return a.Power.StartServer(r.Context(), id)
}

func (a *api) stop(r *httpapi.Request, id string) error {
	return a.Power.StopServer(r.Context(), id)
}

func (a *api) pause(r *httpapi.Request, id string) error {
	return a.Power.PauseServer(r.Context(), id)
}

func (a *api) unpause(r *httpapi.Request, id string) error {
	return a.Power.UnpauseServer(r.Context(), id)
}

func (a *api) suspend(r *httpapi.Request, id string) error {
	return a.Power.SuspendServer(r.Context(), id)
}

func (a *api) resume(r *httpapi.Request, id string) error {
	return a.Power.ResumeServer(r.Context(), id)
}

func (a *api) unlock(r *httpapi.Request, id string) error {
	return a.Power.UnlockServer(r.Context(), id)
}

func (a *api) forceDelete(r *httpapi.Request, id string) error {
	return a.Servers.DeleteServer(r.Context(), id, true)
}

func (a *api) reboot(r *httpapi.Request, id string, body json.RawMessage) (*httpapi.Response, error) {
	var in struct {
		Type *string `json:"type"`
	}
	if err := r.DecodeValue(body, "reboot", &in); err != nil {
		return nil, err
	}
	if in.Type == nil {
		return nil, badField("reboot", pyRaw(body), "'type' is a required property")
	}
	if err := checkEnum("type", *in.Type, "HARD", "Hard", "hard", "SOFT", "Soft", "soft"); err != nil {
		return nil, err
	}
	if err := a.Power.RebootServer(r.Context(), id, strings.EqualFold(*in.Type, "hard")); err != nil {
		return nil, err
	}
	return httpapi.Accepted(nil), nil
}

func (a *api) lock(r *httpapi.Request, id string, body json.RawMessage) (*httpapi.Response, error) {
	var in struct {
		Reason string `json:"locked_reason"`
	}
	if atLeast(r, 73) && !bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		if err := r.DecodeValue(body, "lock", &in); err != nil {
			return nil, err
		}
		if has(body, "locked_reason") {
			if err := checkLength("locked_reason", in.Reason, 1, 255); err != nil {
				return nil, err
			}
		}
	}
	if err := a.Power.LockServer(r.Context(), id, in.Reason); err != nil {
		return nil, err
	}
	return httpapi.Accepted(nil), nil
}

func (a *api) resetState(r *httpapi.Request, id string, body json.RawMessage) (*httpapi.Response, error) {
	var in struct {
		State string `json:"state"`
	}
	if err := r.DecodeValue(body, "os-resetState", &in); err != nil {
		return nil, err
	}
	if !has(body, "state") {
		return nil, badField("os-resetState", pyRaw(body), "'state' is a required property")
	}
	if err := checkEnum("state", in.State, "active", "error"); err != nil {
		return nil, err
	}
	state := map[string]string{"active": compute.Active, "error": compute.Errored}[in.State]
	if err := a.Power.ResetServerState(r.Context(), id, state); err != nil {
		return nil, err
	}
	return httpapi.Accepted(nil), nil
}
