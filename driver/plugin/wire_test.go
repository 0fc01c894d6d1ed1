package plugin

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	blobv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/blob/v1"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
	hypervisorv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/hypervisor/v1"
	networkv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/network/v1"
	volumev1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/volume/v1"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// fill gives every field of a value something that is not its zero.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(int64(*n), int64(*n)).UTC()))
		return
	case reflect.TypeFor[netip.Addr]():
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{10, 0, byte(*n >> 8), byte(*n)})))
		return
	case reflect.TypeFor[netip.Prefix]():
		v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(*n >> 8), byte(*n)}), 24)))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(fmt.Sprint("s", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic("fill: add " + v.Kind().String())
	}
}

// roundTrip sends a filled and a zero value there and back, and remembers the
// types that it has seen.
func roundTrip[T, P any](t *testing.T, seen map[reflect.Type]bool) {
	t.Helper()
	var in, zero T
	n := 0
	fill(reflect.ValueOf(&in).Elem(), &n)
	require.Equal(t, in, wire.From[T](wire.To[P](in)))
	require.Equal(t, zero, wire.From[T](wire.To[P](zero)))
	require.Equal(t, zero, wire.From[T]((*P)(nil)), "an absent message is the zero value")
	require.Equal(t, []T{in, zero}, wire.FromAll[T](wire.ToAll[P]([]T{in, zero})))
	mark(reflect.TypeFor[T](), seen)
}

func mark(t reflect.Type, seen map[reflect.Type]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		mark(t.Elem(), seen)
	case reflect.Struct:
		seen[t] = true
		for i := range t.NumField() {
			mark(t.Field(i).Type, seen)
		}
	}
}

func TestEveryFieldOfEveryTypeSurvivesTheWire(t *testing.T) {
	seen := map[reflect.Type]bool{}
	roundTrip[driver.Disk, driverv1.Disk](t, seen)
	roundTrip[driver.Connection, driverv1.Connection](t, seen)
	roundTrip[driver.Limits, driverv1.Limits](t, seen)
	roundTrip[driver.Image, driverv1.Image](t, seen)

	roundTrip[hypervisor.Host, hypervisorv1.Host](t, seen)
	roundTrip[hypervisor.Spec, hypervisorv1.Spec](t, seen)
	roundTrip[hypervisor.Placement, hypervisorv1.GuestPlacement](t, seen)
	roundTrip[hypervisor.Guest, hypervisorv1.Guest](t, seen)
	roundTrip[hypervisor.Event, hypervisorv1.EventsResponse](t, seen)
	roundTrip[hypervisor.Statistics, hypervisorv1.Statistics](t, seen)
	roundTrip[hypervisor.DiskImage, hypervisorv1.DiskImage](t, seen)
	roundTrip[hypervisor.ImageSpec, hypervisorv1.ImageSpec](t, seen)
	roundTrip[hypervisor.CachedImage, hypervisorv1.CachedImage](t, seen)
	roundTrip[hypervisor.MigrationCheck, hypervisorv1.MigrationCheck](t, seen)
	roundTrip[hypervisor.PrepareOptions, hypervisorv1.PrepareOptions](t, seen)
	roundTrip[hypervisor.MigrationTarget, hypervisorv1.MigrationTarget](t, seen)
	roundTrip[hypervisor.MigrateOptions, hypervisorv1.MigrateOptions](t, seen)
	roundTrip[hypervisor.Migration, hypervisorv1.MigrationStatus](t, seen)

	roundTrip[volume.Spec, volumev1.Spec](t, seen)
	roundTrip[volume.Volume, volumev1.VolumeInfo](t, seen)
	roundTrip[volume.Connector, volumev1.Connector](t, seen)
	roundTrip[volume.Stats, volumev1.Stats](t, seen)
	roundTrip[volume.Location, volumev1.Place](t, seen)
	roundTrip[volume.GroupMember, volumev1.GroupMember](t, seen)
	roundTrip[volume.Adoptable, volumev1.Adoptable](t, seen)
	roundTrip[volume.ImageLocation, volumev1.ImageLocation](t, seen)

	roundTrip[blob.Object, blobv1.Object](t, seen)
	roundTrip[blob.Part, blobv1.Part](t, seen)

	roundTrip[network.Network, networkv1.NetworkSpec](t, seen)
	roundTrip[network.Port, networkv1.Port](t, seen)
	roundTrip[network.Binding, networkv1.Binding](t, seen)
	roundTrip[network.SecurityGroup, networkv1.SecurityGroup](t, seen)
	roundTrip[network.Router, networkv1.Router](t, seen)
	roundTrip[network.Inventory, networkv1.Inventory](t, seen)
	roundTrip[network.Event, networkv1.EventsResponse](t, seen)
	roundTrip[network.Statistics, networkv1.Statistics](t, seen)
	roundTrip[network.Zone, networkv1.Zone](t, seen)
	roundTrip[network.BindOptions, networkv1.BindOptions](t, seen)

	// Those are all: whatever a method of a driver takes or returns was there.
	inHand := map[reflect.Type]bool{ // messages made of their parts, field by field
		reflect.TypeFor[hypervisor.StopOptions](): true,
		reflect.TypeFor[volume.ExtendOptions]():   true,
		reflect.TypeFor[volume.Image]():           true,
	}
	for _, remote := range []any{&remoteHypervisor{}, &remoteNetwork{}, &remoteController{}, &remoteVolume{}, &remoteBlob{}} {
		typ := reflect.TypeOf(remote)
		for m := range typ.NumMethod() {
			f := typ.Method(m).Type
			for i := 1; i < f.NumIn(); i++ {
				requireSeen(t, seen, inHand, typ.Method(m).Name, f.In(i))
			}
			for i := range f.NumOut() {
				requireSeen(t, seen, inHand, typ.Method(m).Name, f.Out(i))
			}
		}
	}
}

func requireSeen(t *testing.T, seen, inHand map[reflect.Type]bool, method string, typ reflect.Type) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Chan || typ.Kind() == reflect.Map {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Struct && strings.Contains(typ.PkgPath(), "/driver") && typ != reflect.TypeFor[Description]() {
		require.True(t, seen[typ] || inHand[typ], "%s uses %s, which no round trip has seen", method, typ)
	}
}
