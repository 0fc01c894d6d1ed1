package compute_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

const ed25519Key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS me@here"

func TestAKeyPairIsGenerated(t *testing.T) {
	c := sqliteCatalog(t, nil)
	k, err := c.CreateKeyPair(c.user(), compute.KeyPairSpec{Name: "k"})
	require.NoError(t, err)
	signer, err := ssh.ParsePrivateKey([]byte(k.PrivateKey))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(k.PrivateKey, "-----BEGIN RSA PRIVATE KEY-----\n"))
	public, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(k.PublicKey))
	require.NoError(t, err)
	require.Equal(t, "Generated-by-Nova", comment)
	require.Equal(t, signer.PublicKey().Marshal(), public.Marshal())
	require.Equal(t, ssh.FingerprintLegacyMD5(public), k.Fingerprint)

	got, err := c.KeyPair(c.user(), "", "k")
	require.NoError(t, err)
	require.Empty(t, got.PrivateKey)
	require.Equal(t, k.PublicKey, got.PublicKey)
	_, err = c.CreateKeyPair(c.user(), compute.KeyPairSpec{Name: "w", Type: compute.KeyX509})
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestAKeyPairIsImported(t *testing.T) {
	eachCatalog(t, func(t *testing.T, c catalog) {
		k, err := c.CreateKeyPair(c.user(), compute.KeyPairSpec{Name: "k", PublicKey: ed25519Key})
		require.NoError(t, err)
		public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(ed25519Key))
		require.NoError(t, err)
		require.Equal(t, ssh.FingerprintLegacyMD5(public), k.Fingerprint)
		require.NotZero(t, k.Number)
		require.Equal(t, "ssh", k.Type)
		require.Empty(t, k.PrivateKey)
		_, err = c.CreateKeyPair(c.user(), compute.KeyPairSpec{Name: "k", PublicKey: ed25519Key})
		require.ErrorIs(t, err, nephos.ErrConflict)
		require.EqualError(t, err, "Key pair 'k' already exists.")
		_, err = c.KeyPair(c.stranger(), "", "k")
		require.EqualError(t, err, "Keypair k not found for user other")
		_, err = c.KeyPair(c.admin(), user, "k")
		require.NoError(t, err)

		for _, name := range []string{"b", "a", "z"} {
			_, err = c.CreateKeyPair(c.user(), compute.KeyPairSpec{Name: name, PublicKey: ed25519Key})
			require.NoError(t, err)
		}
		page, more, err := c.ListKeyPairs(c.user(), "", nephos.Page{Limit: 2, Marker: "a"})
		require.NoError(t, err)
		require.True(t, more)
		require.Equal(t, "b", page[0].Name)
		require.Equal(t, "k", page[1].Name)
		_, _, err = c.ListKeyPairs(c.user(), "", nephos.Page{Marker: "nosuch"})
		require.EqualError(t, err, "Marker nosuch could not be found.")

		require.NoError(t, c.DeleteKeyPair(c.user(), "", "k"))
		require.ErrorIs(t, c.DeleteKeyPair(c.user(), "", "k"), nephos.ErrNotFound)
	})
}

func TestACertificateIsImported(t *testing.T) {
	c := sqliteCatalog(t, nil)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now()}, &x509.Certificate{}, key.Public(), key)
	require.NoError(t, err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	k, err := c.CreateKeyPair(c.user(), compute.KeyPairSpec{Name: "w", Type: compute.KeyX509, PublicKey: text})
	require.NoError(t, err)
	require.Len(t, k.Fingerprint, 59) // SHA-1
}

func TestBadKeys(t *testing.T) {
	c := sqliteCatalog(t, nil)
	for _, bad := range []string{
		"x", "ssh-rsa AAAA", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA", "ssh-rsa " + strings.Fields(ed25519Key)[1], `command="x" ` + ed25519Key,
		ed25519Key + "\n" + ed25519Key, strings.Repeat("ssh-rsa ", 3000),
	} {
		_, err := c.CreateKeyPair(c.user(), compute.KeyPairSpec{Name: "k", PublicKey: bad})
		require.ErrorIs(t, err, nephos.ErrInvalid, bad)
	}
	_, err := c.CreateKeyPair(c.user(), compute.KeyPairSpec{Name: "k", PublicKey: "x"})
	require.EqualError(t, err, "Keypair data is invalid: failed to generate fingerprint")
	_, err = c.CreateKeyPair(c.user(), compute.KeyPairSpec{Name: strings.Repeat("k", 256), PublicKey: ed25519Key})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func FuzzImportKey(f *testing.F) {
	f.Add("ssh", ed25519Key)
	f.Add("x509", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----")
	c := sqliteCatalog(f, nil)
	f.Fuzz(func(t *testing.T, kind, text string) {
		if text == "" {
			return
		}
		ctx := nephos.WithCaller(t.Context(), nephos.Caller{UserID: "u", ProjectID: "p"})
		_, err := c.CreateKeyPair(ctx, compute.KeyPairSpec{Name: "k", Type: kind, PublicKey: text})
		if err == nil {
			require.NoError(t, c.DeleteKeyPair(ctx, "", "k"))
			return
		}
		require.ErrorIs(t, err, nephos.ErrInvalid)
	})
}

// A retry finds no room, and needs none.
func TestTheSameKeyImportsOnce(t *testing.T) {
	c := sqliteCatalog(t, func(cfg *compute.Config) { cfg.Quotas = map[string]int{"key_pairs": 1} })
	ctx := nephos.WithIdempotency(c.user(), nephos.Idempotency{Key: "k", Digest: "d"})
	for range 2 {
		k, err := c.CreateKeyPair(ctx, compute.KeyPairSpec{Name: "k", PublicKey: ed25519Key})
		require.NoError(t, err)
		require.Equal(t, "k", k.Name)
	}
	_, err := c.CreateKeyPair(c.user(), compute.KeyPairSpec{Name: "l", PublicKey: ed25519Key})
	require.ErrorIs(t, err, nephos.ErrQuota)
}

// Ten at once want the last three places.
func TestTheKeyPairQuotaHoldsInARace(t *testing.T) {
	clock := newClock()
	storetest.Each(t, clock, []store.Migrations{compute.Migrations()}, func(t *testing.T, db *store.DB) {
		c := newCatalog(t, db, clock, func(cfg *compute.Config) { cfg.Quotas = map[string]int{"key_pairs": 3} })
		errs := make([]error, 10)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = c.CreateKeyPair(c.user(), compute.KeyPairSpec{Name: string(rune('a' + i)), PublicKey: ed25519Key})
			})
		}
		wg.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
				continue
			}
			require.ErrorIs(t, err, nephos.ErrQuota)
			require.EqualError(t, err, "Quota exceeded, too many key pairs.")
		}
		require.Equal(t, 3, made)
	})
}
