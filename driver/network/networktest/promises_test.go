package networktest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/network/networktest"
)

type (
	drv  = network.Driver
	ctl  = network.Controller
	bind = network.Binding
)

// Each driver here breaks one promise, and the suite must notice.
func TestBrokenPromisesAreNoticed(t *testing.T) {
	type row struct {
		promise, test string
		broken        func(*fake.Driver) drv
	}
	rows := []row{
		{"EnsurePort again is success", "Idempotence", func(d *fake.Driver) drv { return &portsOnce{Driver: d} }},
		{"the tap stays the same", "Idempotence", func(d *fake.Driver) drv { return &movesTaps{Driver: d} }},
		{"the tap stays the same when the port changes", "Idempotence", func(d *fake.Driver) drv { return tapsByRevision{d} }},
		{"each port has a tap of its own", "Idempotence", func(d *fake.Driver) drv { return oneTap{d} }},
		{"a binding says what it is", "Idempotence", func(d *fake.Driver) drv { return untyped{d} }},
		{"a port's network is there", "Order", func(d *fake.Driver) drv { return portsMakeNetworks{d} }},
		{"half a port is not left", "Order", func(d *fake.Driver) drv { return &halfPorts{Driver: d} }},
		{"a port does not wait for its groups", "Order", func(d *fake.Driver) drv { return &portsWaitForGroups{Driver: d} }},
		{"a group may go before its ports", "Order", func(d *fake.Driver) drv { return &groupsWaitForPorts{Driver: d} }},
		{"calls with different IDs run at once", "Concurrency", func(d *fake.Driver) drv { return &oneAtATime{Driver: d} }},
		{"a network with ports stays", "ErrorMeaning", func(d *fake.Driver) drv { return deletesPorts{d} }},
		{"networks are checked", "ErrorMeaning", func(d *fake.Driver) drv { return anyNetwork{d} }},
		{"ports are checked", "ErrorMeaning", func(d *fake.Driver) drv { return anyPort{d} }},
		{"groups are checked", "ErrorMeaning", func(d *fake.Driver) drv { return anyGroup{d} }},
		{"unknown ports are deleted", "ErrorMeaning", func(d *fake.Driver) drv { return strictPorts{d} }},
		{"DeletePort deletes", "DeleteLeavesNone", func(d *fake.Driver) drv { return keepsPorts{d} }},
		{"DeleteNetwork deletes", "DeleteLeavesNone", func(d *fake.Driver) drv { return keepsNetworks{d} }},
		{"ports stay after the driver", "ReopenLosesNone", func(d *fake.Driver) drv { return &forgetsPorts{Driver: d} }},
		{"networks stay after the driver", "ReopenLosesNone", func(d *fake.Driver) drv { return closeDeletes{d} }},
		{"the tap stays after the driver", "ReopenLosesNone", func(d *fake.Driver) drv { return newTaps(d) }},
		{"what the one before made is deleted", "DeleteAfterReopen", func(d *fake.Driver) drv { return &deletesMine{Driver: d} }},
		{"networks have addresses of their own", "SameAddresses", func(d *fake.Driver) drv { return &oneAddress{Driver: d} }},
		{"a router's networks are there", "Routers", func(d *fake.Driver) drv { return routersMakeNetworks{d} }},
		{"a network with a gateway stays", "Routers", func(d *fake.Driver) drv { return forgetsGateways{d} }},
		{"routers stay after the driver", "Routers", func(d *fake.Driver) drv { return &forgetsRouters{Driver: d} }},
		{"a router's feet are no ports", "Routers", func(d *fake.Driver) drv { return feetArePorts{d} }},
		{"floating IPs are checked", "FloatingIPs", func(d *fake.Driver) drv { return anyRouter{d} }},
		{"QoS that is not offered is ErrUnsupported", "QoS", func(d *fake.Driver) drv { return ignoresQoS{d} }},
		{"QoS is checked", "QoS", func(d *fake.Driver) drv { return anyQoS{d} }},
		{"QoS says what it honours", "QoS", func(d *fake.Driver) drv { return noQoS{d} }},
		{"a sub-port's parent is there", "Trunks", func(d *fake.Driver) drv { return orphans{d} }},
		{"a sub-port has its parent's device", "Trunks", func(d *fake.Driver) drv { return ownDevices{d} }},
		{"a parent with sub-ports stays", "Trunks", func(d *fake.Driver) drv { return deletesParents{d} }},
		{"a zone's network is there", "DNS", func(d *fake.Driver) drv { return anyZone{d} }},
		{"a zone goes with its network", "DNS", func(d *fake.Driver) drv { return &zonesHold{Driver: d} }},
		{"unknown zones are deleted", "DNS", func(d *fake.Driver) drv { return &strictZones{Driver: d} }},
		{"ErrNotFound: PortStatistics", "Statistics", func(d *fake.Driver) drv { return countsAll{d} }},
		{"the metadata's socket changes", "Metadata", func(d *fake.Driver) drv { return &servesOnce{Driver: d} }},
		{"events end with their context", "Events", func(d *fake.Driver) drv { return eventsForEver{d} }},
		{"events end with the driver", "Events", func(d *fake.Driver) drv { return eventsOutlive{d} }},
	}
	for test, ops := range map[string][]string{"Cancellation": {"List", "Events", "ServeMetadata"}, "Identifiers": {}} {
		for _, op := range append(ops, "EnsureNetwork", "DeleteNetwork", "EnsurePort", "DeletePort", "EnsureSecurityGroup", "DeleteSecurityGroup",
			"EnsureRouter", "DeleteRouter", "EnsureZone", "DeleteZone", "PortStatistics") {
			rows = append(rows, row{op + ": " + test, test, func(d *fake.Driver) drv {
				return careless{Driver: d, op: op, ctx: test == "Cancellation", id: test == "Identifiers"}
			}})
		}
	}
	for _, r := range rows {
		t.Run(r.promise, func(t *testing.T) {
			states := map[drivertest.T]*fake.State{}
			drivertest.Catch(t, networktest.Tests(func(t drivertest.T) drv {
				if states[t] == nil {
					states[t] = fake.NewState(nil)
				}
				return r.broken(fake.Open(states[t], fake.Options{}))
			}, networktest.Options{}), r.test)
		})
	}
}

