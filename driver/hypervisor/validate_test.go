package hypervisor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

func TestValidate(t *testing.T) {
	good := spec()
	good.NICs = []driver.NIC{{ID: "port", MAC: "fa:16:3e:00:00:01", MTU: 1450}}
	require.NoError(t, good.Validate())
	for field, change := range map[string]func(*hypervisor.Spec){
		"vcpus":        func(s *hypervisor.Spec) { s.VCPUs = -1 },
		"memory":       func(s *hypervisor.Spec) { s.MemoryMiB = 0 },
		"firmware":     func(s *hypervisor.Spec) { s.Firmware = "coreboot" },
		"disks[0]: ID": func(s *hypervisor.Spec) { s.Disks[0].ID = "a,b" },
		"Format":       func(s *hypervisor.Spec) { s.Disks[0].Format = "vmdk" },
		"Base is set": func(s *hypervisor.Spec) {
			s.Disks[0] = driver.Disk{ID: "v", Format: "raw", Source: driver.Connection{Type: "rbd"}, Base: &driver.Image{}}
		},
		"Base.Format":   func(s *hypervisor.Spec) { s.Disks[0].Base = &driver.Image{Format: "auto"} },
		"Bus":           func(s *hypervisor.Spec) { s.Disks[0].Bus = "nvme" },
		"Source.Type":   func(s *hypervisor.Spec) { s.Disks[0].Source.Type, s.Disks[0].Format = "", "raw" },
		"SizeBytes":     func(s *hypervisor.Spec) { s.Disks[0].SizeBytes = -1 },
		"Serial":        func(s *hypervisor.Spec) { s.Disks[0].Serial = "a\nb" },
		"nics[0].MTU":   func(s *hypervisor.Spec) { s.NICs[0].MTU = 1 },
		"nics[0].MAC":   func(s *hypervisor.Spec) { s.NICs[0].MAC = "01:00:5e:00:00:01" },
		"nics[0].Model": func(s *hypervisor.Spec) { s.NICs[0].Model = "rtl8139" },
		"nics[1].ID":    func(s *hypervisor.Spec) { s.NICs = append(s.NICs, s.NICs[0]) },
		"disks has 65":  func(s *hypervisor.Spec) { s.Disks = make([]driver.Disk, 65) },
		"nics has 65":   func(s *hypervisor.Spec) { s.NICs = make([]driver.NIC, 65) },
	} {
		s := spec()
		s.NICs = []driver.NIC{{ID: "port", MAC: "fa:16:3e:00:00:01"}}
		change(&s)
		err := s.Validate()
		require.ErrorIs(t, err, nephos.ErrInvalid, field)
		require.ErrorContains(t, err, field)
	}
}
