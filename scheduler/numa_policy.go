package scheduler

import "strconv"

// emulator reads the policy for the hypervisor's threads, which a flavor has and
// an image has not.
func (p *numaParser) emulator() string {
	switch v := p.specs["hw:emulator_threads_policy"]; v {
	case "", "share", "isolate":
		return v
	default:
		p.fail("hw:emulator_threads_policy", "is %.40q, which is none of share, isolate", v)
		return ""
	}
}

// placementPolicy is the policy for CPUs where the flavor says it in the Placement
// API's terms: resources:PCPU is dedicated, for all CPUs and one more for the
// emulator if that has its own.
func (p *numaParser) placementPolicy(policy string, vcpus int64, emulator string) string {
	v := p.specs["resources:PCPU"]
	n, err := strconv.ParseInt(v, 10, 64)
	if v == "" || err == nil && n == 0 {
		return policy
	}
	want := vcpus
	if emulator == "isolate" {
		want++
	}
	shared := p.specs["resources:VCPU"]
	switch {
	case policy != "":
		p.fail("resources:PCPU", "and hw:cpu_policy cannot both be given")
	case shared != "" && shared != "0":
		p.fail("resources:PCPU", "and resources:VCPU cannot both be given")
	case err != nil || n != want:
		p.fail("resources:PCPU", "is %.40q, and the server has %d CPUs for itself", v, want)
	}
	return "dedicated"
}

// needDedicated refuses policies that speak of CPUs that the server has not.
func (p *numaParser) needDedicated(policy string, r *NUMARequest) {
	switch {
	case policy == "dedicated" || policy == "mixed":
	case r.Threads != "":
		p.fail("hw:cpu_thread_policy", "cannot be set in a non dedicated cpu pinning policy")
	case r.Emulator == "isolate":
		p.fail("hw:emulator_threads_policy", "isolate requires a dedicated CPU policy option")
	}
}

// Pin has a server take for itself the CPUs that its flavor's extra specs or its
// image's properties say are its own, beside one for the emulator's threads if it
// isolates these: they move from VCPU to PCPU. vcpus and memoryMB are the guest's
// size; see [ParseNUMA], whose errors it has.
func (r Resources) Pin(specs, image map[string]string, vcpus, memoryMB int64) error {
	numa, err := ParseNUMA(specs, image, vcpus, memoryMB)
	if err != nil || numa == nil || r[PCPU] > 0 { // the flavor says so in Placement's terms
		return err
	}
	for _, c := range numa.Cells {
		r[PCPU] += c.PCPUs
		r[VCPU] -= int64(len(c.Dedicated))
	}
	for _, class := range []string{PCPU, VCPU} {
		if r[class] <= 0 {
			delete(r, class)
		}
	}
	return nil
}