func TestBrokenPromisesOfControllersAreNoticed(t *testing.T) {
	type row struct {
		promise, test string
		broken        func(*fake.Controller) ctl
	}
	rows := []row{
		{"a port's network is there", "Objects", func(c *fake.Controller) ctl { return controlsAnyPort{c} }},
		{"ports stay after the controller", "Objects", func(c *fake.Controller) ctl { return &controlForgets{Controller: c} }},
		{"the same binding again", "Bind", func(c *fake.Controller) ctl { return &bindsAnew{Controller: c} }},
		{"bindings stay after the controller", "Bind", func(c *fake.Controller) ctl { return &forgetsBindings{Controller: c} }},
		{"told again a port stays bound", "Bind", func(c *fake.Controller) ctl { return ensureUnbinds{c} }},
		{"a port on its way is bound", "Bind", func(c *fake.Controller) ctl { return bindsAhead{c} }},
		{"Unbind unbinds", "Bind", func(c *fake.Controller) ctl { return bindsForEver{c} }},
		{"a deleted port is not bound", "Bind", func(c *fake.Controller) ctl { return &boundAll{Controller: c} }},
		{"ErrNotFound: Bind", "ErrorMeaning", func(c *fake.Controller) ctl { return bindsNobody{c} }},
		{"unknown hosts are ErrConflict", "ErrorMeaning", func(c *fake.Controller) ctl { return bindsAnywhere{c} }},
		{"unknown ports are unbound", "ErrorMeaning", func(c *fake.Controller) ctl { return strictUnbind{c} }},
		{"routers stay after the controller", "Routers", func(c *fake.Controller) ctl { return closeDeletesRouters{c} }},
		{"a zone's network is there", "Names", func(c *fake.Controller) ctl { return controlsAnyZone{c} }},
		{"events end", "Events", func(c *fake.Controller) ctl { return controlEventsForEver{c} }},
	}
	for test, ops := range map[string][]string{"Cancellation": {"Bound"}, "Identifiers": {}} {
		for _, op := range append(ops, "EnsurePort", "Bind", "Unbind") {
			rows = append(rows, row{op + ": " + test, test, func(c *fake.Controller) ctl {
				return carelessControl{Controller: c, op: op, ctx: test == "Cancellation", id: test == "Identifiers"}
			}})
		}
	}
	for _, r := range rows {
		t.Run(r.promise, func(t *testing.T) {
			states := map[drivertest.T]*fake.State{}
			drivertest.Catch(t, networktest.ControllerTests(func(t drivertest.T) ctl {
				if states[t] == nil {
					states[t] = fake.NewState(nil)
				}
				return r.broken(fake.OpenController(states[t], fake.ControllerOptions{Hosts: []string{"host1", "host2"}}))
			}, networktest.Options{}), r.test)
		})
	}
}

