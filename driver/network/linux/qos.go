//go:build linux

package linux

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"

	"github.com/nephos-cloud/nephos/driver/network"
)

var _ network.QoSDriver = (*Driver)(nil)

// qosRules are the kinds that the port's chains can keep.
var qosRules = []string{"bandwidth_limit", "packet_rate_limit"}

// QoSRules implements [network.QoSDriver]. What is above a limit is dropped, in
// the chains of the port; a port without port security has none.
func (d *Driver) QoSRules() []string { return slices.Clone(qosRules) }

// checkQoS refuses what the port's chains cannot keep.
func checkQoS(p network.Port) error {
	rules := p.QoS.Rules()
	for _, kind := range rules {
		if !slices.Contains(qosRules, kind) {
			return fmt.Errorf("QoS: rule %s: %w", kind, errors.ErrUnsupported)
		}
	}
	if len(rules) > 0 && !p.PortSecurity {
		return fmt.Errorf("QoS: of a port without port security: %w", errors.ErrUnsupported)
	}
	return nil
}

// limitRules drop what is above a bandwidth.
func limitRules(b network.Bandwidth) (rules [][]expr.Any) {
	above := func(kind expr.LimitType, rate, burst int) {
		rules = append(rules, match([]expr.Any{&expr.Limit{
			Type: kind, Rate: uint64(rate), Unit: expr.LimitTimeSecond, Burst: uint32(burst), Over: true, //nolint:gosec // checked to be positive
		}}, drop))
	}
	if b.MaxKbps > 0 {
		burst := b.MaxBurstKb
		if burst == 0 {
			burst = max(1, b.MaxKbps*8/10) // as the Networking API has it by default
		}
		above(expr.LimitTypePktBytes, b.MaxKbps*125, max(burst*125, 2000)) // a frame fits
	}
	if b.MaxKpps > 0 {
		burst := b.MaxBurstKpps
		if burst == 0 {
			burst = max(1, b.MaxKpps*8/10)
		}
		above(expr.LimitTypePkts, b.MaxKpps*1000, burst*1000)
	}
	return rules
}
