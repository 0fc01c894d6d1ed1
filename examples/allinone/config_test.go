package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func parsed(t *testing.T, env map[string]string, args ...string) (*config, error) {
	t.Helper()
	return parse(args, func(name string) (string, bool) { v, ok := env[name]; return v, ok }, io.Discard)
}

func TestFlagsGoBeforeTheEnvironmentAndThatBeforeTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nephos.yaml")
	require.NoError(t, os.WriteFile(file, []byte("region: file\nhosts: 7\ndrivers: fake\nseparate-ports: true\n"), 0o600))
	c, err := parsed(t, map[string]string{"NEPHOS_REGION": "environment", "NEPHOS_HOSTS": "8", "NEPHOS_CONFIG": file}, "-region", "flag")
	require.NoError(t, err)
	require.Equal(t, "flag", c.region)
	require.Equal(t, 8, c.hosts)
	require.Equal(t, "fake", c.drivers)
	require.True(t, c.ports)
	require.Equal(t, "info", c.logLevel)
	for name, origin := range map[string]string{"region": "flag", "hosts": "environment", "drivers": "file", "log": "default"} {
		require.Equal(t, origin, c.origin[name], name)
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	unknown := filepath.Join(t.TempDir(), "unknown.yaml")
	require.NoError(t, os.WriteFile(unknown, []byte("regoin: x\n"), 0o600))
	for _, tt := range []struct {
		says string
		args []string
		env  map[string]string
	}{
		{says: "unexpected argument", args: []string{"start"}},
		{says: "-drivers", args: []string{"-drivers", "magic"}},
		{says: "-hosts", args: []string{"-hosts", "0"}},
		{says: `NEPHOS_HOSTS: "many": parse error`, env: map[string]string{"NEPHOS_HOSTS": "many"}},
		{says: "go together", args: []string{"-tls-cert", "x"}},
		{says: "-insecure", args: []string{"-listen", "192.0.2.1:80"}},
		{says: "-public-url", args: []string{"-listen", ":80", "-insecure"}},
		{says: "-public-url", args: []string{"-listen", "[::]:80", "-insecure"}},
		{says: "-public-url", args: []string{"-public-url", "cloud.example.org"}},
		{says: "-listen", args: []string{"-listen", "here"}},
		{says: "-profile", args: []string{"-profile", ":6060"}},
		{says: "regoin", args: []string{"-config", unknown}},
		{says: "reading the configuration", args: []string{"-config", "/nowhere"}},
	} {
		_, err := parsed(t, tt.env, tt.args...)
		require.ErrorContains(t, err, tt.says, "%v %v", tt.args, tt.env)
	}
}

func TestEveryServiceHasADoorOfItsOwnIfAsked(t *testing.T) {
	host := "127.0.0.7" // its ports are free
	d, err := openDoors(&config{listen: host + ":8774", ports: true, publicURL: "https://cloud.example.org/"})
	require.NoError(t, err)
	defer d.close()
	require.Equal(t, "https://cloud.example.org", d.url)
	require.Equal(t, "https://cloud.example.org/identity/v3", d.authURL())
	require.Equal(t, map[string]string{
		"identity": "https://cloud.example.org:5000", "image": "https://cloud.example.org:9292", "network": "https://cloud.example.org:9696",
		"volume": "https://cloud.example.org:8776", "placement": "https://cloud.example.org:8778",
	}, d.urls)
	for name, l := range d.more {
		require.Equal(t, net.JoinHostPort(host, openstackPorts[name]), l.Addr().String())
	}
	_, err = openDoors(&config{listen: host + ":0", ports: true})
	require.ErrorContains(t, err, "in use")
}

func TestAllDoorsHaveTLS(t *testing.T) {
	_, err := openDoors(&config{listen: "127.0.0.1:0", cert: "/nowhere", key: "/nowhere"})
	require.ErrorContains(t, err, "reading the certificate")

	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.StartTLS() // for its certificate
	defer s.Close()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	require.NoError(t, err)
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	d, err := openDoors(&config{
		listen: "127.0.0.8:8774", ports: true,
		cert: write("cert", "CERTIFICATE", s.Certificate().Raw), key: write("key", "PRIVATE KEY", key),
	})
	require.NoError(t, err)
	defer d.close()
	require.Equal(t, "https://127.0.0.8:8774", d.url)
	require.Equal(t, "https://127.0.0.8:5000", d.urls["identity"])
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for _, l := range []net.Listener{d.main, d.more["identity"]} {
		go func() {
			if conn, err := l.Accept(); err == nil {
				_, _ = io.WriteString(conn, "hello")
				_ = conn.Close()
			}
		}()
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "example.com"})
		require.NoError(t, err)
		said, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, "hello", string(said))
		_ = conn.Close()
	}
}

func TestClientFilesAreForTheOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, writeClientFiles(dir, "http://127.0.0.1:1/identity/v3", "it's $HOME", "secret"))
	said, err := exec.Command("sh", "-c", ". "+filepath.Join(dir, "openrc")+" && echo \"$OS_REGION_NAME\"").Output()
	require.NoError(t, err)
	require.Equal(t, "it's $HOME\n", string(said))
	for _, name := range []string{"clouds.yaml", "openrc"} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 2)
}

func TestOneProcessHasTheDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(path)
	require.NoError(t, err)
	_, err = lock(path)
	require.ErrorContains(t, err, "in use by another cloud")
	unlock()
	unlock, err = lock(path)
	require.NoError(t, err)
	unlock()
}