func is(err, kind error) bool { return errors.Is(err, kind) }

// lenient has errors of the kind pass for success.
func lenient(err, kind error) error {
	if is(err, kind) {
		return nil
	}
	return err
}

// loose does not look at a call's context, or its identifier.
func loose(on, ignoresCtx, ignoresID bool, ctx context.Context, id *string) (context.Context, func(error) error) {
	end := func(err error) error { return err }
	if !on {
		return ctx, end
	}
	if ended := ctx.Err(); ignoresCtx && ended != nil {
		ctx = context.WithoutCancel(ctx)
		if id != nil { // it did something, and says that it did nothing
			end = func(err error) error { return errors.Join(err, ended) }
		}
	}
	if ignoresID && network.CheckID(*id) != nil {
		*id = "good"
		end = func(error) error { return nil }
	}
	return ctx, end
}

type careless struct {
	*fake.Driver
	op      string
	ctx, id bool
}

func (d careless) begin(op string, ctx context.Context, id *string) (context.Context, func(error) error) {
	return loose(d.op == op, d.ctx, d.id, ctx, id)
}

func (d careless) List(ctx context.Context) (network.Inventory, error) {
	ctx, _ = d.begin("List", ctx, nil)
	return d.Driver.List(ctx)
}

func (d careless) Events(ctx context.Context) (<-chan network.Event, error) {
	ctx, _ = d.begin("Events", ctx, nil)
	return d.Driver.Events(ctx)
}

func (d careless) ServeMetadata(ctx context.Context, socket string) error {
	ctx, _ = d.begin("ServeMetadata", ctx, nil)
	return d.Driver.ServeMetadata(ctx, socket)
}

func (d careless) EnsureNetwork(ctx context.Context, id string, n network.Network) error {
	ctx, end := d.begin("EnsureNetwork", ctx, &id)
	return end(d.Driver.EnsureNetwork(ctx, id, n))
}

func (d careless) DeleteNetwork(ctx context.Context, id string) error {
	ctx, end := d.begin("DeleteNetwork", ctx, &id)
	return end(d.Driver.DeleteNetwork(ctx, id))
}

func (d careless) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	ctx, end := d.begin("EnsurePort", ctx, &id)
	b, err := d.Driver.EnsurePort(ctx, id, p)
	return b, end(err)
}

func (d careless) DeletePort(ctx context.Context, id string) error {
	ctx, end := d.begin("DeletePort", ctx, &id)
	return end(d.Driver.DeletePort(ctx, id))
}

func (d careless) EnsureSecurityGroup(ctx context.Context, id string, g network.SecurityGroup) error {
	ctx, end := d.begin("EnsureSecurityGroup", ctx, &id)
	return end(d.Driver.EnsureSecurityGroup(ctx, id, g))
}

func (d careless) DeleteSecurityGroup(ctx context.Context, id string) error {
	ctx, end := d.begin("DeleteSecurityGroup", ctx, &id)
	return end(d.Driver.DeleteSecurityGroup(ctx, id))
}

