package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
)

// TestPreparesACloud runs what every measurement begins with, and boots once.
func TestPreparesACloud(t *testing.T) {
	c := cloudtest.New(t, cloudtest.Options{Listen: true})
	t.Setenv("OS_CLIENT_CONFIG_FILE", c.WriteCloudsYAML())
	b := &bench{o: options{cloud: "admin"}, http: &http.Client{}}
	require.NoError(t, b.login(t.Context()))
	require.NoError(t, b.prepare(t.Context()))
	server, err := b.boot(t.Context(), time.Millisecond)
	require.NoError(t, err)
	require.NotEmpty(t, server)
}
