package driver_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

func TestInterceptDecidesWhatBecomesOfACall(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		err    error
		after  bool
		called bool
	}{
		"let through": {nil, false, true},
		"refused":     {broken, false, false},
		"answer lost": {broken, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			var asked driver.Call
			calls := driver.Calls{Kind: "volume", Type: "Pool", Name: "fast", Clock: nephos.WallClock{}, Log: slog.New(slog.DiscardHandler)}
			calls.Intercept = func(_ context.Context, call driver.Call) (bool, error) {
				asked = call
				return c.after, c.err
			}
			called := false
			err := func() (err error) {
				ctx, end := calls.Begin(t.Context(), "Create", true, "v1")
				defer end(&err)
				if err := ctx.Err(); err != nil {
					return err
				}
				called = true
				return nil
			}()
			require.Equal(t, driver.Call{Kind: "volume", Name: "fast", Method: "Create", ID: "v1"}, asked)
			require.Equal(t, c.called, called)
			if c.err == nil {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, broken)
				require.NotErrorIs(t, err, context.Canceled)
			}
		})
	}
}
