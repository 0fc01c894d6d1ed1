package nephos_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/nephos-cloud/nephos"

// layer says what the packages of one room may import of this module. Names
// ending in /... stand for everything below, the name itself included.
type layer struct {
	rooms []string
	may   []string
}

var kinds = []string{"driver", "driver/hypervisor", "driver/network", "driver/volume", "driver/blob"}

func services(more ...string) []string {
	return append(append([]string{".", "identity/policy", "store", "reconcile", "scheduler", "scheduler/sqlstore"}, kinds...), more...)
}

// layers is the import table of CONTRIBUTING.md. The first layer whose rooms
// match a package decides.
var layers = []layer{
	{[]string{"."}, nil},
	{[]string{"driver"}, []string{"."}},
	{[]string{"driver/plugin/..."}, append([]string{".", "scheduler", "scheduler/extension", "scheduler/extension/extensiontest", "driver/plugin/...", "driver/drivertest", "driver/hypervisor/hypervisortest", "driver/network/networktest", "driver/volume/volumetest", "driver/blob/blobtest"}, kinds...)},
	{kinds[1:], []string{".", "driver", "driver/internal/keyed"}},
	{[]string{"driver/internal/..."}, []string{"."}},
	{[]string{"driver/drivertest"}, nil},
	{[]string{"driver/hypervisor/..."}, []string{".", "driver", "driver/hypervisor/...", "driver/internal/...", "driver/drivertest"}},
	{[]string{"driver/network/..."}, []string{".", "driver", "driver/network/...", "driver/internal/...", "driver/drivertest"}},
	{[]string{"driver/volume/..."}, []string{".", "driver", "driver/volume/...", "driver/internal/...", "driver/drivertest"}},
	{[]string{"driver/blob/..."}, []string{".", "driver", "driver/blob/...", "driver/internal/...", "driver/drivertest"}},
	{[]string{"store"}, []string{"."}},
	{[]string{"store/storetest"}, []string{".", "store"}},
	{[]string{"reconcile"}, []string{".", "store"}},
	{[]string{"bus"}, []string{"."}},
	{[]string{"httpapi"}, []string{".", "httpapi/pyrepr"}},
	{[]string{"httpapi/pyrepr"}, nil},
	{[]string{"httpapi/schema"}, []string{"httpapi/pyrepr"}},
	{[]string{"httpapi/apitest"}, []string{".", "httpapi", "identity/policy"}},
	{[]string{"identity/policy"}, []string{"."}},
	{[]string{"scheduler"}, []string{"."}},
	{[]string{"scheduler/config"}, []string{".", "scheduler", "scheduler/cel", "scheduler/extension"}},
	{[]string{"scheduler/explain"}, []string{".", "scheduler", "scheduler/heatmap", "scheduler/sqlstore", "httpapi", "identity/policy"}},
	{[]string{"scheduler/extension"}, []string{".", "scheduler"}},
	{[]string{"scheduler/extension/extensiontest"}, []string{".", "scheduler", "scheduler/extension", "driver/drivertest"}},
	{[]string{"scheduler/heatmap"}, []string{".", "scheduler"}},
	{[]string{"scheduler/cel"}, []string{".", "scheduler"}},
	{[]string{"scheduler/trace"}, []string{".", "scheduler"}},
	{[]string{"scheduler/sqlstore"}, []string{".", "store", "scheduler", "scheduler/trace"}},
	{[]string{"scheduler/lab", "scheduler/lab/..."}, []string{".", "store", "scheduler", "scheduler/..."}},
	{[]string{"scheduler/placement"}, []string{".", "scheduler", "scheduler/sqlstore", "httpapi", "httpapi/pyrepr", "httpapi/schema", "identity/policy", "store"}},
	{[]string{"agent"}, append([]string{".", "bus"}, kinds...)},
	{[]string{"identity"}, services()},
	{[]string{"image"}, services("image/inspect")},
	{[]string{"image/inspect"}, []string{"."}},
	{[]string{"network"}, services()},
	{[]string{"blockstorage"}, services("image", "image/inspect")},
	{[]string{"compute/metadata"}, []string{".", "driver/hypervisor"}},
	{[]string{"compute/console"}, []string{".", "driver", "compute"}},
	{[]string{"compute"}, services("image", "network", "blockstorage", "identity", "compute/metadata")},
	{[]string{"identity/keystone"}, []string{".", "httpapi", "httpapi/pyrepr", "httpapi/schema", "identity", "identity/policy"}},
	{[]string{"image/glance"}, []string{".", "httpapi", "image", "identity/policy"}},
	{[]string{"network/neutron"}, []string{".", "httpapi", "httpapi/schema", "network", "identity/policy"}},
	{[]string{"blockstorage/cinder"}, []string{".", "httpapi", "httpapi/pyrepr", "httpapi/schema", "blockstorage", "identity/policy"}},
	{[]string{"compute/nova"}, []string{".", "httpapi", "httpapi/pyrepr", "httpapi/schema", "compute", "compute/console", "identity/policy"}},
	{[]string{"watch"}, []string{".", "identity/policy", "store"}},
	{[]string{"watch/sse"}, []string{".", "httpapi", "watch"}},
	{[]string{"faults"}, []string{".", "bus", "driver", "httpapi", "identity/policy", "reconcile"}},
	{[]string{"cloud"}, []string{
		".", "faults", "watch/...", "identity/...", "image/...", "network/...", "blockstorage/...", "compute/...", "scheduler/...",
		"agent", "bus", "store", "reconcile", "httpapi", "driver", "driver/hypervisor", "driver/network", "driver/volume", "driver/blob",
	}},
	{[]string{"cloud/cloudtest"}, []string{
		".", "cloud", "faults", "identity/...", "image/...", "network/...", "blockstorage/...", "compute/...", "scheduler/...",
		"agent", "bus", "store", "store/storetest", "reconcile", "httpapi", "driver", "driver/hypervisor", "driver/network", "driver/volume", "driver/blob",
		"driver/hypervisor/fake", "driver/network/fake", "driver/volume/fake", "driver/blob/mem",
	}},
	{[]string{"examples/...", "e2e/...", "bench/..."}, []string{"/..."}},
}

