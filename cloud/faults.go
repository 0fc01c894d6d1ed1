package cloud

import (
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// withFaults puts what the rules of cfg.Faults say between the parts.
func withFaults(cfg Config) Config {
	set := cfg.Faults
	set.Attach(cfg.Clock, cfg.Log)
	cfg.Crash = set.CrashPoint(cfg.Crash, nil)
	cfg.Bus = set.Wire(cfg.Bus)
	for _, blobs := range append([]*blob.Store{cfg.Blobs}, cfg.MoreBlobs...) {
		blobs.Intercept(set.Intercept(""))
	}
	for _, pool := range append([]*volume.Pool{cfg.Volumes}, cfg.MoreVolumes...) {
		pool.Intercept(set.Intercept(""))
	}
	for _, h := range cfg.Hosts {
		h.Hypervisor.Intercept(set.Intercept(h.Name))
		h.Network.Intercept(set.Intercept(h.Name))
	}
	return cfg
}
