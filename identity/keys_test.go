package identity_test

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store/storetest"
)

func TestAKeyRepositoryIsKeystones(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k, err := identity.OpenKeys(dir, nil)
	require.NoError(t, err)
	names := func() []string {
		var all []string
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			all = append(all, e.Name())
			info, err := e.Info()
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		}
		return all
	}
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	require.Equal(t, []string{"0", "1"}, names())
	staged, err := os.ReadFile(filepath.Join(dir, "0"))
	require.NoError(t, err)
	require.NoError(t, k.Rotate(3))
	require.Equal(t, []string{"0", "1", "2"}, names())
	primary, err := os.ReadFile(filepath.Join(dir, "2"))
	require.NoError(t, err)
	require.Equal(t, staged, primary)
	require.NoError(t, k.Rotate(3))
	require.Equal(t, []string{"0", "2", "3"}, names())
	require.Error(t, k.Rotate(2))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "4"), []byte("short"), 0o600))
	require.ErrorContains(t, k.Reload(), "the token key 4")
}

func TestTokensOutliveRotationsAndRestarts(t *testing.T) {
	dir := t.TempDir()
	c := newClock()
	db := storetest.Open(t, c, identity.Migrations())
	open := func() (*identity.Service, *reconcile.Queue) {
		keys, err := identity.OpenKeys(dir, nil)
		require.NoError(t, err)
		enforcer, err := policy.New(policy.Base(), identity.Rules())
		require.NoError(t, err)
		s, err := identity.New(identity.Config{
			Store: db, Policy: enforcer, Clock: c, Keys: keys, BcryptCost: 4, TokenLifetime: 6 * time.Hour, KeyRotation: time.Hour,
		})
		require.NoError(t, err)
		t.Cleanup(s.Close)
		q := reconcile.New(reconcile.Config{Store: db, Clock: c})
		for _, k := range s.Kinds() {
			q.Add(k)
		}
		return s, q
	}
	s, q := open()
	f := &fixture{Service: s, t: t, db: db, clock: c}
	b := f.bootstrap()
	token := f.mustLogin(b.UserID, "secret", identity.Scope{ProjectID: b.ProjectID})
	primaries := map[string]bool{}
	for range 5 {
		c.Advance(time.Hour)
		require.NoError(t, q.Settle(t.Context()))
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		primaries[entries[len(entries)-1].Name()] = true
		_, err = s.Verify(t.Context(), token)
		require.NoError(t, err)
		restarted, _ := open()
		_, err = restarted.Verify(t.Context(), token)
		require.NoError(t, err)
	}
	require.Len(t, primaries, 5)
	// Another process whose keys are older reads the new ones when it needs them.
	other, _ := open()
	c.Advance(time.Hour)
	require.NoError(t, q.Settle(t.Context()))
	c.Advance(time.Hour)
	require.NoError(t, q.Settle(t.Context()))
	fresh := f.mustLogin(b.UserID, "secret", identity.Scope{})
	_, err := other.Verify(t.Context(), fresh)
	require.NoError(t, err)
}

func TestRevocationsAreForgottenWhenTheirTokensAre(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		b := f.bootstrap()
		token := f.mustLogin(b.UserID, "secret", identity.Scope{ProjectID: b.ProjectID})
		require.NoError(t, f.RevokeToken(f.admin, token))
		q := reconcile.New(reconcile.Config{Store: f.db, Clock: f.clock})
		for _, k := range f.Kinds() {
			q.Add(k)
		}
		count := func() int64 {
			n, err := f.db.Reader().NewSelect().Table("identity_revocations").Count(t.Context())
			require.NoError(t, err)
			return n
		}
		f.clock.Advance(48 * time.Hour)
		require.NoError(t, q.Settle(t.Context()))
		require.EqualValues(t, 1, count())
		f.clock.Advance(2 * time.Hour)
		require.NoError(t, q.Settle(t.Context()))
		require.Zero(t, count())
	})
}

