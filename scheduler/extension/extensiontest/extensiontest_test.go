package extensiontest_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/extension"
	"github.com/nephos-cloud/nephos/scheduler/extension/extensiontest"
)

// quiet is an extension that keeps busy hosts away.
type quiet struct{}

func (quiet) Ready(context.Context) error { return nil }

func (quiet) Judge(_ context.Context, _ extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	out := make([]scheduler.Verdict, len(hosts))
	for i, h := range hosts {
		if h.NumIOOps > 2 {
			out[i] = scheduler.Verdict{Reason: "busy", Saw: fmt.Sprint(h.NumIOOps, " operations")}
		}
	}
	return out, nil
}

func TestAGoodExtensionPasses(t *testing.T) {
	extensiontest.Run(t, func(drivertest.T) extension.Extension { return quiet{} }, extensiontest.Options{})
}

// Each of these does one thing wrong.
type (
	nameless struct{ quiet } // answers that name hosts
	backward struct{ quiet } // the wrong order
	short    struct{ quiet } // too few
	fickle   struct {        // another answer each time
		quiet
		n *atomic.Int64
	}
	silent  struct{ extension.Extension } // offers nothing
	fragile struct{ quiet }               // panics at hosts without a zone
)

func (nameless) Judge(_ context.Context, _ extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	out := make([]scheduler.Verdict, len(hosts))
	for i, h := range hosts {
		out[i].Reason = "not loved: " + h.ID
	}
	return out, nil
}

func (backward) Judge(ctx context.Context, r extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	out := make([]scheduler.Verdict, len(hosts))
	for i := range hosts {
		if i%3 == 0 {
			out[i].Reason = "every third"
		}
	}
	return out, nil
}

func (short) Judge(_ context.Context, _ extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	return make([]scheduler.Verdict, max(len(hosts)-1, 0)), nil
}

func (f fickle) Judge(_ context.Context, _ extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	out := make([]scheduler.Verdict, len(hosts))
	if f.n.Add(1)%2 == 0 && len(out) > 0 {
		out[0].Reason = "now and then"
	}
	return out, nil
}

func (fragile) Judge(_ context.Context, _ extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	for _, h := range hosts {
		if h.Zone == "" {
			panic("a host without a zone")
		}
	}
	return make([]scheduler.Verdict, len(hosts)), nil
}

func TestBadExtensionsFail(t *testing.T) {
	for name, c := range map[string]struct {
		e    extension.Extension
		test string
	}{
		"names hosts":  {nameless{}, "JudgerReasons"},
		"wrong order":  {backward{}, "JudgerOrder"},
		"too few":      {short{}, "Judger"},
		"fickle":       {fickle{n: new(atomic.Int64)}, "Judger"},
		"offers none":  {silent{quiet{}}, "Abilities"},
		"not ready":    {unready{}, "Ready"},
		"panics":       {fragile{}, "Judger"},
		"indefinite":   {indefinite{}, "Weigher"},
		"wrong weight": {lastFirst{}, "WeigherOrder"},
	} {
		result := drivertest.Runner{}.Run(t.Context(), extensiontest.Tests(func(drivertest.T) extension.Extension { return c.e }, extensiontest.Options{}))
		failed := map[string]bool{}
		for _, o := range result.Outcomes {
			failed[o.Name] = o.Failed
		}
		require.True(t, failed[c.test], "%s: %+v", name, failed)
	}
}

type unready struct{ quiet }

func (unready) Ready(context.Context) error { return context.DeadlineExceeded }

type indefinite struct{}

func (indefinite) Ready(context.Context) error { return nil }

func (indefinite) Weigh(_ context.Context, _ extension.Request, hosts []extension.Host) ([]float64, error) {
	out := make([]float64, len(hosts))
	for i, h := range hosts {
		out[i] = float64(h.Free["VCPU"]) / float64(h.NumIOOps)
	}
	return out, nil
}

type lastFirst struct{ indefinite }

func (lastFirst) Weigh(_ context.Context, _ extension.Request, hosts []extension.Host) ([]float64, error) {
	out := make([]float64, len(hosts))
	for i := range hosts {
		out[i] = float64(i)
	}
	return out, nil
}
