package nova

import (
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
)

type fixedIP struct {
	SubnetID string `json:"subnet_id,omitempty"`
	IP       string `json:"ip_address"`
}

// interfaceBody is a card of the newest microversion.
type interfaceBody struct {
	NetID     string            `json:"net_id"`
	PortID    string            `json:"port_id"`
	MAC       string            `json:"mac_addr"`
	PortState string            `json:"port_state"`
	FixedIPs  []fixedIP         `json:"fixed_ips"`
	Tag       *nullable[string] `json:"tag,omitempty"`
}

var interfaceEdits = httpapi.Edits[interfaceBody]{
	{Version: httpapi.V(2, 70), Apply: func(b *interfaceBody) error { b.Tag = nil; return nil }},
}

func renderInterface(r *httpapi.Request, n *compute.NIC) (*interfaceBody, error) {
	b := &interfaceBody{NetID: n.NetworkID, PortID: n.PortID, MAC: n.MAC, PortState: "ACTIVE", FixedIPs: []fixedIP{}, Tag: textOrNull(n.Tag)}
	if n.State != "" {
		b.PortState = "DOWN"
	}
	for _, addr := range n.Addresses {
		b.FixedIPs = append(b.FixedIPs, fixedIP{addr.Subnet.ID, addr.IP})
	}
	return b, interfaceEdits.Down(r.Version, b)
}

func (a *api) listInterfaces(r *httpapi.Request) (*httpapi.Response, error) {
	nics, err := a.Interfaces.ListInterfaces(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := make([]*interfaceBody, len(nics))
	for i := range nics {
		if out[i], err = renderInterface(r, &nics[i]); err != nil {
			return nil, err
		}
	}
	return httpapi.OK(map[string]any{"interfaceAttachments": out}), nil
}

func (a *api) showInterface(r *httpapi.Request) (*httpapi.Response, error) {
	nic, err := a.Interfaces.Interface(r.Context(), r.PathValue("id"), r.PathValue("port"))
	if err != nil {
		return nil, err
	}
	return oneInterface(r, &nic)
}

func oneInterface(r *httpapi.Request, n *compute.NIC) (*httpapi.Response, error) {
	b, err := renderInterface(r, n)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"interfaceAttachment": b}), nil
}

type interfaceSpec struct {
	NetID    *string    `json:"net_id"`
	PortID   *string    `json:"port_id"`
	FixedIPs []fixedReq `json:"fixed_ips"`
	Tag      *string    `json:"tag"`
}

type fixedReq struct {
	IP string `json:"ip_address"`
}

func (a *api) attachInterface(r *httpapi.Request) (*httpapi.Response, error) {
	if err := obey(r, interfaceSchema(r)); err != nil {
		return nil, err
	}
	tree, err := r.Tree()
	if err != nil {
		return nil, err
	}
	var in interfaceSpec
	if raw, ok := tree["interfaceAttachment"]; ok {
		if err := r.DecodeValue(raw, "interfaceAttachment", &in); err != nil {
			return nil, err
		}
	}
	var fixed *string
	if len(in.FixedIPs) > 0 {
		fixed = &in.FixedIPs[0].IP
	}
	switch {
	case in.NetID != nil && in.PortID != nil:
		return nil, invalid("Must not input both network_id and port_id").WithField("port_id")
	case fixed != nil && in.NetID == nil:
		return nil, invalid("Must input network_id when request IP address").WithField("net_id")
	}
	network, port := in.NetID, in.PortID
	if network == nil && port == nil {
		network = ptr("00000000-0000-0000-0000-000000000000") // any
	}
	req, err := portRequest(network, port, fixed, in.Tag)
	if err != nil {
		return nil, err
	}
	if in.NetID == nil {
		req.NetworkID = ""
	}
	nic, err := a.Interfaces.AttachInterface(r.Context(), r.PathValue("id"), req)
	if err != nil {
		return nil, missing(err)
	}
	return oneInterface(r, &nic)
}

// missing turns what a boot calls a bad request, because it names a port or
// network that is not there, into the 404 that an attachment answers with.
func missing(err error) error {
	switch reasonOf(err) {
	case "PortNotFound", "NetworkNotFound":
		return httpapi.WithStatus(404, err)
	case "FixedIpAlreadyInUse":
		return httpapi.WithStatus(409, err)
	case "NetworkAmbiguous":
		return httpapi.WithStatus(400, err)
	}
	return err
}

func (a *api) detachInterface(r *httpapi.Request) (*httpapi.Response, error) {
	if err := a.Interfaces.DetachInterface(r.Context(), r.PathValue("id"), r.PathValue("port")); err != nil {
		return nil, err
	}
	return httpapi.Accepted(nil), nil
}