func (d careless) EnsureRouter(ctx context.Context, id string, r network.Router) error {
	ctx, end := d.begin("EnsureRouter", ctx, &id)
	return end(d.Driver.EnsureRouter(ctx, id, r))
}

func (d careless) DeleteRouter(ctx context.Context, id string) error {
	ctx, end := d.begin("DeleteRouter", ctx, &id)
	return end(d.Driver.DeleteRouter(ctx, id))
}

// What zones there are the suite cannot see: these lie about what they did.
func (d careless) EnsureZone(ctx context.Context, id string, z network.Zone) error {
	ctx, end := d.begin("EnsureZone", ctx, &id)
	err := end(d.Driver.EnsureZone(ctx, id, z))
	if d.op == "EnsureZone" && d.ctx {
		return lenient(err, context.Canceled)
	}
	return err
}

func (d careless) DeleteZone(ctx context.Context, id string) error {
	ctx, end := d.begin("DeleteZone", ctx, &id)
	err := end(d.Driver.DeleteZone(ctx, id))
	if d.op == "DeleteZone" && d.ctx {
		return lenient(err, context.Canceled)
	}
	return err
}

func (d careless) PortStatistics(ctx context.Context, id string) (network.Statistics, error) {
	ctx, end := d.begin("PortStatistics", ctx, &id)
	s, err := d.Driver.PortStatistics(ctx, id)
	err = end(err)
	if d.op == "PortStatistics" && d.ctx {
		err = lenient(err, context.Canceled)
	}
	return s, err
}

type carelessControl struct {
	*fake.Controller
	op      string
	ctx, id bool
}

func (c carelessControl) EnsurePort(ctx context.Context, id string, p network.Port) error {
	ctx, end := loose(c.op == "EnsurePort", c.ctx, c.id, ctx, &id)
	return end(c.Controller.EnsurePort(ctx, id, p))
}

func (c carelessControl) Bind(ctx context.Context, id, host string, o network.BindOptions) (bind, error) {
	ctx, end := loose(c.op == "Bind", c.ctx, c.id, ctx, &id)
	b, err := c.Controller.Bind(ctx, id, host, o)
	return b, end(err)
}

func (c carelessControl) Unbind(ctx context.Context, id string) error {
	ctx, end := loose(c.op == "Unbind", c.ctx, c.id, ctx, &id)
	return end(c.Controller.Unbind(ctx, id))
}

func (c carelessControl) Bound(ctx context.Context) (map[string]string, error) {
	ctx, _ = loose(c.op == "Bound", c.ctx, false, ctx, nil)
	return c.Controller.Bound(ctx)
}

type portsOnce struct {
	*fake.Driver
	mine sync.Map
}

func (d *portsOnce) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	b, err := d.Driver.EnsurePort(ctx, id, p)
	if _, again := d.mine.LoadOrStore(id, true); again && err == nil {
		return b, nephos.Errorf(nephos.ErrConflict, "port %s is there", id)
	}
	return b, err
}

type movesTaps struct {
	*fake.Driver
	n atomic.Int64
}

func (d *movesTaps) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	b, err := d.Driver.EnsurePort(ctx, id, p)
	b.Device = fmt.Sprint("tap", d.n.Add(1))
	return b, err
}

type tapsByRevision struct{ *fake.Driver }

func (d tapsByRevision) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	b, err := d.Driver.EnsurePort(ctx, id, p)
	b.Device = fmt.Sprint("t", p.Revision, b.Device[:min(len(b.Device), 9)])
	return b, err
}

var runs atomic.Int64

// newTaps has taps of this run.
func newTaps(d *fake.Driver) drv { return tapsOf{d, runs.Add(1)} }

type tapsOf struct {
	*fake.Driver
	run int64
}

func (d tapsOf) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	b, err := d.Driver.EnsurePort(ctx, id, p)
	b.Device = fmt.Sprint("t", d.run, b.Device[:min(len(b.Device), 9)])
	return b, err
}

