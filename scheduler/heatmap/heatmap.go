// Package heatmap draws how full the hosts are, as one SVG picture: a square for
// each host, by zone, from light (empty) to dark (full). It is a pure function of
// what it is given, without I/O other than the writer's.
//
//	_ = heatmap.Write(w, heatmap.Cells(hosts, scheduler.MemoryMB, nil), heatmap.Options{Title: "Memory"})
package heatmap

import (
	"bufio"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos/scheduler"
)

// Cell is one host.
type Cell struct {
	Name, Zone string
	// Used and Capacity are amounts of one resource class; a host with no
	// capacity is drawn empty, with a cross.
	Used, Capacity int64
	// Mark is why the host takes no servers, such as "down", or empty.
	Mark string
}

// Cells reads the cells of a resource class from hosts. ratios are the
// allocation ratios where hosts give none; nil means [scheduler.DefaultRatios].
func Cells(hosts []scheduler.Host, class string, ratios map[string]float64) []Cell {
	out := make([]Cell, 0, len(hosts))
	for i := range hosts {
		h := &hosts[i]
		c := Cell{Name: cmp.Or(h.Name, h.ID), Zone: h.Zone, Used: h.Used[class]}
		if inv, ok := h.Inventories(ratios)[class]; ok {
			ratio := inv.Ratio
			if own := h.Ratio(class, ratios); ratio == 0 || h.Inventory[class] == inv {
				ratio = own
			}
			c.Capacity = inv.Capacity(ratio)
		}
		switch {
		case !h.Up:
			c.Mark = "down"
		case !h.Enabled:
			c.Mark = "disabled"
		}
		out = append(out, c)
	}
	return out
}

// Options are the options of a picture.
type Options struct {
	Title string
	// Width of the picture in pixels; 0 means 960, and it is between 200 and
	// 4000.
	Width int
	// MaxCells bounds the squares; more hosts share squares, each the mean of
	// neighbours. 0 means 10,000.
	MaxCells int
}

const (
	margin  = 16
	heading = 18
)

// square is what is drawn: one host, or several.
type square struct {
	part  float64 // of the capacity; -1 without capacity
	title string
	mark  bool
}

