package nova

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
)

type serverSpec struct {
	Name         string            `json:"name"`
	ImageRef     string            `json:"imageRef"`
	FlavorRef    json.RawMessage   `json:"flavorRef"`
	AdminPass    string            `json:"adminPass"`
	Metadata     map[string]string `json:"metadata"`
	Networks     json.RawMessage   `json:"networks"`
	DiskConfig   string            `json:"OS-DCF:diskConfig"`
	AccessIPv4   *string           `json:"accessIPv4"`
	AccessIPv6   *string           `json:"accessIPv6"`
	Personality  []fileSpec        `json:"personality"`
	Zone         *string           `json:"availability_zone"`
	Mapping      []legacyDisk      `json:"block_device_mapping"`
	MappingV2    []diskSpec        `json:"block_device_mapping_v2"`
	ConfigDrive  httpapi.Bool      `json:"config_drive"`
	KeyName      *string           `json:"key_name"`
	MinCount     *httpapi.Int      `json:"min_count"`
	MaxCount     *httpapi.Int      `json:"max_count"`
	Reservation  httpapi.Bool      `json:"return_reservation_id"`
	Groups       *[]nameBody       `json:"security_groups"`
	UserData     *string           `json:"user_data"`
	Description  *string           `json:"description"`
	Tags         []string          `json:"tags"`
	TrustedCerts []string          `json:"trusted_image_certificates"`
	Host         string            `json:"host"`
	Hypervisor   string            `json:"hypervisor_hostname"`
	Hostname     string            `json:"hostname"`
}

type fileSpec struct {
	Path     string `json:"path"`
	Contents string `json:"contents"`
}

// serverProperties are the fields of a create that came and went.
var serverProperties = []property{
	{"description", "2.19", ""},
	{"tags", "2.52", ""},
	{"personality", "", "2.56"},
	{"trusted_image_certificates", "2.63", ""},
	{"host", "2.74", ""},
	{"hypervisor_hostname", "2.74", ""},
	{"hostname", "2.90", ""},
}

var (
	hostnameForm = regexp.MustCompile(`^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$`)
	fqdnForm     = regexp.MustCompile(`^[a-zA-Z0-9]+[a-zA-Z0-9-.]*[a-zA-Z0-9]+$`)
	hostForm     = regexp.MustCompile(`^[a-zA-Z0-9-._]*$`)
)

// checkHostname checks a host name: a label, and from 2.94 on a whole domain
// name.
func checkHostname(r *httpapi.Request, v string) error {
	form, most := hostnameForm, 63
	if atLeast(r, 94) {
		form, most = fqdnForm, 255
	}
	if err := checkLength("hostname", v, 2, most); err != nil {
		return err
	}
	return checkPattern("hostname", v, form)
}

func has(raw json.RawMessage, name string) bool {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return false
	}
	_, ok := m[name]
	return ok
}

func (a *api) createServer(r *httpapi.Request) (*httpapi.Response, error) {
	in, body, err := member[serverSpec](r, "server", "os:scheduler_hints", "OS-SCH-HNT:scheduler_hints")
	if err != nil {
		return nil, err
	}
	raw := body["server"]
	if err := gate(r, "server", raw, serverProperties); err != nil {
		return nil, err
	}
	needs := []string{"name", "flavorRef"}
	if atLeast(r, 37) {
		needs = append(needs, "networks")
	}
	if err := required("server", raw, needs...); err != nil {
		return nil, err
	}
	req, err := a.bootRequest(r, &in, raw)
	if err != nil {
		return nil, err
	}
	hints := body["os:scheduler_hints"]
	if hints == nil {
		hints = body["OS-SCH-HNT:scheduler_hints"]
	}
	if req.Hints, err = schedulerHints(r, hints); err != nil {
		return nil, err
	}
	servers, err := a.Servers.Boot(r.Context(), req)
	if err != nil {
		return nil, err
	}
	if in.Reservation {
		return httpapi.Accepted(map[string]string{"reservation_id": servers[0].ReservationID}), nil
	}
	s := &servers[0]
	out := createdBody{ID: s.ID, Links: serverLinks(r, s.ID), DiskConfig: s.DiskConfig, AdminPass: s.AdminPass, Groups: []nameBody{{"default"}}}
	if in.Groups != nil {
		out.Groups = *in.Groups
	}
	return httpapi.Accepted(map[string]createdBody{"server": out}).Set("Location", out.Links[0].Href), nil
}

type createdBody struct {
	ID         string         `json:"id"`
	Links      []httpapi.Link `json:"links"`
	DiskConfig string         `json:"OS-DCF:diskConfig"`
	Groups     []nameBody     `json:"security_groups"`
	AdminPass  string         `json:"adminPass"`
}

// bootRequest checks the fields and translates them.
func (a *api) bootRequest(r *httpapi.Request, in *serverSpec, raw json.RawMessage) (compute.BootRequest, error) {
	req := compute.BootRequest{
		Name: strings.TrimSpace(in.Name), Description: in.Description, Hostname: in.Hostname, ImageID: in.ImageRef, Metadata: in.Metadata,
		Tags: in.Tags, Host: in.Host, Node: in.Hypervisor, ConfigDrive: bool(in.ConfigDrive), DiskConfig: in.DiskConfig,
		AdminPass: in.AdminPass, SharedToo: atLeast(r, 60),
	}
	if !atLeast(r, 19) {
		req.Description = &req.Name
	}
	var err error
	for _, check := range []func() error{
		func() error { return checkName("name", in.Name) },
		func() error { req.FlavorID, err = flavorRef(in.FlavorRef); return err },
		func() error { return a.checkImageRef(in, raw) },
		func() error { return checkMetadata("metadata", in.Metadata) },
		func() error { return checkTexts(r, in, raw, &req) },
		func() error { return checkCounts(in, &req) },
		func() error { return readNetworks(r, in.Networks, &req) },
		func() error { return readDisks(r, in, raw, &req) },
		func() error { return readFiles(in.Personality, &req) },
	} {
		if err := check(); err != nil {
			return req, err
		}
	}
	if in.Groups != nil {
		for _, g := range *in.Groups {
			if err := checkName("name", g.Name); err != nil {
				return req, err
			}
			req.SecurityGroups = append(req.SecurityGroups, g.Name)
		}
	}
	if len(in.TrustedCerts) > 0 {
		return req, invalid("Certificate validation is not built here: trusted_image_certificates cannot be given.").WithField("trusted_image_certificates")
	}
	return req, nil
}

