package cephtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/internal/cephtest"
)

func TestStart(t *testing.T) {
	c := cephtest.Start(t)
	c.Pool(t, "p")
	require.Contains(t, c.Ceph(t, "osd", "pool", "ls"), "p\n")
}
