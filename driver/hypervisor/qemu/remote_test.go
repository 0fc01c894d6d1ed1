package qemu

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

func TestRemoteDisks(t *testing.T) {
	type m = map[string]string
	node := func(c driver.Connection) (string, error) {
		r, err := remoteOf(driver.Disk{ID: "v", Format: "raw", Source: c})
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(r.node)
		require.NoError(t, err)
		return string(b), nil
	}
	ceph, err := node(driver.Connection{
		Type: "rbd", Options: m{"pool": "p", "namespace": "n", "image": "i", "user": "u", "hosts": "a:1,[::1]:2,b"}, Secrets: m{"key": "a2V5"},
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"driver":"rbd","pool":"p","namespace":"n","image":"i","user":"u","discard":"unmap","read-only":false,
		"server":[{"host":"a","port":"1"},{"host":"::1","port":"2"},{"host":"b","port":"6789"}],
		"key-secret":"`+secretName("v")+`","auth-client-required":["cephx"]}`, ceph)
	nbd, err := node(driver.Connection{Type: "nbd", Options: m{"host": "h", "export": "e", "tls": "yes"}, Secrets: m{"tls_ca": "1", "tls_cert": "2", "tls_key": "3"}})
	require.NoError(t, err)
	require.JSONEq(t, `{"driver":"nbd","server":{"type":"inet","host":"h","port":"10809"},"export":"e","reconnect-delay":60,
		"tls-creds":"`+certsName("v")+`","discard":"unmap","read-only":false}`, nbd)
	for _, bad := range []driver.Connection{
		{Type: "rbd"},
		{Type: "rbd", Options: m{"pool": "p", "image": "i"}},
		{Type: "rbd", Options: m{"pool": "p", "hosts": "h"}},
		{Type: "rbd", Options: m{"pool": "p", "image": "i", "hosts": "a;b"}},
		{Type: "rbd", Options: m{"pool": "p", "image": "i", "config": "relative"}},
		{Type: "rbd", Options: m{"pool": "p", "image": "i", "hosts": "h", "unknown": "x"}},
		{Type: "rbd", Options: m{"pool": "p", "image": "i", "hosts": "h"}, Secrets: m{"key": "!"}},
		{Type: "nbd"},
		{Type: "nbd", Options: m{"socket": "relative"}},
		{Type: "nbd", Options: m{"host": "h", "tls": "maybe"}},
		{Type: "nbd", Options: m{"host": "h", "tls": "yes"}},
	} {
		_, err := node(bad)
		require.ErrorIs(t, err, nephos.ErrInvalid, "%+v", bad)
		require.ErrorIs(t, checkDisk(driver.Disk{ID: "v", Format: "raw", Source: bad}), nephos.ErrInvalid)
	}
}
