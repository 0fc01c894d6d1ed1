package linuxhost

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// Dedicate takes processors out of those that guests share, for guests that have
// one for themselves. It fails with nephos.ErrInvalid if the host has none of such a
// number.
func Dedicate(cells []driver.NUMACell, own []int) error {
	for _, cpu := range own {
		found := false
		for i := range cells {
			c := &cells[i]
			if slices.Contains(c.CPUs, cpu) {
				c.CPUs = slices.DeleteFunc(slices.Clone(c.CPUs), func(n int) bool { return n == cpu })
				c.Dedicated = append(slices.Clip(c.Dedicated), cpu)
				found = true
			}
			found = found || slices.Contains(c.Dedicated, cpu)
		}
		if !found {
			return fmt.Errorf("dedicated processor %d is in none of the host's NUMA cells: %w", cpu, nephos.ErrInvalid)
		}
	}
	for i := range cells {
		slices.Sort(cells[i].Dedicated)
	}
	return nil
}

// ReadDevices describes the PCI devices at the addresses. One that is not there is
// left out.
func ReadDevices(root fs.FS, addresses []string) ([]driver.PCIDevice, error) {
	var out []driver.PCIDevice
	for _, address := range addresses {
		if strings.ContainsAny(address, "/\\") {
			return nil, fmt.Errorf("read PCI device %.80q: that is no address: %w", address, nephos.ErrInvalid)
		}
		d, err := readDevice(root, "sys/bus/pci/devices/"+address, address)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read PCI device %s: %w", address, err)
		}
		out = append(out, d)
	}
	return out, nil
}

func readDevice(root fs.FS, dir, address string) (driver.PCIDevice, error) {
	d := driver.PCIDevice{Address: address, Type: "type-PCI"}
	for name, into := range map[string]*string{"vendor": &d.VendorID, "device": &d.ProductID} {
		line, err := readLine(root, dir+"/"+name)
		if err != nil {
			return d, err
		}
		*into = strings.TrimPrefix(line, "0x")
	}
	if line, err := readLine(root, dir+"/numa_node"); err == nil {
		if n, err := strconv.Atoi(line); err == nil && n >= 0 {
			d.NUMANode = &n
		}
	}
	if _, err := fs.Stat(root, dir+"/physfn"); err == nil {
		d.Type = "type-VF"
	} else if line, err := readLine(root, dir+"/sriov_totalvfs"); err == nil && line != "0" {
		d.Type = "type-PF"
	}
	return d, nil
}

// MountsHugePages says whether a file system of huge pages is mounted, without
// which nobody has any.
func MountsHugePages(root fs.FS) bool {
	text, err := read(root, "proc/mounts")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "hugetlbfs" {
			return true
		}
	}
	return false
}

// ReadCores adds which core each of the cells' processors is a thread of, where
// cores have several.
func ReadCores(root fs.FS, cells []driver.NUMACell) error {
	for i := range cells {
		c := &cells[i]
		for _, cpu := range slices.Concat(c.CPUs, c.Dedicated) {
			line, err := readLine(root, fmt.Sprintf("sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			siblings, err := parseList(line, maxCPU)
			if err != nil {
				return fmt.Errorf("read the siblings of processor %d: %w", cpu, err)
			}
			if len(siblings) > 1 {
				if c.Cores == nil {
					c.Cores = map[int]int{}
				}
				c.Cores[cpu] = siblings[0]
			}
		}
	}
	return nil
}
