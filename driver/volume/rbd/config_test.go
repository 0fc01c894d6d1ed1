package rbd

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

func TestConfig(t *testing.T) {
	good := Config{Pool: "volumes", Monitors: []string{"10.0.0.1"}, Key: "k"}
	c := good
	cc, err := c.check()
	require.NoError(t, err)
	require.Equal(t, "admin", cc.User)
	require.Equal(t, "admin", c.GuestUser)
	require.Equal(t, "k", c.GuestKey)
	for name, change := range map[string]func(*Config){
		"no pool":        func(c *Config) { c.Pool = "" },
		"no monitors":    func(c *Config) { c.Monitors = nil },
		"pool's name":    func(c *Config) { c.Pool = "a/b" },
		"namespace":      func(c *Config) { c.Namespace = "a@b" },
		"empty monitor":  func(c *Config) { c.Monitors = []string{""} },
		"two monitors":   func(c *Config) { c.Monitors = []string{"a;b"} },
		"guest's key":    func(c *Config) { c.GuestUser = "guest" },
		"negative depth": func(c *Config) { c.CloneDepth = -1 },
	} {
		c := good
		change(&c)
		_, err := c.check()
		require.ErrorIs(t, err, nephos.ErrInvalid, name)
	}
}

func TestHosts(t *testing.T) {
	require.Equal(t, []string{"a", "b:6789", "10.0.0.1:3300", "[::1]:3300"},
		hosts([]string{"a", "b:6789", "[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]", "[v2:[::1]:3300]"}))
}
