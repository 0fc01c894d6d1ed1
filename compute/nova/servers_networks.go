package nova

import (
	"encoding/json"
	"net/netip"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
)

type networkSpec struct {
	FixedIP *string `json:"fixed_ip"`
	Port    *string `json:"port"`
	UUID    *string `json:"uuid"`
	Tag     *string `json:"tag"`
}

// readNetworks reads the list, or the words auto and none.
func readNetworks(r *httpapi.Request, raw json.RawMessage, req *compute.BootRequest) error {
	if raw == nil {
		req.Automatic = true
		return nil
	}
	var word string
	if json.Unmarshal(raw, &word) == nil {
		switch {
		case atLeast(r, 37) && word == "auto":
			req.Automatic, req.Allocate = true, true
			return nil
		case atLeast(r, 37) && word == "none":
			req.None = true
			return nil
		}
		return badField("networks", word, quote(word)+" is not valid under any of the given schemas")
	}
	var list []networkSpec
	if err := r.DecodeValue(raw, "networks", &list); err != nil {
		return err
	}
	for _, n := range list {
		p, err := portRequest(n.UUID, n.Port, n.FixedIP, n.Tag)
		if err != nil {
			return err
		}
		req.Networks = append(req.Networks, p)
	}
	if len(list) == 0 {
		req.Automatic = true
	}
	return nil
}

func portRequest(uuid, port, fixed, tag *string) (p compute.PortRequest, err error) {
	if fixed != nil {
		if err := checkIP("fixed_ip", *fixed, 0); err != nil {
			return p, err
		}
		p.FixedIP, _ = netip.ParseAddr(*fixed)
	}
	p.Tag = orEmpty(tag)
	if port != nil {
		if fixed != nil {
			return p, invalid("Specified Fixed IP '%s' cannot be used with port '%s': the two cannot be specified together.", clip(*fixed), clip(*port))
		}
		p.PortID = *port
		return p, nil
	}
	if uuid == nil {
		return p, invalid("Bad network format: missing 'uuid'").WithField("networks")
	}
	if !uuidForm.MatchString(*uuid) {
		return p, invalid("Bad networks format: network uuid is not in proper format (%s)", clip(*uuid)).WithField("uuid")
	}
	p.NetworkID = *uuid
	return p, nil
}

// maxHints bounds the scheduler hints of a request.
const maxHints = 64

// schedulerHints reads hints, whose values are texts or lists of texts.
func schedulerHints(r *httpapi.Request, raw json.RawMessage) (map[string][]string, error) {
	if raw == nil {
		return nil, nil
	}
	var in map[string]json.RawMessage
	if err := r.DecodeValue(raw, "os:scheduler_hints", &in); err != nil {
		return nil, err
	}
	if len(in) > maxHints {
		return nil, invalid("At most %d scheduler hints are taken.", maxHints).WithField("os:scheduler_hints")
	}
	out := map[string][]string{}
	for _, k := range sortedKeys(in) {
		var one string
		var list []string
		switch {
		case json.Unmarshal(in[k], &one) == nil:
			list = []string{one}
		case json.Unmarshal(in[k], &list) == nil:
		default:
			list = []string{string(in[k])}
		}
		switch k {
		case "group":
			if len(list) != 1 {
				return nil, badField(k, pyRaw(in[k]), pyRaw(in[k])+" is not of type 'string'")
			}
			fallthrough
		case "same_host", "different_host":
			for _, id := range list {
				if err := checkUUID(k, id); err != nil {
					return nil, err
				}
			}
		}
		out[k] = list
	}
	return out, nil
}
