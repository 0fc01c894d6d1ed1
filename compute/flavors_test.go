package compute_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/store"
)

func TestAFlavorLivesAndDies(t *testing.T) {
	eachCatalog(t, func(t *testing.T, c catalog) {
		ctx := c.admin()
		spec := compute.FlavorSpec{ID: "1", Name: " m1.tiny ", VCPUs: 1, MemoryMiB: 512, DiskGiB: 1, SwapMiB: 5, EphemeralGB: 2, Description: ref("tiny")}
		made, err := c.CreateFlavor(ctx, spec)
		require.NoError(t, err)
		require.Equal(t, compute.Flavor{
			ID: "1", Name: "m1.tiny", VCPUs: 1, MemoryMiB: 512, DiskGiB: 1, SwapMiB: 5, EphemeralGB: 2, Description: ref("tiny"),
			RxTxFactor: 1, Public: true, ExtraSpecs: map[string]string{},
		}, made)
		got, err := c.Flavor(c.user(), "1")
		require.NoError(t, err)
		require.Equal(t, made, got)

		spec.Name = "other"
		_, err = c.CreateFlavor(ctx, spec)
		require.ErrorIs(t, err, nephos.ErrConflict)
		require.EqualError(t, err, "Flavor with ID 1 already exists.")
		spec.ID, spec.Name = "", "m1.tiny"
		_, err = c.CreateFlavor(ctx, spec)
		require.EqualError(t, err, "Flavor with name m1.tiny already exists.")

		got, err = c.UpdateFlavor(ctx, "1", nil)
		require.NoError(t, err)
		require.Nil(t, got.Description)

		require.NoError(t, c.DeleteFlavor(ctx, "1"))
		_, err = c.Flavor(ctx, "1")
		require.ErrorIs(t, err, nephos.ErrNotFound)
		require.EqualError(t, err, "Flavor 1 could not be found.")
		require.ErrorIs(t, c.DeleteFlavor(ctx, "1"), nephos.ErrNotFound)
	})
}

func TestBadFlavors(t *testing.T) {
	c := sqliteCatalog(t, nil)
	good := compute.FlavorSpec{Name: "x", VCPUs: 1, MemoryMiB: 1}
	for name, spoil := range map[string]func(*compute.FlavorSpec){
		"no name":      func(s *compute.FlavorSpec) { s.Name = "  " },
		"long name":    func(s *compute.FlavorSpec) { s.Name = strings.Repeat("x", 256) },
		"no CPU":       func(s *compute.FlavorSpec) { s.VCPUs = 0 },
		"no memory":    func(s *compute.FlavorSpec) { s.MemoryMiB = 0 },
		"giant":        func(s *compute.FlavorSpec) { s.DiskGiB = 1 << 31 },
		"negative":     func(s *compute.FlavorSpec) { s.SwapMiB = -1 },
		"rxtx factor":  func(s *compute.FlavorSpec) { s.RxTxFactor = -1 },
		"long id":      func(s *compute.FlavorSpec) { s.ID = strings.Repeat("x", 256) },
		"no ephemeral": func(s *compute.FlavorSpec) { s.EphemeralGB = -1 },
	} {
		spec := good
		spoil(&spec)
		_, err := c.CreateFlavor(c.admin(), spec)
		require.ErrorIs(t, err, nephos.ErrInvalid, name)
	}
}

