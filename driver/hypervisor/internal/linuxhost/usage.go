package linuxhost

import (
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
)

// Times are how long the host's processors did what since its boot, in ticks of
// the kernel's.
type Times struct{ User, Kernel, Idle, IOWait uint64 }

// ReadTimes reads them from /proc/stat.
func ReadTimes(root fs.FS) (Times, error) {
	line, err := readLine(root, "proc/stat")
	if err != nil {
		return Times{}, err
	}
	return parseTimes(line)
}

// parseTimes reads the line of all processors.
func parseTimes(line string) (Times, error) {
	f := strings.Fields(line)
	if len(f) < 6 || f[0] != "cpu" {
		return Times{}, fmt.Errorf("read /proc/stat: %.80q is not about processors", line)
	}
	var n [8]uint64 // user, nice, system, idle, iowait, irq, softirq, steal
	for i := range min(len(f)-1, len(n)) {
		v, err := strconv.ParseUint(f[i+1], 10, 64)
		if err != nil || v > math.MaxUint64/16 {
			return Times{}, fmt.Errorf("read /proc/stat: %.40q is no number of ticks", f[i+1])
		}
		n[i] = v
	}
	return Times{User: n[0] + n[1], Kernel: n[2] + n[5] + n[6], Idle: n[3] + n[7], IOWait: n[4]}, nil
}

// Shares are what the processors did from a moment until t, by the names of
// Nova's metrics, from 0 to 1; nil if no time passed.
func (t Times) Shares(before Times) map[string]float64 {
	since := func(a, b uint64) float64 { return float64(max(a, b) - b) }
	user, kernel := since(t.User, before.User), since(t.Kernel, before.Kernel)
	idle, wait := since(t.Idle, before.Idle), since(t.IOWait, before.IOWait)
	all := user + kernel + idle + wait
	if all <= 0 {
		return nil
	}
	return map[string]float64{
		"cpu.user.percent": user / all, "cpu.kernel.percent": kernel / all, "cpu.idle.percent": idle / all,
		"cpu.iowait.percent": wait / all, "cpu.percent": (user + kernel + wait) / all,
	}
}
