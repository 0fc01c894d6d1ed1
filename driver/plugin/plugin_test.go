package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
)

// The test binary is also the plugin that the tests launch.
func TestMain(m *testing.M) {
	if os.Getenv("NEPHOS_TEST_PLUGIN") == "1" {
		d, err := fake.Open(fake.Config{CloudID: "cloud", Name: "plugged"})
		if err == nil {
			err = Serve(d)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	hclog.SetDefault(hclog.NewNullLogger())
	os.Exit(m.Run())
}

// bridged opens the driver behind a real gRPC connection in this process.
func bridged(dt drivertest.T, d hypervisor.Driver) hypervisor.Driver {
	t := dt.(testing.TB)
	t.Setenv(goplugin.EnvUnixSocketDir, "")
	client, _ := goplugin.TestPluginGRPCConn(t, false, map[string]goplugin.Plugin{"hypervisor": &hypervisorPlugin{driver: d}})
	raw, err := client.Dispense("hypervisor")
	require.NoError(t, err)
	remote := raw.(*remoteHypervisor)
	require.NoError(t, remote.ask(t.Context()))
	closed := false
	remote.stop = func() error {
		if closed {
			return nil
		}
		closed = true
		err := client.Close()
		return errors.Join(err, d.Close())
	}
	return remote
}

func TestTheWholeSuitePassesThroughGRPC(t *testing.T) {
	state := fake.NewState()
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		d, err := fake.Open(fake.Config{CloudID: "cloud", Name: "host1", State: state})
		require.NoError(t, err)
		return bridged(t, d)
	}, hypervisortest.Options{
		CloudID: "cloud", BootText: "nephos-guest: ready", Alive: true, Guests: 20,
		NIC: func(_ drivertest.T, n int) driver.NIC {
			return driver.NIC{ID: "port", MAC: "02:00:00:00:00:01", Device: "tap0"}
		},
		PowerOff: func(t drivertest.T, id string) { require.NoError(t, state.PowerOff(id)) },
		Crash:    func(t drivertest.T, id string) { require.NoError(t, state.Crash(id)) },
	})
}

func launch(t *testing.T) hypervisor.Driver {
	self, err := os.Executable()
	require.NoError(t, err)
	d, err := LaunchHypervisor(t.Context(), self, LaunchOptions{Env: []string{"NEPHOS_TEST_PLUGIN=1"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func TestADriverInAnotherProcess(t *testing.T) {
	d := launch(t)
	node, err := hypervisor.NewNode(t.Context(), d, hypervisor.NodeOptions{})
	require.NoError(t, err)
	require.True(t, node.Can("Pauser"))
	_, err = node.Get(t.Context(), "none")
	require.ErrorIs(t, err, nephos.ErrNotFound, "errors keep their meaning")
	spec := hypervisor.Spec{CloudID: "cloud", Name: "one", VCPUs: 1, MemoryMiB: 64}
	require.NoError(t, node.Ensure(t.Context(), "one", spec))
	require.NoError(t, node.Start(t.Context(), "one"))
	g, err := node.Get(t.Context(), "one")
	require.NoError(t, err)
	require.Equal(t, hypervisor.Running, g.State)

	c, err := node.Console(t.Context(), "one", hypervisor.Serial)
	require.NoError(t, err)
	_, err = c.Write([]byte("hello\n"))
	require.NoError(t, err)
	buf := make([]byte, 4096)
	_, err = c.Read(buf)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

func TestAProgramThatIsNoPluginIsRefusedClearly(t *testing.T) {
	for _, path := range []string{"/bin/true", filepath.Join(t.TempDir(), "absent")} {
		_, err := LaunchHypervisor(t.Context(), path, LaunchOptions{})
		require.ErrorContains(t, err, "launching the plugin "+path)
	}
}

func TestASocketOutsideThePluginsFolderIsRefused(t *testing.T) {
	d, err := fake.Open(fake.Config{CloudID: "cloud", Name: "h"})
	require.NoError(t, err)
	remote := bridged(t, d).(*remoteHypervisor)
	defer remote.Close()
	remote.dir = t.TempDir() // the server makes its sockets elsewhere
	require.NoError(t, remote.Ensure(t.Context(), "one", hypervisor.Spec{CloudID: "cloud", Name: "one", VCPUs: 1, MemoryMiB: 64}))
	require.NoError(t, remote.Start(t.Context(), "one"))
	_, err = remote.Console(t.Context(), "one", hypervisor.Serial)
	require.ErrorIs(t, err, nephos.ErrForbidden)
}

// fill gives every field of a value something that is not its zero.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(*n), int64(*n)).UTC()))
			return
		}
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
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic("fill: add " + v.Kind().String())
	}
}

func roundTrip[T, P any](t *testing.T, to func(T) P, from func(P) T) {
	var in T
	n := 0
	fill(reflect.ValueOf(&in).Elem(), &n)
	require.Equal(t, in, from(to(in)))
	var zero T
	require.Equal(t, zero, from(to(zero)))
}

func TestEveryFieldSurvivesTheWire(t *testing.T) {
	roundTrip(t, toSpec, fromSpec)
	roundTrip(t, toGuest, fromGuest)
	roundTrip(t, toInfo, fromInfo)
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	for _, m := range meanings {
		err := fromStatus(toStatus(fmt.Errorf("doing: %w", m.kind)))
		require.ErrorIs(t, err, m.kind)
		require.ErrorContains(t, err, "doing")
	}
	require.NoError(t, fromStatus(toStatus(nil)))
	require.ErrorContains(t, fromStatus(toStatus(errors.New("odd"))), "odd")
}

func BenchmarkCall(b *testing.B) {
	d, err := fake.Open(fake.Config{CloudID: "cloud", Name: "h"})
	require.NoError(b, err)
	run := func(b *testing.B, d hypervisor.Driver) {
		for b.Loop() {
			if _, err := d.Info(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("in process", func(b *testing.B) { run(b, d) })
	b.Run("plugin", func(b *testing.B) {
		self, err := os.Executable()
		require.NoError(b, err)
		remote, err := LaunchHypervisor(b.Context(), self, LaunchOptions{Env: []string{"NEPHOS_TEST_PLUGIN=1"}})
		require.NoError(b, err)
		defer remote.Close()
		run(b, remote)
	})
}