func TestFlavorsAreListed(t *testing.T) {
	eachCatalog(t, func(t *testing.T, c catalog) {
		for i, name := range []string{"a", "b", "c", "d", "e"} {
			_, err := c.CreateFlavor(c.admin(), compute.FlavorSpec{
				ID: string(rune('5' - i)), Name: name, VCPUs: i%2 + 1, MemoryMiB: 512 << i, DiskGiB: i, Private: name == "e",
			})
			require.NoError(t, err)
		}
		ids := func(ctx func() ([]compute.Flavor, bool, error)) string {
			list, _, err := ctx()
			require.NoError(t, err)
			out := ""
			for _, f := range list {
				out += f.ID
			}
			return out
		}
		list := func(f compute.FlavorFilter, p nephos.Page) string {
			return ids(func() ([]compute.Flavor, bool, error) { return c.ListFlavors(c.admin(), f, p) })
		}
		public := compute.FlavorFilter{Public: ref(true)}
		require.Equal(t, "2345", list(public, nephos.Page{}))
		require.Equal(t, "1", list(compute.FlavorFilter{Public: ref(false)}, nephos.Page{}))
		require.Equal(t, "12345", list(compute.FlavorFilter{}, nephos.Page{}))
		require.Equal(t, "23", list(compute.FlavorFilter{Public: ref(true), MinRAM: 2048}, nephos.Page{}))
		require.Equal(t, "2", list(compute.FlavorFilter{Public: ref(true), MinDisk: 3}, nephos.Page{}))
		require.Equal(t, "2345", ids(func() ([]compute.Flavor, bool, error) {
			return c.ListFlavors(c.user(), compute.FlavorFilter{Public: ref(false)}, nephos.Page{})
		}))

		for key := range map[string]bool{
			"created_at": true, "description": true, "disabled": true, "ephemeral_gb": true, "flavorid": true, "id": true, "is_public": true,
			"memory_mb": true, "name": true, "root_gb": true, "rxtx_factor": true, "swap": true, "updated_at": true, "vcpu_weight": true, "vcpus": true,
		} {
			for _, desc := range []bool{false, true} {
				sort := []nephos.SortKey{{Key: key, Desc: desc}}
				all := list(compute.FlavorFilter{}, nephos.Page{Sort: sort})
				require.Len(t, all, 5, key)
				walked, marker := "", ""
				for {
					ctx, queries := store.CountQueries(c.admin())
					page, more, err := c.ListFlavors(ctx, compute.FlavorFilter{}, nephos.Page{Limit: 2, Marker: marker, Sort: sort})
					require.NoError(t, err)
					require.LessOrEqual(t, queries.Load(), int64(2))
					for _, f := range page {
						walked += f.ID
						marker = f.ID
					}
					if !more {
						break
					}
				}
				require.Equal(t, all, walked, "%s %v", key, desc)
			}
		}
		require.Equal(t, "12345", list(compute.FlavorFilter{}, nephos.Page{Sort: []nephos.SortKey{{Key: "memory_mb", Desc: true}}}))
		_, _, err := c.ListFlavors(c.admin(), compute.FlavorFilter{}, nephos.Page{Marker: "nosuch"})
		require.EqualError(t, err, "marker [nosuch] not found")
	})
}

func TestPrivateFlavorsAreSeenByThoseWithAccess(t *testing.T) {
	eachCatalog(t, func(t *testing.T, c catalog) {
		f, err := c.CreateFlavor(c.admin(), compute.FlavorSpec{Name: "secret", VCPUs: 1, MemoryMiB: 1, Private: true})
		require.NoError(t, err)
		_, err = c.Flavor(c.user(), f.ID)
		require.ErrorIs(t, err, nephos.ErrNotFound)
		projects, err := c.AddFlavorAccess(c.admin(), f.ID, project)
		require.NoError(t, err)
		require.Equal(t, []string{project}, projects)
		_, err = c.AddFlavorAccess(c.admin(), f.ID, project)
		require.EqualError(t, err, "Flavor access already exists for flavor "+f.ID+" and project "+project+" combination.")
		_, err = c.Flavor(c.user(), f.ID)
		require.NoError(t, err)
		_, err = c.Flavor(c.stranger(), f.ID)
		require.ErrorIs(t, err, nephos.ErrNotFound)
		list, _, err := c.ListFlavors(c.user(), compute.FlavorFilter{}, nephos.Page{})
		require.NoError(t, err)
		require.Len(t, list, 1)
		projects, err = c.RemoveFlavorAccess(c.admin(), f.ID, project)
		require.NoError(t, err)
		require.Empty(t, projects)
		_, err = c.RemoveFlavorAccess(c.admin(), f.ID, project)
		require.ErrorIs(t, err, nephos.ErrNotFound)
	})
}