// Write writes the picture. It fails only if the writer does.
func Write(w io.Writer, cells []Cell, o Options) error {
	o.Width = min(max(cmp.Or(o.Width, 960), 200), 4000)
	o.MaxCells = max(cmp.Or(o.MaxCells, 10_000), 1)
	zones, order := byZone(cells)
	each := (len(cells) + o.MaxCells - 1) / o.MaxCells
	size := sizeFor(len(cells)/max(each, 1), o.Width-2*margin)
	columns := max((o.Width-2*margin)/size, 1)

	height := margin + 2*heading
	for _, z := range order {
		n := (len(zones[z]) + each - 1) / max(each, 1)
		height += heading + (n+columns-1)/columns*size + heading/2
	}
	height += 3 * heading

	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", o.Width, height, o.Width, height)
	fmt.Fprintf(out, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", o.Width, height)
	fmt.Fprintf(out, `<text x="%d" y="%d" font-size="15" font-weight="bold">%s</text>`+"\n", margin, margin+heading, escape(cmp.Or(o.Title, "Hosts")))
	y := margin + 2*heading
	for _, z := range order {
		fmt.Fprintf(out, `<text x="%d" y="%d">%s: %s</text>`+"\n", margin, y+heading-5, escape(cmp.Or(z, "without a zone")), summary(zones[z]))
		y += heading
		k := 0
		for group := range slices.Chunk(zones[z], max(each, 1)) {
			s := squareOf(group)
			draw(out, s, margin+k%columns*size, y+k/columns*size, size)
			k++
		}
		y += (k+columns-1)/columns*size + heading/2
	}
	legend(out, y+heading/2)
	fmt.Fprintln(out, "</svg>")
	return out.Flush()
}

// byZone sorts the cells into zones, by name in each.
func byZone(cells []Cell) (map[string][]Cell, []string) {
	zones := map[string][]Cell{}
	var order []string
	for _, c := range cells {
		if zones[c.Zone] == nil {
			order = append(order, c.Zone)
		}
		zones[c.Zone] = append(zones[c.Zone], c)
	}
	for _, z := range zones {
		slices.SortStableFunc(z, func(a, b Cell) int { return strings.Compare(a.Name, b.Name) })
	}
	slices.Sort(order)
	return zones, order
}

// sizeFor finds squares between 4 and 28 pixels wide that make the picture about
// as high as wide.
func sizeFor(n, width int) int {
	return min(max(int(float64(width)/math.Sqrt(float64(max(n, 1)))), 4), 28)
}

func (c Cell) part() float64 {
	if c.Capacity <= 0 {
		return -1
	}
	return float64(c.Used) / float64(c.Capacity)
}

func squareOf(group []Cell) square {
	if len(group) == 1 {
		c := group[0]
		s := square{part: c.part(), mark: c.Mark != "", title: fmt.Sprintf("%s: %d of %d used", c.Name, c.Used, c.Capacity)}
		if s.part >= 0 {
			s.title += fmt.Sprintf(" (%.0f%%)", 100*s.part)
		}
		if s.mark {
			s.title += ", " + c.Mark
		}
		return s
	}
	var used, capacity int64
	marked := 0
	most := 0.0
	for _, c := range group {
		used, capacity = used+c.Used, capacity+c.Capacity
		most = max(most, c.part())
		if c.Mark != "" {
			marked++
		}
	}
	s := square{part: Cell{Used: used, Capacity: capacity}.part(), mark: marked*2 > len(group)}
	s.title = fmt.Sprintf("%s … %s: %d of %d used, fullest %.0f%%, %d down or disabled", group[0].Name, group[len(group)-1].Name, used, capacity, 100*most, marked)
	return s
}

func summary(cells []Cell) string {
	var used, capacity int64
	for _, c := range cells {
		used, capacity = used+c.Used, capacity+c.Capacity
	}
	hosts := "hosts"
	if len(cells) == 1 {
		hosts = "host"
	}
	if capacity == 0 {
		return fmt.Sprintf("%d %s", len(cells), hosts)
	}
	return fmt.Sprintf("%d %s, %.0f%% used", len(cells), hosts, 100*float64(used)/float64(capacity))
}

func draw(out io.Writer, s square, x, y, size int) {
	inner := max(size-1, 1)
	fmt.Fprintf(out, `<g><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" fill="%s"`, escape(s.title), x, y, inner, inner, color(s.part))
	if s.part < 0 {
		fmt.Fprint(out, ` stroke="#999999" stroke-width="0.5"`)
	}
	fmt.Fprint(out, "/>")
	if s.mark || s.part < 0 {
		fmt.Fprintf(out, `<path d="M%d %dL%d %dM%d %dL%d %d" stroke="#1a1a1a" stroke-width="1"/>`, x+1, y+1, x+inner-1, y+inner-1, x+inner-1, y+1, x+1, y+inner-1)
	}
	fmt.Fprintln(out, "</g>")
}

func legend(out io.Writer, y int) {
	x := margin
	for _, part := range []float64{0, 0.25, 0.5, 0.75, 1, 1.01} {
		label := fmt.Sprintf("%.0f%%", 100*part)
		if part > 1 {
			label = "over"
		}
		fmt.Fprintf(out, `<rect x="%d" y="%d" width="12" height="12" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", x, y, color(part), x+16, y+10, label)
		x += 64
	}
	fmt.Fprintf(out, `<path d="M%d %dl10 10m0 -10l-10 10" stroke="#1a1a1a"/><text x="%d" y="%d">takes no servers</text>`+"\n", x+1, y+1, x+16, y+10)
}

// stops are the colours from empty to full; they grow darker evenly, so that the
// picture reads in grey too.
var stops = [5][3]float64{{237, 248, 233}, {186, 218, 179}, {116, 178, 160}, {49, 120, 142}, {20, 52, 104}}

// color is the colour of a part of the capacity; what is over it is red.
func color(part float64) string {
	switch {
	case part < 0:
		return "#ffffff"
	case part > 1:
		return "#c2301c"
	}
	at := part * float64(len(stops)-1)
	k := min(int(at), len(stops)-2)
	mix := func(c int) int { return int(math.Round(stops[k][c] + (stops[k+1][c]-stops[k][c])*(at-float64(k)))) }
	return fmt.Sprintf("#%02x%02x%02x", mix(0), mix(1), mix(2))
}

func escape(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return ""
	}
	return b.String()
}
