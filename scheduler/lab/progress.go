package main

import (
	"fmt"
	"time"

	"github.com/nephos-cloud/nephos/scheduler/lab/plot"
)

// progress tells how far long work is, from its second second on.
type progress struct {
	l     *lab
	what  string
	total int
	began time.Time
	last  time.Time
	shown bool
	calls int
}

func (l *lab) progress(what string, total int) *progress {
	now := l.clock.Now()
	return &progress{l: l, what: what, total: total, began: now, last: now}
}

// at says that so many are done. It looks at the clock now and then only.
func (p *progress) at(done int) {
	if p.calls++; p.calls%16 != 0 && p.total > 1000 {
		return
	}
	now := p.l.clock.Now()
	every := 200 * time.Millisecond
	if !p.l.terminal {
		every = 5 * time.Second
	}
	if now.Sub(p.began) < time.Second || p.shown && now.Sub(p.last) < every {
		return
	}
	p.shown, p.last = true, now
	spent := now.Sub(p.began)
	left := "?"
	if done > 0 {
		left = (spent * time.Duration(p.total-done) / time.Duration(done)).Round(time.Second).String()
	}
	line := fmt.Sprintf("%s: %d of %d (%d%%), %s/s, %s left", p.what, done, p.total, 100*done/max(p.total, 1),
		plot.Number(float64(done)/spent.Seconds()), left)
	if p.l.terminal {
		fmt.Fprintf(p.l.errs, "\r\x1b[K%s", line)
	} else {
		fmt.Fprintln(p.l.errs, line)
	}
}

// end removes the line.
func (p *progress) end() {
	if p.shown && p.l.terminal {
		fmt.Fprint(p.l.errs, "\r\x1b[K")
	}
}
