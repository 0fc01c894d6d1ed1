package qemu

import (
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// The PCI slots of machine pc: bridge 0, ISA bridge 1, then what every guest
// has; disks and cards take the rest and keep theirs as long as the guest has
// them, so that the guest finds them at the same place after a power cycle.
const (
	slotVideo = 2 + iota
	slotBalloon
	slotEntropy
	slotSCSI
	slotSATA
	slotFirst
	slotLast = 31
	pciSlots = slotLast - slotFirst + 1
)

// assignSlots gives every disk and card of the spec that needs one a slot: the
// one it had, else one that nothing had or has, else any that is free.
func assignSlots(had map[string]int, spec hypervisor.Spec) map[string]int {
	slots := make(map[string]int)
	var fresh []string
	want := func(device string) {
		if slot, ok := had[device]; ok {
			slots[device] = slot
		} else {
			fresh = append(fresh, device)
		}
	}
	for _, d := range spec.Disks {
		if busOf(d) == "virtio" {
			want(diskDevice(d.ID))
		}
	}
	for _, n := range spec.NICs {
		want(nicDevice(n.ID))
	}
	free := func(slot int, taken ...map[string]int) bool {
		for _, m := range taken {
			for _, used := range m {
				if used == slot {
					return false
				}
			}
		}
		return true
	}
	for _, device := range fresh {
		best := 0
		for slot := slotFirst; slot <= slotLast; slot++ {
			if !free(slot, slots) {
				continue
			}
			if free(slot, had) {
				best = slot
				break
			}
			if best == 0 {
				best = slot
			}
		}
		slots[device] = best
	}
	return slots
}