type oneTap struct{ *fake.Driver }

func (d oneTap) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	b, err := d.Driver.EnsurePort(ctx, id, p)
	b.Device = "tap0"
	return b, err
}

type untyped struct{ *fake.Driver }

func (d untyped) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	b, err := d.Driver.EnsurePort(ctx, id, p)
	b.VIFType = ""
	return b, err
}

type portsMakeNetworks struct{ *fake.Driver }

func (d portsMakeNetworks) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	if inv, _ := d.List(ctx); len(inv.Networks) == 0 {
		_ = d.EnsureNetwork(ctx, p.NetworkID, network.Network{})
	}
	return d.Driver.EnsurePort(ctx, id, p)
}

type halfPorts struct {
	*fake.Driver
	half sync.Map
}

func (d *halfPorts) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	b, err := d.Driver.EnsurePort(ctx, id, p)
	if err != nil {
		d.half.Store(id, true)
	}
	return b, err
}

func (d *halfPorts) List(ctx context.Context) (network.Inventory, error) {
	inv, err := d.Driver.List(ctx)
	d.half.Range(func(id, _ any) bool { inv.Ports = append(inv.Ports, id.(string)); return true })
	return inv, err
}

type portsWaitForGroups struct{ *fake.Driver }

func (d *portsWaitForGroups) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	if inv, _ := d.List(ctx); len(inv.SecurityGroups) == 0 && len(inv.Networks) > 0 {
		return bind{}, nephos.Errorf(nephos.ErrConflict, "port %s: its group is not here", id)
	}
	return d.Driver.EnsurePort(ctx, id, p)
}

type groupsWaitForPorts struct{ *fake.Driver }

func (d *groupsWaitForPorts) DeleteSecurityGroup(ctx context.Context, id string) error {
	if inv, _ := d.List(ctx); len(inv.Ports) > 0 {
		return nephos.Errorf(nephos.ErrConflict, "group %s is in use", id)
	}
	return d.Driver.DeleteSecurityGroup(ctx, id)
}

type oneAtATime struct {
	*fake.Driver
	n atomic.Int64
}

func (d *oneAtATime) DeletePort(ctx context.Context, id string) error {
	if d.n.Add(1) == 3 {
		return nephos.Errorf(nephos.ErrConflict, "delete port %s: another one is being deleted", id)
	}
	return d.Driver.DeletePort(ctx, id)
}

type deletesPorts struct{ *fake.Driver }

func (d deletesPorts) DeleteNetwork(ctx context.Context, id string) error {
	inv, _ := d.List(ctx)
	for _, p := range inv.Ports {
		_ = d.DeletePort(ctx, p)
	}
	return d.Driver.DeleteNetwork(ctx, id)
}

type anyNetwork struct{ *fake.Driver }

func (d anyNetwork) EnsureNetwork(ctx context.Context, id string, n network.Network) error {
	if network.CheckID(id) == nil {
		return lenient(d.Driver.EnsureNetwork(ctx, id, n), nephos.ErrInvalid)
	}
	return d.Driver.EnsureNetwork(ctx, id, n)
}

type anyPort struct{ *fake.Driver }

func (d anyPort) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	b, err := d.Driver.EnsurePort(ctx, id, p)
	return b, lenient(err, nephos.ErrInvalid)
}

type anyGroup struct{ *fake.Driver }

func (d anyGroup) EnsureSecurityGroup(ctx context.Context, id string, g network.SecurityGroup) error {
	return lenient(d.Driver.EnsureSecurityGroup(ctx, id, g), nephos.ErrInvalid)
}

type strictPorts struct{ *fake.Driver }

func (d strictPorts) DeletePort(ctx context.Context, id string) error {
	if _, ok := d.State().Port(id); !ok {
		return nephos.NotFound("Port", id)
	}
	return d.Driver.DeletePort(ctx, id)
}

type keepsPorts struct{ *fake.Driver }

