package cloudtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/store/storetest"
)

func TestACloudOnPostgreSQL(t *testing.T) {
	c := cloudtest.New(t, cloudtest.Options{Hosts: 1, Database: storetest.PostgresURL(t)})
	p := c.Project()
	compute := p.Member().Compute
	life(t, c, p, compute)
	c.NoLeaks(t)
	active(t, c, p, compute)
	c.Restart()
	c.Settle()
	require.Len(t, c.Hosts[0].Hypervisor.Guests(), 1)
}
