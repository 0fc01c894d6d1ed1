package nova

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDiagnosticsByTheirOldNames(t *testing.T) {
	require.Equal(t, map[string]any{
		"cpu0_time": int64(7), "vda_read": int64(1), "vda_read_req": int64(2), "vda_write": int64(3), "vda_write_req": int64(4),
		"vda_errors": int64(0), "vnet0_rx": int64(5), "vnet0_tx_packets": int64(6), "memory": int64(512 << 10),
	}, oldDiagnostics(map[string]any{
		"state": "running", "num_cpus": 1.0, "uptime": 3.0,
		"cpu_details": []any{map[string]any{"id": 0.0, "time": 7.0, "utilisation": nil}, "broken"},
		"disk_details": []any{map[string]any{
			"read_bytes": 1.0, "read_requests": 2.0, "write_bytes": 3.0, "write_requests": 4.0, "errors_count": 0.0,
		}},
		"nic_details":    []any{map[string]any{"mac_address": "fa:16:3e:00:00:01", "rx_octets": 5.0, "tx_packets": 6.0}},
		"memory_details": map[string]any{"maximum": 512.0, "used": 400.0},
	}))
	require.Empty(t, oldDiagnostics(nil))
}