func (d keepsPorts) DeletePort(context.Context, string) error { return nil }

type keepsNetworks struct{ *fake.Driver }

func (d keepsNetworks) DeleteNetwork(context.Context, string) error { return nil }

type forgetsPorts struct {
	*fake.Driver
	mine sync.Map
}

func (d *forgetsPorts) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	d.mine.Store(id, true)
	return d.Driver.EnsurePort(ctx, id, p)
}

func (d *forgetsPorts) List(ctx context.Context) (network.Inventory, error) {
	inv, err := d.Driver.List(ctx)
	var mine []string
	for _, id := range inv.Ports {
		if _, ok := d.mine.Load(id); ok {
			mine = append(mine, id)
		}
	}
	inv.Ports = mine
	return inv, err
}

type closeDeletes struct{ *fake.Driver }

func (d closeDeletes) Close() error {
	ctx := context.Background()
	inv, _ := d.List(ctx)
	for _, id := range inv.Ports {
		_ = d.DeletePort(ctx, id)
	}
	for _, id := range inv.Networks {
		_ = d.DeleteNetwork(ctx, id)
	}
	return d.Driver.Close()
}

// deletesMine deletes what this run was told of.
type deletesMine struct {
	*fake.Driver
	mine sync.Map
}

func (d *deletesMine) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	d.mine.Store(id, true)
	return d.Driver.EnsurePort(ctx, id, p)
}

func (d *deletesMine) DeletePort(ctx context.Context, id string) error {
	if _, ok := d.mine.Load(id); !ok {
		return nil
	}
	return d.Driver.DeletePort(ctx, id)
}

type oneAddress struct {
	*fake.Driver
	by sync.Map
}

func (d *oneAddress) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	if other, taken := d.by.LoadOrStore(p.MAC, id); taken && other != id {
		return bind{}, nephos.Errorf(nephos.ErrConflict, "port %s: its address is taken", id)
	}
	return d.Driver.EnsurePort(ctx, id, p)
}

type routersMakeNetworks struct{ *fake.Driver }

func (d routersMakeNetworks) EnsureRouter(ctx context.Context, id string, r network.Router) error {
	err := d.Driver.EnsureRouter(ctx, id, r)
	if is(err, nephos.ErrConflict) {
		return d.Driver.EnsureRouter(ctx, id, network.Router{Name: r.Name})
	}
	return err
}

type forgetsGateways struct{ *fake.Driver }

func (d forgetsGateways) EnsureRouter(ctx context.Context, id string, r network.Router) error {
	if inv, _ := d.List(ctx); len(inv.Networks) > 1 {
		r.Gateway, r.FloatingIPs = nil, nil
	}
	return d.Driver.EnsureRouter(ctx, id, r)
}

type forgetsRouters struct {
	*fake.Driver
	mine atomic.Bool
}

func (d *forgetsRouters) EnsureRouter(ctx context.Context, id string, r network.Router) error {
	d.mine.Store(true)
	return d.Driver.EnsureRouter(ctx, id, r)
}

func (d *forgetsRouters) List(ctx context.Context) (network.Inventory, error) {
	inv, err := d.Driver.List(ctx)
	if !d.mine.Load() {
		inv.Routers = nil
	}
	return inv, err
}

type feetArePorts struct{ *fake.Driver }

func (d feetArePorts) List(ctx context.Context) (network.Inventory, error) {
	inv, err := d.Driver.List(ctx)
	inv.Ports = append(inv.Ports, inv.Routers...)
	return inv, err
}

type anyRouter struct{ *fake.Driver }

func (d anyRouter) EnsureRouter(ctx context.Context, id string, r network.Router) error {
	return lenient(d.Driver.EnsureRouter(ctx, id, r), nephos.ErrInvalid)
}

// ignoresQoS takes rules that it does not honour.
type ignoresQoS struct{ *fake.Driver }

func (d ignoresQoS) QoSRules() []string { return []string{"bandwidth_limit"} }

type anyQoS struct{ *fake.Driver }