func TestExtraSpecs(t *testing.T) {
	eachCatalog(t, func(t *testing.T, c catalog) {
		f, err := c.CreateFlavor(c.admin(), compute.FlavorSpec{ID: "f", Name: "f", VCPUs: 1, MemoryMiB: 1})
		require.NoError(t, err)
		require.NoError(t, c.CreateExtraSpecs(c.admin(), "f", map[string]string{"hw:cpu_policy": "dedicated", "a": "1"}, true))
		require.NoError(t, c.UpdateExtraSpec(c.admin(), "f", "a", "2", true))
		specs, err := c.ExtraSpecs(c.user(), "f")
		require.NoError(t, err)
		require.Equal(t, map[string]string{"hw:cpu_policy": "dedicated", "a": "2"}, specs)
		require.NoError(t, c.DeleteExtraSpec(c.admin(), "f", "a"))
		_, err = c.ExtraSpec(c.user(), "f", "a")
		require.EqualError(t, err, "Flavor f has no extra specs with key a.")
		v, err := c.ExtraSpec(c.user(), f.ID, "hw:cpu_policy")
		require.NoError(t, err)
		require.Equal(t, "dedicated", v)
	})
}

func TestExtraSpecsOfKnownNamespacesAreChecked(t *testing.T) {
	c := sqliteCatalog(t, nil)
	_, err := c.CreateFlavor(c.admin(), compute.FlavorSpec{ID: "f", Name: "f", VCPUs: 1, MemoryMiB: 1})
	require.NoError(t, err)
	for _, tc := range []struct{ key, value, message string }{
		{"hw:cpu_policy", "sharrred", "Validation failed; 'sharrred' is not one of: dedicated, shared, mixed."},
		{"hw:numa_nodes", "0", "Validation failed; '0' is less than the min value of '1'."},
		{"hw:numa_nodes", "two", "Validation failed; 'two' is not a valid integer value."},
		{"os:monitors", "9", "Validation failed; '9' is greater than the max value of '8'."},
		{"hw:boot_menu", "maybe", "Validation failed; 'maybe' is not a valid boolean-like value."},
		{"hw:mem_page_size", "big", `Validation failed; 'big' is not of the format '(large|small|any|\d+([kKMGT]i?)?(b|bit|B)?)'.`},
		{"hw:numa_nodesss", "1", "Validation failed; extra spec 'hw:numa_nodesss' does not appear to be a valid extra spec."},
		{"resources:VCPU", "many", "Validation failed; 'many' is not a valid integer value."},
		{"trait_x:CUSTOM_GOLD", "yes", "Validation failed; 'yes' is not one of: required, forbidden."},
	} {
		err := c.CreateExtraSpecs(c.admin(), "f", map[string]string{tc.key: tc.value}, true)
		require.EqualError(t, err, tc.message)
		require.ErrorIs(t, err, nephos.ErrInvalid)
		require.NoError(t, c.CreateExtraSpecs(c.admin(), "f", map[string]string{tc.key: tc.value}, false))
	}
	for key, value := range map[string]string{
		"mine:anything": "goes", "hw:numa_cpus.1": "1-2,^3", "resources1:CUSTOM_X": "4", "trait:HW_CPU_X86_AVX2": "required",
		"quota:cpu_quota": "-5", "hw:pmu": "Yes", "capabilities:cpu_info:arch": "x86_64",
	} {
		require.NoError(t, c.CreateExtraSpecs(c.admin(), "f", map[string]string{key: value}, true), key)
	}
	require.ErrorIs(t, c.CreateExtraSpecs(c.admin(), "f", map[string]string{"ü": "1"}, false), nephos.ErrInvalid)
	require.ErrorIs(t, c.CreateExtraSpecs(c.admin(), "f", map[string]string{"a": strings.Repeat("x", 256)}, false), nephos.ErrInvalid)
}
