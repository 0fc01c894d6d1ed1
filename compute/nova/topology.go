package nova

import (
	"strconv"

	"github.com/nephos-cloud/nephos/httpapi"
)

// topologyNode is one NUMA cell of a server. What it has of its host is for
// operators.
type topologyNode struct {
	VCPUs    []int           `json:"vcpu_set"`
	Siblings [][]int         `json:"siblings"`
	Memory   int64           `json:"memory_mb"`
	Host     *int            `json:"host_node,omitempty"`
	Pins     *map[string]int `json:"cpu_pinning,omitempty"`
}

func (a *api) showTopology(r *httpapi.Request) (*httpapi.Response, error) {
	t, err := a.Topologies.ServerTopology(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	nodes := make([]topologyNode, len(t.Cells))
	for i, c := range t.Cells {
		nodes[i] = topologyNode{VCPUs: append([]int{}, c.VCPUs...), Siblings: append([][]int{}, c.Siblings...), Memory: c.MemoryMiB, Host: c.Host}
		if c.Pins != nil {
			pins := map[string]int{}
			for vcpu, cpu := range c.Pins {
				pins[strconv.Itoa(vcpu)] = cpu
			}
			nodes[i].Pins = &pins
		}
	}
	var page *int64
	if t.PageKiB > 0 {
		page = &t.PageKiB
	}
	return httpapi.OK(map[string]any{"nodes": nodes, "pagesize_kb": page}), nil
}
