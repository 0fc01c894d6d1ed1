//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

func TestErrorsKeepTheirMeaning(t *testing.T) {
	for code, want := range map[virt.ErrorNumber]error{
		virt.ERR_NO_DOMAIN: nephos.ErrNotFound, virt.ERR_OPERATION_INVALID: nephos.ErrConflict, virt.ERR_XML_ERROR: nephos.ErrInvalid,
		virt.ERR_NO_SUPPORT: errors.ErrUnsupported, virt.ERR_RPC: nephos.ErrUnavailable, virt.ERR_NO_MEMORY: nephos.ErrNoCapacity,
	} {
		raw := virt.Error{Code: code, Message: "what libvirt says"}
		for _, err := range []error{raw, fmt.Errorf("try: %w", raw)} {
			got := meant(err)
			require.ErrorIs(t, got, want)
			require.ErrorContains(t, got, "what libvirt says")
			require.Equal(t, got, meant(got), "once is enough")
			require.True(t, is(got, code))
		}
	}
	require.NoError(t, meant(nil))
	other := errors.New("ours")
	require.Equal(t, other, meant(other))
	require.False(t, is(other, virt.ERR_NO_DOMAIN))
	unknown := virt.Error{Code: virt.ERR_NO_NWFILTER}
	require.Equal(t, error(unknown), meant(unknown))
}

func TestStates(t *testing.T) {
	run, crashed, forgiven := domain.Run{}, domain.Run{Ended: hypervisor.Crashed}, domain.Run{Ended: hypervisor.Stopped}
	for _, c := range []struct {
		state  virt.DomainState
		reason int
		rec    domain.Record
		run    domain.Run
		want   hypervisor.State
	}{
		{virt.DOMAIN_RUNNING, 0, domain.Record{}, crashed, hypervisor.Running},
		{virt.DOMAIN_PAUSED, int(virt.DOMAIN_PAUSED_USER), domain.Record{}, run, hypervisor.Paused},
		{virt.DOMAIN_PAUSED, int(virt.DOMAIN_PAUSED_IOERROR), domain.Record{}, run, hypervisor.Paused},
		{virt.DOMAIN_PAUSED, int(virt.DOMAIN_PAUSED_CRASHED), domain.Record{}, run, hypervisor.Crashed},
		{virt.DOMAIN_PAUSED, int(virt.DOMAIN_PAUSED_MIGRATION), domain.Record{}, run, hypervisor.Running},
		{virt.DOMAIN_PAUSED, int(virt.DOMAIN_PAUSED_POSTCOPY), domain.Record{}, run, hypervisor.Running},
		{virt.DOMAIN_PAUSED, int(virt.DOMAIN_PAUSED_POSTCOPY_FAILED), domain.Record{}, run, hypervisor.Crashed},
		{virt.DOMAIN_PAUSED, int(virt.DOMAIN_PAUSED_MIGRATION), domain.Record{Incoming: true}, run, hypervisor.Incoming},
		{virt.DOMAIN_SHUTOFF, 0, domain.Record{Incoming: true}, run, hypervisor.Incoming},
		{virt.DOMAIN_SHUTOFF, int(virt.DOMAIN_SHUTOFF_CRASHED), domain.Record{}, run, hypervisor.Crashed},
		{virt.DOMAIN_SHUTOFF, int(virt.DOMAIN_SHUTOFF_CRASHED), domain.Record{}, forgiven, hypervisor.Stopped},
		{virt.DOMAIN_SHUTOFF, int(virt.DOMAIN_SHUTOFF_UNKNOWN), domain.Record{}, crashed, hypervisor.Crashed},
		{virt.DOMAIN_SHUTOFF, int(virt.DOMAIN_SHUTOFF_FAILED), domain.Record{}, run, hypervisor.Stopped},
		{virt.DOMAIN_CRASHED, 0, domain.Record{}, run, hypervisor.Crashed},
	} {
		require.Equal(t, c.want, stateOf(c.state, c.reason, c.rec, c.run), "%+v", c)
	}
}