func matches(pattern, pkg string) bool {
	if pattern == "/..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == base || strings.HasPrefix(pkg, base+"/")
	}
	return pattern == pkg
}

func anyMatches(patterns []string, pkg string) bool {
	for _, p := range patterns {
		if matches(p, pkg) {
			return true
		}
	}
	return false
}

func rel(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// The design's table of who may import whom, for what is built (tests may
// import more: they drive real drivers).
func TestImportsFollowTheTable(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", "./...")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	d := json.NewDecoder(out)
	seen := 0
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		seen++
		pkg := rel(p.ImportPath)
		var may []string
		found := false
		for _, l := range layers {
			if anyMatches(l.rooms, pkg) {
				may, found = l.may, true
				break
			}
		}
		if !found {
			t.Errorf("package %s is not in the table of layers", pkg)
			continue
		}
		for _, i := range p.Imports {
			switch {
			case pkg == "." && strings.Contains(strings.SplitN(i, "/", 2)[0], "."):
				t.Errorf("the root package imports %s; it may import the standard library only", i)
			case strings.HasPrefix(i, module):
				if strings.HasPrefix(rel(i), "examples") && !strings.HasPrefix(pkg, "examples") && !strings.HasPrefix(pkg, "e2e") {
					t.Errorf("%s imports %s; nothing imports examples", pkg, rel(i))
				} else if !anyMatches(may, rel(i)) {
					t.Errorf("%s may not import %s", pkg, rel(i))
				}
			}
		}
	}
	require.NoError(t, cmd.Wait())
	require.Greater(t, seen, 20)
}
