//go:build linux

package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// guestImage builds the guest, or takes it from the cache.
func guestImage(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	path := filepath.Join(cache, "nephos", "guest.qcow2")
	out, err := exec.Command("../examples/guest/build", "-o", path).CombinedOutput()
	require.NoError(t, err, "building the guest: %s", out)
	return path
}

// newKey returns a key, and its public half as authorized_keys has it.
func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// login is an ssh connection to a guest.
type login struct {
	t      *testing.T
	client *ssh.Client
}

// logIn logs in as root, trying again while the guest is starting.
func logIn(t *testing.T, address string, signer ssh.Signer) *login {
	t.Helper()
	var client *ssh.Client
	require.Eventually(t, func() bool {
		var err error
		client, err = ssh.Dial("tcp", net.JoinHostPort(address, "22"), &ssh.ClientConfig{
			User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second,
		})
		return err == nil
	}, patience, 200*time.Millisecond, "ssh to %s", address)
	return &login{t, client}
}

func (l *login) run(command string) string {
	l.t.Helper()
	session, err := l.client.NewSession()
	require.NoError(l.t, err)
	defer session.Close()
	out, err := session.CombinedOutput(command)
	require.NoError(l.t, err, "%s: %s", command, out)
	return strings.TrimSpace(string(out))
}

// dial says whether a port is open, refused, or silent.
func dial(address, port string) string {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(address, port), 1500*time.Millisecond)
	switch e, ok := err.(net.Error); {
	case err == nil:
		c.Close()
		return "open"
	case ok && e.Timeout():
		return "silent"
	}
	return "refused"
}
