package nova

import (
	"strconv"

	"github.com/nephos-cloud/nephos/httpapi"
)

// diagnostics answers with what a server's host measures. Microversion 2.48
// agreed on names; before it, drivers told what they liked, and most clouds'
// told it as libvirt does.
func (a *api) diagnostics(r *httpapi.Request) (*httpapi.Response, error) {
	d, err := a.Consoles.Diagnostics(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if !atLeast(r, 48) {
		return httpapi.OK(oldDiagnostics(d)), nil
	}
	for key, empty := range map[string]any{
		"state": nil, "driver": nil, "hypervisor": nil, "hypervisor_os": nil, "uptime": nil, "config_drive": nil, "num_cpus": 0,
		"num_nics": 0, "num_disks": 0, "cpu_details": []any{}, "nic_details": []any{}, "disk_details": []any{},
		"memory_details": map[string]any{"maximum": nil, "used": nil},
	} {
		if _, ok := d[key]; !ok {
			d[key] = empty
		}
	}
	return httpapi.OK(d), nil
}

// oldDiagnostics are the counters of a guest by the names that libvirt's driver
// gave them: cpu0_time in nanoseconds, vda_read in bytes, memory in KiB.
func oldDiagnostics(d map[string]any) map[string]any {
	out := map[string]any{}
	put := func(name string, from map[string]any, key string, factor float64) {
		if n, ok := from[key].(float64); ok {
			out[name] = int64(n * factor)
		}
	}
	for i, cpu := range objects(d["cpu_details"]) {
		put("cpu"+strconv.Itoa(i)+"_time", cpu, "time", 1)
	}
	for i, disk := range objects(d["disk_details"]) {
		name := "vd" + string(rune('a'+i%26))
		for suffix, key := range map[string]string{
			"_read": "read_bytes", "_read_req": "read_requests", "_write": "write_bytes", "_write_req": "write_requests", "_errors": "errors_count",
		} {
			put(name+suffix, disk, key, 1)
		}
	}
	for i, nic := range objects(d["nic_details"]) {
		name := "vnet" + strconv.Itoa(i)
		for suffix, key := range map[string]string{
			"_rx": "rx_octets", "_rx_packets": "rx_packets", "_rx_errors": "rx_errors", "_rx_drop": "rx_drop",
			"_tx": "tx_octets", "_tx_packets": "tx_packets", "_tx_errors": "tx_errors", "_tx_drop": "tx_drop",
		} {
			put(name+suffix, nic, key, 1)
		}
	}
	if memory, ok := d["memory_details"].(map[string]any); ok {
		put("memory", memory, "maximum", 1<<10)
	}
	return out
}

// objects are the objects in a list as it came from a host.
func objects(v any) []map[string]any {
	list, _ := v.([]any)
	out := make([]map[string]any, 0, len(list))
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}
