// Package plot draws lines and bars as SVG: small, tidy, and the same bytes for
// the same numbers.
package plot

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
)

// Line is one line of a chart.
type Line struct {
	Name   string
	Points []Point
}

// Point is one point of a line. What is not finite is left out.
type Point struct{ X, Y float64 }

// Chart is what is drawn.
type Chart struct {
	Title, X, Y string // the title, and what the axes are
	Lines       []Line
	// LogX and LogY make an axis logarithmic; what is not above 0 is left out.
	LogX, LogY bool
	// Top is the least upper end of the Y axis; 0 means that of the lines.
	Top float64
}

const (
	width, height            = 720, 420
	left, right, top, bottom = 70, 20, 44, 52
)

// colours are distinguishable for most people who are colour-blind.
func colour(i int) string {
	list := []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}
	return list[i%len(list)]
}

// axis maps numbers to places.
type axis struct {
	lo, hi   float64
	log      bool
	from, to float64 // places of lo and hi
}

func (a axis) shown(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!a.log || v > 0)
}

func (a axis) at(v float64) float64 {
	lo, hi := a.lo, a.hi
	if a.log {
		v, lo, hi = math.Log10(v), math.Log10(lo), math.Log10(hi)
	}
	if hi == lo {
		return a.from
	}
	return a.from + (v-lo)/(hi-lo)*(a.to-a.from)
}

// ticks are round numbers between the ends.
func (a axis) ticks() []float64 {
	var out []float64
	if a.log {
		for e := math.Floor(math.Log10(a.lo)); e <= math.Ceil(math.Log10(a.hi)); e++ {
			if v := math.Pow(10, e); v >= a.lo*0.999 && v <= a.hi*1.001 {
				out = append(out, v)
			}
		}
		return out
	}
	step := math.Pow(10, math.Floor(math.Log10((a.hi-a.lo)/4)))
	for _, m := range []float64{5, 2} {
		if (a.hi-a.lo)/(step*m) >= 4 {
			step *= m
			break
		}
	}
	for k := math.Ceil(a.lo / step); k*step <= a.hi*(1+1e-9); k++ {
		out = append(out, k*step)
	}
	return out
}

// axes finds the ends of both.
func (c Chart) axes() (x, y axis) {
	x, y = axis{log: c.LogX, from: left, to: width - right}, axis{log: c.LogY, from: height - bottom, to: top}
	x.lo, x.hi, y.lo, y.hi = math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, l := range c.Lines {
		for _, p := range l.Points {
			if x.shown(p.X) && y.shown(p.Y) {
				x.lo, x.hi = min(x.lo, p.X), max(x.hi, p.X)
				y.lo, y.hi = min(y.lo, p.Y), max(y.hi, p.Y)
			}
		}
	}
	for _, a := range []*axis{&x, &y} {
		switch {
		case a.lo > a.hi: // nothing to show
			a.lo, a.hi = 0, 1
			if a.log {
				a.lo = 0.1
			}
		case a.log:
			a.lo, a.hi = math.Pow(10, math.Floor(math.Log10(a.lo))), math.Pow(10, math.Ceil(math.Log10(a.hi)))
		}
		if a.log && a.lo == a.hi {
			a.hi *= 10
		}
	}
	if !c.LogY {
		y.lo = min(y.lo, 0)
		y.hi = max(y.hi, c.Top)
	}
	for _, a := range []*axis{&x, &y} {
		if a.lo == a.hi {
			a.hi++
		}
	}
	return x, y
}

// Write draws the chart.
func (c Chart) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	x, y := c.axes()
	text := func(px, py float64, attributes, s string) {
		fmt.Fprintf(b, `<text x="%s" y="%s"%s>%s</text>`+"\n", place(px), place(py), attributes, html.EscapeString(s))
	}
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12" fill="#333">`+"\n",
		width, height, width, height)
	fmt.Fprintln(b, `<rect width="100%" height="100%" fill="#fff"/>`)
	text(left, 20, ` font-size="15"`, c.Title)
	for _, v := range x.ticks() {
		fmt.Fprintf(b, `<path d="M%s %dV%d" stroke="#eee"/>`+"\n", place(x.at(v)), top, height-bottom)
		text(x.at(v), height-bottom+16, ` text-anchor="middle"`, Number(v))
	}
	for _, v := range y.ticks() {
		fmt.Fprintf(b, `<path d="M%d %sH%d" stroke="#eee"/>`+"\n", left, place(y.at(v)), width-right)
		text(left-6, y.at(v)+4, ` text-anchor="end"`, Number(v))
	}
	fmt.Fprintf(b, `<path d="M%d %dV%dH%d" fill="none" stroke="#999"/>`+"\n", left, top, height-bottom, width-right)
	text((left+width-right)/2, height-12, ` text-anchor="middle"`, c.X)
	fmt.Fprintf(b, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (top+height-bottom)/2, html.EscapeString(c.Y))
	for i, l := range c.Lines {
		var d strings.Builder
		for _, p := range l.Points {
			if !x.shown(p.X) || !y.shown(p.Y) {
				continue
			}
			command := "L"
			if d.Len() == 0 {
				command = "M"
			}
			d.WriteString(command + place(x.at(p.X)) + " " + place(y.at(p.Y)))
		}
		if d.Len() > 0 {
			fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="2" stroke-linejoin="round"/>`+"\n", d.String(), colour(i))
		}
		fmt.Fprintf(b, `<path d="M%d 33h16" stroke="%s" stroke-width="3"/>`+"\n", left+i*150, colour(i))
		text(float64(left+i*150+22), 37, "", l.Name)
	}
	fmt.Fprintln(b, "</svg>")
	return b.Flush()
}

// place writes a coordinate with one digit after the point.
func place(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// Number writes a number shortly: 1500 is 1.5k.
func Number(v float64) string {
	for _, u := range []struct {
		from float64
		unit string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= u.from {
			return strconv.FormatFloat(v/u.from, 'g', 4, 64) + u.unit
		}
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
