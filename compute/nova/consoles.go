package nova

import (
	"encoding/json"
	"slices"

	"github.com/nephos-cloud/nephos/httpapi"
)

func (a *api) consoleRoutes() []httpapi.Route {
	const server = root + "/servers/{id}"
	return []httpapi.Route{
		{Pattern: "POST " + server + "/remote-consoles", Min: "2.6", Rules: rules("os-remote-consoles"), Handler: a.createConsole},
		{Pattern: "GET " + server + "/diagnostics", Rules: rules("os-server-diagnostics"), Handler: a.diagnostics},
		{Pattern: "GET " + server + "/os-server-password", Rules: rules("os-server-password:show"), Handler: a.showPassword},
		{Pattern: "DELETE " + server + "/os-server-password", Rules: rules("os-server-password:clear"), Handler: a.clearPassword},
	}
}

// consoleOutput answers the action os-getConsoleOutput.
func (a *api) consoleOutput(r *httpapi.Request, id string, body json.RawMessage) (*httpapi.Response, error) {
	var in struct {
		Length *httpapi.Int `json:"length"`
	}
	if err := obey(r, consoleLogSchema()); err != nil {
		return nil, err
	}
	if err := r.DecodeValue(body, "os-getConsoleOutput", &in); err != nil {
		return nil, err
	}
	lines := -1
	if in.Length != nil {
		lines = int(min(*in.Length, 1<<20)) // -1 is all of it
	}
	log, err := a.Consoles.ConsoleLog(r.Context(), id, lines)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]string{"output": cleanLog(log)}), nil
}

// cleanLog leaves out what an answer in JSON for people's terminals must not
// carry: control characters but line breaks and tabs, and broken text.
func cleanLog(log []byte) string {
	out := make([]rune, 0, len(log))
	for _, c := range string(log) {
		switch {
		case c == '\n' || c == '\t' || c == '\r' || c >= ' ' && c != 0x7f && c != 0xFFFD:
			out = append(out, c)
		}
	}
	return string(out)
}

// consoleTypes are Nova's types of console by protocol.
var consoleTypes = map[string][]string{
	"vnc": {"novnc", "xvpvnc"}, "serial": {"serial"}, "spice": {"spice-html5"}, "rdp": {"rdp-html5"}, "mks": {"webmks"},
}

func (a *api) createConsole(r *httpapi.Request) (*httpapi.Response, error) {
	in, body, err := member[struct {
		Protocol string `json:"protocol"`
		Type     string `json:"type"`
	}](r, "remote_console")
	if err != nil {
		return nil, err
	}
	if err := required("remote_console", body["remote_console"], "protocol", "type"); err != nil {
		return nil, err
	}
	protocols := []string{"vnc", "spice", "rdp", "serial"}
	types := []string{"novnc", "xvpvnc", "rdp-html5", "spice-html5", "serial"}
	if atLeast(r, 8) {
		protocols, types = append(protocols, "mks"), append(types, "webmks")
	}
	if err := checkEnum("protocol", in.Protocol, protocols...); err != nil {
		return nil, err
	}
	if err := checkEnum("type", in.Type, types...); err != nil {
		return nil, err
	}
	if !slices.Contains(consoleTypes[in.Protocol], in.Type) || in.Type == "xvpvnc" {
		return nil, invalid("Invalid console type %s", in.Type).WithField("type")
	}
	c, err := a.Consoles.CreateConsole(r.Context(), r.PathValue("id"), in.Protocol, in.Type)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"remote_console": map[string]string{"protocol": c.Protocol, "type": c.Type, "url": c.URL}}), nil
}

// oldConsole answers the actions that came before remote-consoles.
func oldConsole(protocol string, types ...string) func(*api, *httpapi.Request, string, json.RawMessage) (*httpapi.Response, error) {
	return func(a *api, r *httpapi.Request, id string, body json.RawMessage) (*httpapi.Response, error) {
		var in struct {
			Type string `json:"type"`
		}
		action := map[string]string{"vnc": "os-getVNCConsole", "serial": "os-getSerialConsole", "spice": "os-getSPICEConsole", "rdp": "os-getRDPConsole"}[protocol]
		if err := obey(r, only(action, strictObject([]string{"type"}, prop("type", oneOfNames(types...))))); err != nil {
			return nil, err
		}
		if err := r.DecodeValue(body, protocol, &in); err != nil {
			return nil, err
		}
		c, err := a.Consoles.CreateConsole(r.Context(), id, protocol, in.Type)
		if err != nil {
			return nil, err
		}
		return httpapi.OK(map[string]any{"console": map[string]string{"type": c.Type, "url": c.URL}}), nil
	}
}

func (a *api) showPassword(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := a.Consoles.ServerPassword(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]string{"password": p}), nil
}

func (a *api) clearPassword(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Consoles.ClearServerPassword(r.Context(), r.PathValue("id"))
}
