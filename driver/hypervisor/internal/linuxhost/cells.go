package linuxhost

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos/driver"
)

// Bounds on what is believed.
const (
	maxCells = 64
	maxCPU   = 1 << 16
)

// ReadCells reads the host's NUMA cells that have processors or memory; none,
// and no error, where the kernel knows none.
func ReadCells(root fs.FS) ([]driver.NUMACell, error) {
	const nodes = "sys/devices/system/node"
	online, err := readLine(root, nodes+"/online")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids, err := parseList(online, maxCPU)
	if err != nil || len(ids) > maxCells {
		return nil, fmt.Errorf("read NUMA cells: %.80q is no list of at most %d: %w", online, maxCells, err)
	}
	var cells []driver.NUMACell
	for _, id := range ids {
		c, err := readCell(root, fmt.Sprintf("%s/node%d", nodes, id), id)
		if err != nil {
			return nil, fmt.Errorf("read NUMA cell %d: %w", id, err)
		}
		if len(c.CPUs) > 0 || c.MemoryMiB > 0 {
			cells = append(cells, c)
		}
	}
	return cells, nil
}

func readCell(root fs.FS, dir string, id int) (driver.NUMACell, error) {
	c := driver.NUMACell{ID: id}
	cpus, err := readLine(root, dir+"/cpulist")
	if err != nil {
		return c, err
	}
	if c.CPUs, err = parseList(cpus, maxCPU); err != nil {
		return c, err
	}
	info, err := read(root, dir+"/meminfo")
	if err != nil {
		return c, err
	}
	kib, err := parseMemory(string(info))
	if err != nil {
		return c, err
	}
	sizes, err := fs.ReadDir(root, dir+"/hugepages")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	for _, e := range sizes {
		size, ok := parsePageSize(e.Name())
		if !ok {
			continue
		}
		text, err := readLine(root, dir+"/hugepages/"+e.Name()+"/nr_hugepages")
		if err != nil {
			return c, err
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > kib/size {
			return c, fmt.Errorf("it has %.40q pages of %d KiB in %d KiB", text, size, kib)
		}
		if n > 0 {
			if c.Pages == nil {
				c.Pages = map[int64]int64{}
			}
			c.Pages[size] = n
			kib -= n * size
		}
	}
	c.MemoryMiB = kib / 1024
	return c, nil
}

// parseList reads a list such as 0-3,8; the empty one too. Its numbers rise, and
// are below the limit.
func parseList(s string, limit int) ([]int, error) {
	var out []int
	if s == "" {
		return out, nil
	}
	least := 0
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || a < least || b < a || b >= limit {
			return nil, fmt.Errorf("%.80q is no list of numbers below %d", s, limit)
		}
		for n := a; n <= b; n++ {
			out = append(out, n)
		}
		least = b + 1
	}
	return out, nil
}

// parseMemory reads MemTotal of a cell's meminfo, in KiB.
func parseMemory(s string) (int64, error) {
	for line := range strings.Lines(s) {
		_, rest, ok := strings.Cut(line, "MemTotal:")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil || n < 0 || n > 1<<50 {
			return 0, fmt.Errorf("its MemTotal is %.40q", rest)
		}
		return n, nil
	}
	return 0, errors.New("its meminfo has no MemTotal")
}

// parsePageSize reads the KiB of hugepages-2048kB.
func parsePageSize(s string) (int64, bool) {
	s, ok := strings.CutPrefix(s, "hugepages-")
	s, kb := strings.CutSuffix(s, "kB")
	n, err := strconv.ParseInt(s, 10, 64)
	return n, ok && kb && err == nil && n > 0 && n <= 1<<30
}