func (d anyQoS) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	if p.QoS.Rules() == nil {
		p.QoS = nil
	}
	return d.Driver.EnsurePort(ctx, id, p)
}

type noQoS struct{ *fake.Driver }

func (d noQoS) QoSRules() []string { return nil }

type orphans struct{ *fake.Driver }

func (d orphans) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	if p.Parent != nil {
		if _, ok := d.State().Port(p.Parent.PortID); !ok {
			p.Parent = nil
		}
	}
	return d.Driver.EnsurePort(ctx, id, p)
}

type ownDevices struct{ *fake.Driver }

func (d ownDevices) EnsurePort(ctx context.Context, id string, p network.Port) (bind, error) {
	b, err := d.Driver.EnsurePort(ctx, id, p)
	b.Device = "tap" + id[:min(11, len(id))]
	return b, err
}

type deletesParents struct{ *fake.Driver }

func (d deletesParents) DeletePort(ctx context.Context, id string) error {
	return lenient(d.Driver.DeletePort(ctx, id), nephos.ErrConflict)
}

type anyZone struct{ *fake.Driver }

func (d anyZone) EnsureZone(ctx context.Context, id string, z network.Zone) error {
	return lenient(d.Driver.EnsureZone(ctx, id, z), nephos.ErrConflict)
}

type zonesHold struct {
	*fake.Driver
	zones sync.Map
}

func (d *zonesHold) EnsureZone(ctx context.Context, id string, z network.Zone) error {
	err := d.Driver.EnsureZone(ctx, id, z)
	if err == nil {
		d.zones.Store(id, true)
	}
	return err
}

func (d *zonesHold) DeleteZone(ctx context.Context, id string) error {
	d.zones.Delete(id)
	return d.Driver.DeleteZone(ctx, id)
}

func (d *zonesHold) DeleteNetwork(ctx context.Context, id string) error {
	if _, ok := d.zones.Load(id); ok {
		return nephos.Errorf(nephos.ErrConflict, "network %s has a zone", id)
	}
	return d.Driver.DeleteNetwork(ctx, id)
}

type strictZones struct {
	*fake.Driver
	gone sync.Map
}

func (d *strictZones) DeleteZone(ctx context.Context, id string) error {
	if _, again := d.gone.LoadOrStore(id, true); again {
		return nephos.NotFound("Zone", id)
	}
	return d.Driver.DeleteZone(ctx, id)
}

type countsAll struct{ *fake.Driver }

func (d countsAll) PortStatistics(ctx context.Context, id string) (network.Statistics, error) {
	s, err := d.Driver.PortStatistics(ctx, id)
	return s, lenient(err, nephos.ErrNotFound)
}

type servesOnce struct {
	*fake.Driver
	n atomic.Int64
}

func (d *servesOnce) ServeMetadata(ctx context.Context, socket string) error {
	if d.n.Add(1) > 1 {
		return nephos.Errorf(nephos.ErrConflict, "metadata is served already")
	}
	return d.Driver.ServeMetadata(ctx, socket)
}

type eventsForEver struct{ *fake.Driver }

func (d eventsForEver) Events(ctx context.Context) (<-chan network.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	_, err := d.Driver.Events(ctx)
	return make(chan network.Event), err
}

type eventsOutlive struct{ *fake.Driver }

func (d eventsOutlive) Events(ctx context.Context) (<-chan network.Event, error) {
	events := make(chan network.Event)
	go func() {
		<-ctx.Done()
		close(events)
	}()
	return events, ctx.Err()
}

type controlsAnyPort struct{ *fake.Controller }

func (c controlsAnyPort) EnsurePort(ctx context.Context, id string, p network.Port) error {
	return lenient(c.Controller.EnsurePort(ctx, id, p), nephos.ErrConflict)
}

type controlForgets struct {
	*fake.Controller
	mine atomic.Bool
}

func (c *controlForgets) EnsureNetwork(ctx context.Context, id string, n network.Network) error {
	c.mine.Store(true)
	return c.Controller.EnsureNetwork(ctx, id, n)
}