func imagined(t testing.TB, cfg Config) *Driver {
	cfg.URI, cfg.Dir = "test:///default", t.TempDir()
	d, err := Open(t.Context(), cfg)
	if errors.Is(err, nephos.ErrUnavailable) {
		t.Skip("qemu-img is not installed (Debian: qemu-utils)")
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func bare() hypervisor.Spec {
	return hypervisor.Spec{CloudID: "cloud", VCPUs: 1, MemoryMiB: 64}
}

func TestTapsOfOtherNamespaces(t *testing.T) {
	dir := t.TempDir()
	here, there := filepath.Join(dir, "here"), filepath.Join(dir, "there")
	for _, path := range []string{here, there} {
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	}
	require.NoError(t, os.Link(here, filepath.Join(dir, "same")))
	d := imagined(t, Config{CloudID: "cloud", Namespace: here})
	spec := bare()
	spec.NICs = []driver.NIC{{ID: "p", MAC: "02:00:00:00:00:01", Device: "tap1"}}
	for ns, want := range map[string]error{
		"": nil, here: nil, filepath.Join(dir, "same"): nil, there: nephos.ErrInvalid, filepath.Join(dir, "no"): nephos.ErrUnavailable,
	} {
		spec.NICs[0].Namespace = ns
		require.ErrorIs(t, d.checkSpec(spec), want, ns)
	}
	spec.NICs[0].Namespace = ""
	spec.NICs = append(spec.NICs, driver.NIC{ID: "q", MAC: "02:00:00:00:00:01", Device: "tap2"})
	require.ErrorIs(t, d.checkSpec(spec), nephos.ErrInvalid, "two cards of one address")
}

// Somebody else's domain, and another cloud's, is not there and stays.
func TestStrangersAreLeftAlone(t *testing.T) {
	d := imagined(t, Config{CloudID: "cloud"})
	other, err := Open(t.Context(), Config{CloudID: "other", URI: "test:///default", Dir: t.TempDir()})
	require.NoError(t, err)
	defer other.Close()
	ctx := t.Context()
	spec := bare()
	spec.CloudID = "other"
	require.ErrorIs(t, d.Ensure(ctx, "g", spec), nephos.ErrInvalid)
	require.NoError(t, other.Ensure(ctx, "g", spec))
	_, err = d.Get(ctx, "g")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	list, err := d.List(ctx)
	require.NoError(t, err)
	require.Empty(t, list)
	require.ErrorIs(t, d.Ensure(ctx, "g", bare()), nephos.ErrConflict)
	require.NoError(t, d.Destroy(ctx, "g"), "it is not here")
	_, err = other.Get(ctx, "g")
	require.NoError(t, err, "and it is still there")
	require.NoError(t, other.Destroy(ctx, "g"))

	stranger, err := virt.NewConnect("test:///default")
	require.NoError(t, err)
	defer stranger.Close()
	dom, err := stranger.LookupDomainByName("test")
	require.NoError(t, err)
	defer dom.Free()
	_, err = d.Get(ctx, "test")
	require.ErrorIs(t, err, nephos.ErrNotFound)
}

func TestBadConfig(t *testing.T) {
	for _, cfg := range []Config{{}, {Dir: "/tmp/x", Accel: "xyz"}} {
		_, err := Open(t.Context(), cfg)
		require.ErrorIs(t, err, nephos.ErrInvalid)
	}
	_, err := Open(t.Context(), Config{Dir: t.TempDir(), URI: "nosuch:///x"})
	require.Error(t, err)
	_, err = Open(t.Context(), Config{Dir: t.TempDir(), URI: "test:///default", Arch: "pdp11"})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func TestClosedDriver(t *testing.T) {
	d := imagined(t, Config{})
	require.NoError(t, d.Close())
	_, err := d.List(context.Background())
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.ErrorIs(t, d.Ensure(context.Background(), "g", bare()), nephos.ErrUnavailable)
	_, err = d.Events(context.Background())
	require.ErrorIs(t, err, nephos.ErrUnavailable)
}

func BenchmarkGet(b *testing.B) {
	d := imagined(b, Config{})
	require.NoError(b, d.Ensure(b.Context(), "g", bare()))
	defer func() { require.NoError(b, d.Destroy(context.Background(), "g")) }()
	for b.Loop() {
		if _, err := d.Get(b.Context(), "g"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList100(b *testing.B) {
	d := imagined(b, Config{})
	for i := range 100 {
		id := fmt.Sprintf("g%d", i)
		require.NoError(b, d.Ensure(b.Context(), id, bare()))
		defer func() { require.NoError(b, d.Destroy(context.Background(), id)) }()
	}
	for b.Loop() {
		if _, err := d.List(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPowerCycle(b *testing.B) {
	d := imagined(b, Config{})
	require.NoError(b, d.Ensure(b.Context(), "g", bare()))
	defer func() { require.NoError(b, d.Destroy(context.Background(), "g")) }()
	for b.Loop() {
		if err := errors.Join(d.Start(b.Context(), "g"), d.Stop(b.Context(), "g", hypervisor.StopOptions{})); err != nil {
			b.Fatal(err)
		}
	}
}
