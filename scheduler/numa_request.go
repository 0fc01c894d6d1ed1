package scheduler

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// NUMARequest is the NUMA topology that a server asks for.
type NUMARequest struct {
	Cells []NUMACellRequest
	// PageSize is "small", "large", "any", a size in KiB, or empty for what the
	// host has, overcommitted.
	PageSize string
	// Threads is the policy for CPU threads: "prefer", "isolate", "require" or
	// empty.
	Threads string
	// PCI is the policy for devices near the cells: "required", "legacy",
	// "preferred" or empty, which is legacy.
	PCI string
	// Emulator is the policy for the hypervisor's own threads: "isolate" takes one
	// more CPU for them in the first cell, "share" has them on the CPUs that
	// servers share, empty on the server's own.
	Emulator string
}

// NUMACellRequest is one cell of a server: CPUs shared with others, CPUs for
// itself, one of which may be the emulator's, and memory in MiB.
type NUMACellRequest struct {
	VCPUs, PCPUs, MemoryMB int64
	// Shared and Dedicated are the server's own numbers of these CPUs.
	Shared, Dedicated []int
}

// ParseNUMA reads the topology from a flavor's extra specs (hw:numa_nodes,
// hw:numa_cpus.N, hw:numa_mem.N, hw:cpu_policy, hw:cpu_dedicated_mask,
// hw:cpu_thread_policy, hw:emulator_threads_policy, hw:mem_page_size,
// hw:pci_numa_affinity_policy) and an image's properties of the same names with
// underscores for a server with so many CPUs and MiB. It returns nil if they ask
// for none. Dedicated CPUs or a size of pages make a topology of one cell;
// resources:PCPU for all CPUs makes them dedicated.
//
// It fails with nephos.ErrInvalid, naming the field, if a value is none, the
// CPUs or the memory cannot be divided, or image and flavor disagree.
func ParseNUMA(specs, image map[string]string, vcpus, memoryMB int64) (*NUMARequest, error) {
	p := numaParser{specs: specs, image: image}
	r := &NUMARequest{
		PageSize: p.pageSize(), Threads: p.either("cpu_thread_policy", "", "prefer", "isolate", "require"),
		PCI:      p.either("pci_numa_affinity_policy", "", "required", "legacy", "preferred", "socket"),
		Emulator: p.emulator(),
	}
	policy := p.placementPolicy(p.cpuPolicy(), vcpus, r.Emulator)
	p.needDedicated(policy, r)
	nodes := p.nodes()
	if p.err != nil {
		return nil, p.err
	}
	if nodes == 0 && policy != "dedicated" && policy != "mixed" && r.PageSize == "" {
		return nil, nil
	}
	cpus := p.divide(max(nodes, 1), vcpus, memoryMB)
	dedicated := map[int]bool{}
	if policy == "mixed" {
		dedicated = p.dedicatedMask(vcpus)
	}
	if p.err != nil {
		return nil, p.err
	}
	for _, c := range cpus {
		cell := NUMACellRequest{MemoryMB: c.memory}
		for _, cpu := range c.cpus {
			if policy == "dedicated" || dedicated[cpu] {
				cell.Dedicated = append(cell.Dedicated, cpu)
			} else {
				cell.Shared = append(cell.Shared, cpu)
			}
		}
		cell.PCPUs, cell.VCPUs = int64(len(cell.Dedicated)), int64(len(cell.Shared))
		r.Cells = append(r.Cells, cell)
	}
	if r.Emulator == "isolate" {
		r.Cells[0].PCPUs++
	}
	return r, nil
}

type numaParser struct {
	specs, image map[string]string
	err          error
}

func (p *numaParser) fail(field, format string, args ...any) {
	if p.err == nil {
		p.err = nephos.Errorf(nephos.ErrInvalid, field+" "+format, args...).WithField(field)
	}
}

// either reads a value that flavor or image may give, but not differently.
func (p *numaParser) either(name string, allowed ...string) string {
	flavor, image := p.specs["hw:"+name], p.image["hw_"+name]
	if flavor != "" && image != "" && flavor != image {
		p.fail("hw_"+name, "of the image is %.40q, and the flavor says %.40q", image, flavor)
	}
	v := flavor
	if v == "" {
		v = image
	}
	if len(allowed) > 0 && !slices.Contains(allowed, v) {
		p.fail("hw:"+name, "is %.40q, which is none of %s", v, strings.Join(allowed[1:], ", "))
	}
	return v
}

func (p *numaParser) nodes() int {
	v := p.either("numa_nodes")
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxCells {
		p.fail("hw:numa_nodes", "is %.40q, which is not a number from 1 to %d", v, maxCells)
	}
	return n
}

// cpuPolicy lets a flavor's dedicated hold over an image's shared; other
// differences are errors.
func (p *numaParser) cpuPolicy() string {
	flavor, image := p.specs["hw:cpu_policy"], p.image["hw_cpu_policy"]
	for field, v := range map[string]string{"hw:cpu_policy": flavor, "hw_cpu_policy": image} {
		if !slices.Contains([]string{"", "shared", "dedicated", "mixed"}, v) {
			p.fail(field, "is %.40q, which is none of shared, dedicated, mixed", v)
		}
	}
	switch {
	case flavor == "" || flavor == image:
		return image
	case image == "" || flavor == "dedicated" && image == "shared":
		return flavor
	}
	p.fail("hw_cpu_policy", "of the image is %.40q, and the flavor says %.40q", image, flavor)
	return ""
}

