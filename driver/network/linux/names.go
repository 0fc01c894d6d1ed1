//go:build linux

package linux

import (
	"crypto/sha256"
	"encoding/hex"
)

// short is the first n hexadecimal digits of the text's hash.
func short(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:n]
}

// The names of namespaces; those of interfaces have at most 15 bytes.
func (d *Driver) switchName() string            { return "np-" + short(d.cfg.CloudID, 8) }
func (d *Driver) serviceName(net string) string { return d.switchName() + "-n-" + net }
func (d *Driver) routerName(id string) string   { return d.switchName() + "-r-" + id }

// In the switch.
func bridgeName(net string) string  { return "b" + short(net, 12) }
func tapName(port string) string    { return "t" + short(port, 12) }
func serviceVeth(net string) string { return "s" + short(net, 12) }
func uplinkVeth(net string) string  { return "u" + short(net, 12) }
func tunnelName(net string) string  { return "v" + short(net, 12) }
func routerVeth(port string) string { return "r" + short(port, 12) }
func routerLeg(port string) string  { return "l" + short(port, 12) } // in the router
const serviceLeg = "service"        // in the service's namespace

// hostVeth is in the host's namespace, where clouds may meet.
func (d *Driver) hostVeth(net string) string { return "x" + short(d.cfg.CloudID+"\x00"+net, 12) }