func (c *controlForgets) List(ctx context.Context) (network.Inventory, error) {
	inv, err := c.Controller.List(ctx)
	if !c.mine.Load() {
		inv.Ports = nil
	}
	return inv, err
}

type bindsAnew struct {
	*fake.Controller
	n atomic.Int64
}

func (c *bindsAnew) Bind(ctx context.Context, id, host string, o network.BindOptions) (bind, error) {
	b, err := c.Controller.Bind(ctx, id, host, o)
	b.Device = fmt.Sprint("tap", c.n.Add(1))
	return b, err
}

type forgetsBindings struct {
	*fake.Controller
	mine atomic.Bool
}

func (c *forgetsBindings) Bind(ctx context.Context, id, host string, o network.BindOptions) (bind, error) {
	c.mine.Store(true)
	return c.Controller.Bind(ctx, id, host, o)
}

func (c *forgetsBindings) Bound(ctx context.Context) (map[string]string, error) {
	if !c.mine.Load() {
		return nil, nil
	}
	return c.Controller.Bound(ctx)
}

type ensureUnbinds struct{ *fake.Controller }

func (c ensureUnbinds) EnsurePort(ctx context.Context, id string, p network.Port) error {
	return errors.Join(c.Controller.EnsurePort(ctx, id, p), c.Unbind(ctx, id))
}

type bindsAhead struct{ *fake.Controller }

func (c bindsAhead) Bind(ctx context.Context, id, host string, o network.BindOptions) (bind, error) {
	if o.MigratingTo != "" {
		host = o.MigratingTo
	}
	return c.Controller.Bind(ctx, id, host, o)
}

type bindsForEver struct{ *fake.Controller }

func (c bindsForEver) Unbind(context.Context, string) error { return nil }

// boundAll tells again of what it has told of.
type boundAll struct {
	*fake.Controller
	told sync.Map
}

func (c *boundAll) Unbind(ctx context.Context, id string) error {
	c.told.Delete(id)
	return c.Controller.Unbind(ctx, id)
}

func (c *boundAll) Bound(ctx context.Context) (map[string]string, error) {
	hosts, err := c.Controller.Bound(ctx)
	for id, host := range hosts {
		c.told.Store(id, host)
	}
	c.told.Range(func(id, host any) bool { hosts[id.(string)] = host.(string); return true })
	return hosts, err
}

type bindsNobody struct{ *fake.Controller }

func (c bindsNobody) Bind(ctx context.Context, id, host string, o network.BindOptions) (bind, error) {
	b, err := c.Controller.Bind(ctx, id, host, o)
	return b, lenient(err, nephos.ErrNotFound)
}

type bindsAnywhere struct{ *fake.Controller }

func (c bindsAnywhere) Bind(ctx context.Context, id, host string, o network.BindOptions) (bind, error) {
	b, err := c.Controller.Bind(ctx, id, host, o)
	return b, lenient(err, nephos.ErrConflict)
}

type strictUnbind struct{ *fake.Controller }

func (c strictUnbind) Unbind(ctx context.Context, id string) error {
	bound, _ := c.Bound(ctx)
	if _, ok := bound[id]; !ok {
		return nephos.NotFound("Port", id)
	}
	return c.Controller.Unbind(ctx, id)
}

type closeDeletesRouters struct{ *fake.Controller }

func (c closeDeletesRouters) Close() error {
	inv, _ := c.List(context.Background())
	for _, id := range inv.Routers {
		_ = c.DeleteRouter(context.Background(), id)
	}
	return c.Controller.Close()
}

type controlsAnyZone struct{ *fake.Controller }

func (c controlsAnyZone) EnsureZone(ctx context.Context, id string, z network.Zone) error {
	return lenient(c.Controller.EnsureZone(ctx, id, z), nephos.ErrConflict)
}

type controlEventsForEver struct{ *fake.Controller }

func (c controlEventsForEver) Events(ctx context.Context) (<-chan network.Event, error) {
	return make(chan network.Event), ctx.Err()
}
