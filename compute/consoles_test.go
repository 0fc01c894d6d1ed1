package compute_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
)

func consoleToken(t *testing.T, c compute.Console) string {
	u, err := url.Parse(c.URL)
	require.NoError(t, err)
	return u.Query().Get("token")
}

func TestAConsolesTokenIsGoodOnceAndNotForLong(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	con, err := c.service.CreateConsole(c.user(), s.ID, "serial", "serial")
	require.NoError(t, err)
	token := consoleToken(t, con)
	require.Len(t, token, 22, "128 bits")
	stream, err := c.service.Redeem(t.Context(), token)
	require.NoError(t, err)
	_, err = c.service.Redeem(t.Context(), token)
	require.ErrorIs(t, err, nephos.ErrNotFound)
	_, err = stream.Write([]byte("x"))
	require.NoError(t, err)

	con, err = c.service.CreateConsole(c.user(), s.ID, "vnc", "novnc")
	require.NoError(t, err)
	c.clock.Advance(11 * time.Minute)
	_, err = c.service.Redeem(t.Context(), consoleToken(t, con))
	require.ErrorIs(t, err, nephos.ErrNotFound)

	_, err = c.service.CreateConsole(c.user(), s.ID, "spice", "spice-html5")
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = c.service.CreateConsole(c.stranger(), s.ID, "vnc", "novnc")
	require.ErrorIs(t, err, nephos.ErrNotFound)

	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	c.settle()
	buf := make([]byte, 1024)
	for err = nil; err == nil; { // ends only if an open console is cut when its server goes
		_, err = stream.Read(buf)
	}
}

func TestConsoleLog(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	require.NoError(t, c.hosts[0].hvst.Print(s.ID, "one\ntwo\nthree\n"))
	log, err := c.service.ConsoleLog(c.user(), s.ID, 2)
	require.NoError(t, err)
	require.Equal(t, "two\nthree\n", string(log))
	all, err := c.service.ConsoleLog(c.user(), s.ID, -1)
	require.NoError(t, err)
	require.Greater(t, len(all), len(log))
	c.hosts[0].kill()
	_, err = c.service.Diagnostics(c.user(), s.ID)
	require.ErrorIs(t, err, nephos.ErrForbidden)
}
