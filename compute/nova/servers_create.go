package nova

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
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

func has(raw json.RawMessage, name string) bool {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return false
	}
	_, ok := m[name]
	return ok
}

func (a *api) createServer(r *httpapi.Request) (*httpapi.Response, error) {
	body, ok := a.serverSchemas.Load(r.Version)
	if !ok {
		body, _ = a.serverSchemas.LoadOrStore(r.Version, serverSchema(r))
	}
	if err := obey(r, body.(*schema.Schema)); err != nil {
		return nil, err
	}
	in, tree, err := member[serverSpec](r, "server", "os:scheduler_hints", "OS-SCH-HNT:scheduler_hints")
	if err != nil {
		return nil, err
	}
	raw := tree["server"]
	req, err := a.bootRequest(r, &in, raw)
	if err != nil {
		return nil, err
	}
	hints := tree["os:scheduler_hints"]
	if hints == nil {
		hints = tree["OS-SCH-HNT:scheduler_hints"]
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
	readTexts(in, &req)
	var err error
	for _, check := range []func() error{
		func() error { req.FlavorID, err = flavorRef(in.FlavorRef); return err },
		func() error { return checkImageRef(in) },
		func() error { return checkCounts(in, &req) },
		func() error { return readNetworks(r, in.Networks, &req) },
		func() error { return readDisks(in, &req) },
		func() error { return readFiles(in.Personality, &req) },
	} {
		if err := check(); err != nil {
			return req, err
		}
	}
	if in.Groups != nil {
		for _, g := range *in.Groups {
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

func checkImageRef(in *serverSpec) error {
	if in.ImageRef == "" && len(in.Mapping) == 0 && len(in.MappingV2) == 0 {
		return invalid("Missing imageRef attribute").WithField("imageRef")
	}
	return nil
}

// readTexts reads the fields that are one text each.
func readTexts(in *serverSpec, req *compute.BootRequest) {
	for _, f := range []struct {
		v  *string
		to *string
	}{
		{in.Zone, &req.Zone}, {in.KeyName, &req.KeyName}, {in.AccessIPv4, &req.AccessIPv4}, {in.AccessIPv6, &req.AccessIPv6}, {in.UserData, &req.UserData},
	} {
		if f.v != nil {
			*f.to = *f.v
		}
	}
}

func checkCounts(in *serverSpec, req *compute.BootRequest) error {
	req.MinCount = 1
	if in.MinCount != nil {
		req.MinCount = int(min(*in.MinCount, 1<<20))
	}
	req.MaxCount = req.MinCount
	if in.MaxCount != nil {
		req.MaxCount = int(min(*in.MaxCount, 1<<20))
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
