//go:build ceph

package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddresses(t *testing.T) {
	require.Equal(t, []string{"a", "b:1", "[v2:c:2,v1:c:3]", "d"}, addresses("a,b:1 [v2:c:2,v1:c:3],d"))
	require.Empty(t, addresses(""))
}