func (p *numaParser) pageSize() string {
	flavor, image := p.specs["hw:mem_page_size"], p.image["hw_mem_page_size"]
	if image != "" && flavor != "large" && flavor != "any" {
		p.fail("hw_mem_page_size", "of the image is only heeded where the flavor says large or any")
	}
	v := flavor
	if image != "" {
		v = image
	}
	switch v {
	case "", "small", "large", "any":
		return v
	}
	n, ok := kibibytes(v)
	if !ok {
		p.fail("hw:mem_page_size", "is %.40q, which is none of small, large, any, and no size", v)
	}
	return strconv.FormatInt(n, 10)
}

// kibibytes reads a size such as 2048, 2MB or 1GB.
func kibibytes(s string) (int64, bool) {
	s = strings.ToUpper(strings.TrimSpace(s))
	digits := strings.TrimRight(s, "KMGTIB ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > 1<<30 {
		return 0, false
	}
	switch strings.TrimSpace(s[len(digits):]) {
	case "", "K", "KB", "KIB":
	case "M", "MB", "MIB":
		n <<= 10
	case "G", "GB", "GIB":
		n <<= 20
	default:
		return 0, false
	}
	return n, n <= 1<<30
}

type guestCell struct {
	cpus   []int
	memory int64
}

// divide gives each cell its CPUs and memory: as numa_cpus.N and numa_mem.N say,
// or else equal parts.
func (p *numaParser) divide(nodes int, vcpus, memoryMB int64) []guestCell {
	out := make([]guestCell, nodes)
	if vcpus > 1<<16 {
		p.fail("vcpus", "are too many for a topology")
		return nil
	}
	said := 0
	for i := range out {
		cpus, mem := p.either("numa_cpus."+strconv.Itoa(i)), p.either("numa_mem."+strconv.Itoa(i))
		if (cpus == "") != (mem == "") {
			p.fail("hw:numa_cpus."+strconv.Itoa(i), "and hw:numa_mem.%d are given both or not at all", i)
		}
		if cpus == "" {
			continue
		}
		said++
		out[i].cpus = p.cpuList("hw:numa_cpus."+strconv.Itoa(i), cpus, vcpus)
		n, err := strconv.ParseInt(mem, 10, 64)
		if err != nil || n <= 0 || n > memoryMB {
			p.fail("hw:numa_mem."+strconv.Itoa(i), "is %.40q, which is no part of the server's %d MiB", mem, memoryMB)
		}
		out[i].memory = n
	}
	if p.err != nil {
		return nil
	}
	switch {
	case said == 0 && (vcpus%int64(nodes) != 0 || memoryMB%int64(nodes) != 0):
		p.fail("hw:numa_nodes", "is %d, which does not divide %d VCPUs and %d MiB: use hw:numa_cpus.N and hw:numa_mem.N", nodes, vcpus, memoryMB)
	case said == 0:
		each := int(vcpus) / nodes
		for i := range out {
			out[i].memory = memoryMB / int64(nodes)
			for c := range each {
				out[i].cpus = append(out[i].cpus, i*each+c)
			}
		}
	case said < nodes:
		p.fail("hw:numa_cpus", "is given for %d of %d cells", said, nodes)
	default:
		p.whole(out, vcpus, memoryMB)
	}
	return out
}

// whole sees that the cells make up the server.
func (p *numaParser) whole(cells []guestCell, vcpus, memoryMB int64) {
	seen, memory := map[int]bool{}, int64(0)
	for _, c := range cells {
		for _, cpu := range c.cpus {
			if seen[cpu] {
				p.fail("hw:numa_cpus", "puts CPU %d into two cells", cpu)
			}
			seen[cpu] = true
		}
		memory += c.memory
	}
	if int64(len(seen)) != vcpus {
		p.fail("hw:numa_cpus", "names %d of %d CPUs", len(seen), vcpus)
	}
	if memory != memoryMB {
		p.fail("hw:numa_mem", "adds up to %d of %d MiB", memory, memoryMB)
	}
}

// cpuList reads a list of CPUs such as 0-3,^2,6.
func (p *numaParser) cpuList(field, s string, vcpus int64) []int {
	set, not := map[int]bool{}, map[int]bool{}
	for part := range strings.SplitSeq(s, ",") {
		part, into := strings.TrimSpace(part), set
		if rest, ok := strings.CutPrefix(part, "^"); ok {
			part, into = rest, not
		}
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.Atoi(strings.TrimSpace(from))
		b, err2 := strconv.Atoi(strings.TrimSpace(to))
		if err1 != nil || err2 != nil || a < 0 || a > b || int64(b) >= vcpus {
			p.fail(field, "is %.40q, which is no list of the CPUs 0 to %d", s, vcpus-1)
			return nil
		}
		for c := a; c <= b; c++ {
			into[c] = true
		}
	}
	var out []int
	for c := range int(vcpus) {
		if set[c] && !not[c] {
			out = append(out, c)
		}
	}
	return out
}

// dedicatedMask reads which CPUs of a mixed server it has for itself. A mask
// that begins with ^ says which it has not.
func (p *numaParser) dedicatedMask(vcpus int64) map[int]bool {
	mask := p.either("cpu_dedicated_mask")
	if mask == "" {
		p.fail("hw:cpu_dedicated_mask", "is needed where hw:cpu_policy is mixed")
		return nil
	}
	if strings.HasPrefix(mask, "^") {
		mask = "0-" + strconv.FormatInt(vcpus-1, 10) + "," + mask
	}
	out := map[int]bool{}
	for _, c := range p.cpuList("hw:cpu_dedicated_mask", mask, vcpus) {
		out[c] = true
	}
	if p.err == nil && (len(out) == 0 || int64(len(out)) >= vcpus) {
		p.fail("hw:cpu_dedicated_mask", "is %.40q, which leaves no CPU of the one kind or the other", mask)
	}
	return out
}
