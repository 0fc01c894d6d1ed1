package scheduler

import (
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Flavor is what a flavor says about amounts.
type Flavor struct {
	VCPUs, MemoryMB, RootGB, EphemeralGB, SwapMB int64
	ExtraSpecs                                   map[string]string
}

// Resources returns what one server of the flavor takes. Extra specs
// "resources:CLASS" (also of numbered groups, "resources1:CLASS", which are
// added up) replace the flavor's own amount of that class; 0 leaves the class
// out. A server that boots from a volume takes no room for the root disk.
//
// It fails with nephos.ErrInvalid if an extra spec is not a class and a whole
// number, or an amount is out of bounds.
func (f Flavor) Resources(volumeBacked bool) (Resources, error) {
	out := Resources{}
	for key, value := range f.ExtraSpecs {
		prefix, class, ok := strings.Cut(key, ":")
		if !ok || !strings.HasPrefix(prefix, "resources") {
			continue
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 || n > maxAmount || out[class]+n > maxAmount {
			return nil, nephos.Errorf(nephos.ErrInvalid, "extra spec %.100q has %.64q, which is not an amount", key, value).WithField(key)
		}
		if err := checkClass(class); err != nil {
			return nil, err
		}
		out[class] += n
	}
	own := func(class string, n int64) {
		if _, ok := out[class]; !ok {
			out[class] = n
		}
	}
	if _, pinned := out["PCPU"]; !pinned {
		own(VCPU, f.VCPUs)
	}
	own(MemoryMB, f.MemoryMB)
	disk := f.EphemeralGB + (f.SwapMB+1023)/1024
	if !volumeBacked {
		disk += f.RootGB
	}
	own(DiskGB, disk)
	for class, n := range out {
		if n == 0 {
			delete(out, class)
		}
	}
	return out, out.check("flavor's amount")
}
