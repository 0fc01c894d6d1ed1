package mem_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
	"github.com/nephos-cloud/nephos/driver/drivertest"
)

func TestConformance(t *testing.T) {
	var states sync.Map
	blobtest.Run(t, func(_ drivertest.T, dir string) blob.Driver {
		state, _ := states.LoadOrStore(dir, &mem.State{})
		return mem.New(mem.Config{State: state.(*mem.State)})
	}, blobtest.Options{})
}

func TestFullStoreTakesNoMore(t *testing.T) {
	d := mem.New(mem.Config{MaxBytes: 100})
	put := func(id string, n int) error {
		_, err := d.Put(t.Context(), id, bytes.NewReader(make([]byte, n)), -1)
		return err
	}
	require.NoError(t, put("a", 60))
	require.ErrorIs(t, put("b", 41), nephos.ErrNoCapacity)
	require.NoError(t, put("a", 100), "replacing counts the difference")
	require.ErrorIs(t, put("a", 101), nephos.ErrNoCapacity)
	require.NoError(t, d.Delete(t.Context(), "a"))
	require.NoError(t, put("b", 100))
}
