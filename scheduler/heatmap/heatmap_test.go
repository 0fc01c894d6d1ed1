package heatmap_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/heatmap"
)

// count returns how often each element stands in the picture, which must be
// well-formed.
func count(t testing.TB, picture []byte) map[string]int {
	t.Helper()
	n := map[string]int{}
	d := xml.NewDecoder(bytes.NewReader(picture))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n
		}
		require.NoError(t, err)
		if e, ok := tok.(xml.StartElement); ok {
			n[e.Name.Local]++
		}
	}
}

func TestPicture(t *testing.T) {
	host := func(name, zone string, used int64, edit func(*scheduler.Host)) scheduler.Host {
		h := scheduler.Host{
			ID: name, Zone: zone, Up: true, Enabled: true,
			Inventory: map[string]scheduler.Inventory{scheduler.MemoryMB: {Total: 100, Ratio: 2}}, Used: scheduler.Resources{scheduler.MemoryMB: used},
		}
		if edit != nil {
			edit(&h)
		}
		return h
	}
	hosts := []scheduler.Host{
		host("h<2>", "az2", 50, nil), host("h1", "az1", 200, nil), host("h3", "az1", 300, nil),
		host("h4", "az1", 0, func(h *scheduler.Host) { h.Up = false }), host("h5", "", 0, func(h *scheduler.Host) { h.Inventory = nil }),
	}
	var b bytes.Buffer
	require.NoError(t, heatmap.Write(&b, heatmap.Cells(hosts, scheduler.MemoryMB, nil), heatmap.Options{Title: "Memory & more"}))
	text := b.String()
	require.Equal(t, 5, count(t, b.Bytes())["g"])
	for _, want := range []string{
		"Memory &amp; more", "h&lt;2&gt;: 50 of 200 used (25%)", "h3: 300 of 200 used (150%)", "h4: 0 of 200 used (0%), down", "h5: 0 of 0 used",
		"az1: 3 hosts, 83% used", "without a zone: 1 host", "#c2301c",
	} {
		require.Contains(t, text, want)
	}
	require.Less(t, strings.Index(text, "az1:"), strings.Index(text, "az2:"))

	var again bytes.Buffer
	require.NoError(t, heatmap.Write(&again, heatmap.Cells(hosts, scheduler.MemoryMB, nil), heatmap.Options{Title: "Memory & more"}))
	require.Equal(t, text, again.String(), "the same hosts give the same picture")
}

func TestManyHostsShareSquares(t *testing.T) {
	cells := make([]heatmap.Cell, 25_000)
	for i := range cells {
		cells[i] = heatmap.Cell{Name: fmt.Sprintf("h%05d", i), Used: int64(i % 100), Capacity: 100}
	}
	var b bytes.Buffer
	require.NoError(t, heatmap.Write(&b, cells, heatmap.Options{}))
	require.Equal(t, 8334, count(t, b.Bytes())["g"])
	require.Contains(t, b.String(), "h00000 … h00002: 3 of 300 used, fullest 2%, 0 down or disabled")
	b.Reset()
	require.NoError(t, heatmap.Write(&b, nil, heatmap.Options{}))
	require.Zero(t, count(t, b.Bytes())["g"])
}

func ExampleWrite() {
	var b strings.Builder
	_ = heatmap.Write(&b, []heatmap.Cell{{Name: "host1", Used: 3, Capacity: 4}}, heatmap.Options{Title: "VCPUs"})
	fmt.Println(strings.Contains(b.String(), "host1: 3 of 4 used (75%)"))
	// Output: true
}