// TestARealFernetReadsOurTokens opens tokens with Python's cryptography and
// msgpack, on which Keystone stands, and has ours open theirs.
func TestARealFernetReadsOurTokens(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil || exec.CommandContext(t.Context(), python, "-c", "import cryptography, msgpack").Run() != nil {
		t.Skip("no python3 with cryptography and msgpack (apt-get install python3-cryptography python3-msgpack)")
	}
	dir := t.TempDir()
	keys, err := identity.OpenKeys(dir, nil)
	require.NoError(t, err)
	c := newClock()
	f := newFixture(t, storetest.Open(t, c, identity.Migrations()), c)
	f.Service = newService(t, f.db, c, keys)
	b := f.bootstrap()
	require.NoError(t, f.CreateGrant(f.admin, identity.Grant{UserID: b.UserID, DomainID: "default", RoleID: b.Roles["reader"]}))
	const script = `
import sys, base64, msgpack
from cryptography.fernet import Fernet
key, token = sys.argv[1:3]
f = Fernet(key)
payload = f.decrypt(token + "=" * (-len(token) % 4))
print(msgpack.unpackb(payload)[0])
print(f.encrypt_at_time(msgpack.packb(tuple(msgpack.unpackb(payload))), int(sys.argv[3])).decode().rstrip("="))
`
	key, err := os.ReadFile(filepath.Join(dir, "1"))
	require.NoError(t, err)
	for version, scope := range map[string]identity.Scope{
		"0": {Unscoped: true}, "1": {DomainID: "default"}, "2": {ProjectID: b.ProjectID}, "8": {System: true},
	} {
		token := f.mustLogin(b.UserID, "secret", scope)
		out, err := exec.CommandContext(t.Context(), python, "-c", script, string(key), token, "1893553500").CombinedOutput()
		require.NoError(t, err, string(out))
		got, theirs, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		require.Equal(t, version, got)
		ours, err := f.Verify(t.Context(), token)
		require.NoError(t, err)
		same, err := f.Verify(t.Context(), theirs)
		require.NoError(t, err)
		require.Equal(t, ours, same)
	}
}

func FuzzVerify(f *testing.F) {
	s := sqlite(f)
	b := s.bootstrap()
	good := s.mustLogin(b.UserID, "secret", identity.Scope{ProjectID: b.ProjectID})
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add("gAAAAAB")
	f.Add(strings.Repeat("A", 9000))
	f.Fuzz(func(t *testing.T, token string) {
		if strings.TrimRight(token, "=") == good {
			t.Skip()
		}
		_, err := s.Verify(t.Context(), token)
		require.ErrorIs(t, err, nephos.ErrUnauthenticated)
	})
}

func FuzzPayload(f *testing.F) {
	keys := identity.MemoryKeys(nil)
	s := newService(f, storetest.Open(f, newClock(), identity.Migrations()), newClock(), keys)
	fx := &fixture{Service: s, t: f}
	b := fx.bootstrap()
	for _, scope := range []identity.Scope{{Unscoped: true}, {System: true}, {ProjectID: b.ProjectID}} {
		raw, err := keys.Open(fx.mustLogin(b.UserID, "secret", scope))
		require.NoError(f, err)
		require.NoError(f, identity.DecodePayload(raw))
		f.Add(raw)
	}
	f.Fuzz(func(_ *testing.T, b []byte) { _ = identity.DecodePayload(b) })
}

func TestEveryFlippedBitSpoilsAToken(t *testing.T) {
	f := sqlite(t)
	b := f.bootstrap()
	token := f.mustLogin(b.UserID, "secret", identity.Scope{ProjectID: b.ProjectID})
	raw, err := base64.RawURLEncoding.DecodeString(token)
	require.NoError(t, err)
	for i := range raw {
		raw[i] ^= 1
		_, err := f.Verify(t.Context(), base64.RawURLEncoding.EncodeToString(raw))
		require.ErrorIs(t, err, nephos.ErrUnauthenticated, i)
		raw[i] ^= 1
	}
	for n := range len(token) {
		_, err := f.Verify(t.Context(), token[:n])
		require.ErrorIs(t, err, nephos.ErrUnauthenticated, n)
	}
}