// flavorRef reads a flavor's id, which may be a number, or the URL of one.
func flavorRef(raw json.RawMessage) (string, error) {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", invalid("Malformed request body")
	}
	switch v := v.(type) {
	case string:
		if v == "" {
			return "", badField("flavorRef", "", "'' is too short")
		}
		return v[strings.LastIndexByte(v, '/')+1:], nil
	case float64:
		if v == float64(int64(v)) {
			return strconv.FormatInt(int64(v), 10), nil
		}
	}
	return "", badField("flavorRef", pyRaw(raw), pyRaw(raw)+" is not of type 'string', 'integer'")
}

func (a *api) checkImageRef(in *serverSpec, raw json.RawMessage) error {
	if in.ImageRef != "" && !uuidForm.MatchString(in.ImageRef) {
		return badField("imageRef", in.ImageRef, quote(in.ImageRef)+" is not valid under any of the given schemas")
	}
	if in.ImageRef == "" && len(in.Mapping) == 0 && len(in.MappingV2) == 0 {
		return invalid("Missing imageRef attribute").WithField("imageRef")
	}
	return nil
}

// checkTexts checks the fields that are one text each.
func checkTexts(r *httpapi.Request, in *serverSpec, raw json.RawMessage, req *compute.BootRequest) error {
	for _, f := range []struct {
		name string
		v    *string
		to   *string
	}{{"availability_zone", in.Zone, &req.Zone}, {"key_name", in.KeyName, &req.KeyName}} {
		if f.v == nil {
			continue
		}
		if err := checkName(f.name, *f.v); err != nil {
			return err
		}
		*f.to = *f.v
	}
	if in.DiskConfig != "" || has(raw, "OS-DCF:diskConfig") {
		if err := checkEnum("OS-DCF:diskConfig", in.DiskConfig, "AUTO", "MANUAL"); err != nil {
			return err
		}
	}
	if in.AccessIPv4 != nil {
		if err := checkIP("accessIPv4", *in.AccessIPv4, 4); err != nil {
			return err
		}
		req.AccessIPv4 = *in.AccessIPv4
	}
	if in.AccessIPv6 != nil {
		if err := checkIP("accessIPv6", *in.AccessIPv6, 6); err != nil {
			return err
		}
		req.AccessIPv6 = *in.AccessIPv6
	}
	if in.Description != nil {
		if err := checkLength("description", *in.Description, 0, 255); err != nil {
			return err
		}
	}
	if in.UserData != nil {
		if err := checkLength("user_data", *in.UserData, 0, 65535); err != nil {
			return badField("user_data", "…", "the user data is too long")
		}
		if _, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\n", "", "\r", "").Replace(*in.UserData)); err != nil {
			return badField("user_data", *in.UserData, quote(*in.UserData)+" is not a 'base64'")
		}
		req.UserData = *in.UserData
	}
	for field, v := range map[string]string{"host": in.Host, "hypervisor_hostname": in.Hypervisor} {
		if has(raw, field) {
			if err := checkLength(field, v, 1, 255); err != nil {
				return err
			}
			if err := checkPattern(field, v, hostForm); err != nil {
				return err
			}
		}
	}
	if len(in.Tags) > 50 {
		return badField("tags", pyRaw(raw), "the list of tags is too long")
	}
	for i, t := range in.Tags {
		if err := checkTag(strconv.Itoa(i), t); err != nil {
			return err
		}
	}
	if has(raw, "hostname") {
		return checkHostname(r, in.Hostname)
	}
	return nil
}

func checkCounts(in *serverSpec, req *compute.BootRequest) error {
	read := func(field string, v *httpapi.Int, to *int) error {
		if v == nil {
			return nil
		}
		if *v < 1 {
			return badField(field, strconv.FormatInt(int64(*v), 10), strconv.FormatInt(int64(*v), 10)+" is less than the minimum of 1")
		}
		*to = int(min(*v, 1<<20))
		return nil
	}
	req.MinCount = 1
	if err := read("min_count", in.MinCount, &req.MinCount); err != nil {
		return err
	}
	req.MaxCount = req.MinCount
	if err := read("max_count", in.MaxCount, &req.MaxCount); err != nil {
		return err
	}
	if req.MinCount > req.MaxCount {
		return invalid("min_count must be <= max_count").WithField("min_count")
	}
	return nil
}

// readFiles reads the files of a personality.
func readFiles(files []fileSpec, req *compute.BootRequest) error {
	for _, f := range files {
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(f.Contents), ""))
		if err != nil {
			return badField("contents", f.Contents, quote(f.Contents)+" is not a 'base64'")
		}
		req.Files = append(req.Files, compute.InjectedFile{Path: f.Path, Data: data})
	}
	return nil
}
