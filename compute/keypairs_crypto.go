package compute

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/nephos-cloud/nephos"
)

// maxPublicKey bounds a public key in bytes: an RSA key of 16384 bits has 2800.
const maxPublicKey = 16 << 10

// keyBits is the size of generated keys, as Nova's.
const keyBits = 2048

// generate makes a pair.
func (k *KeyPair) generate() error {
	if k.Type != KeySSH {
		return nephos.Errorf(errors.ErrUnsupported, "Keypairs of type %s are not generated here: import a certificate.", clip(k.Type))
	}
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return fmt.Errorf("generating a keypair: %w", err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		return fmt.Errorf("generating a keypair: %w", err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	k.PublicKey, k.Fingerprint = line+" Generated-by-Nova", ssh.FingerprintLegacyMD5(public)
	k.PrivateKey = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	return nil
}

// read checks a public key and computes its fingerprint.
func (k *KeyPair) read() error {
	bad := func(reason string) error {
		return invalid("Keypair data is invalid: %s", reason).WithField("public_key")
	}
	if len(k.PublicKey) > maxPublicKey {
		return bad("the public key is too long")
	}
	switch k.Type {
	case KeySSH:
		print, ok := sshFingerprint(k.PublicKey)
		if !ok {
			return bad("failed to generate fingerprint")
		}
		k.Fingerprint = print
	case KeyX509:
		block, _ := pem.Decode([]byte(k.PublicKey))
		if block == nil || block.Type != "CERTIFICATE" {
			return bad("failed to generate X509 fingerprint. Error message: Unable to load PEM file.")
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return bad("failed to generate X509 fingerprint. Error message: " + err.Error())
		}
		sum := sha1.Sum(block.Bytes)
		k.Fingerprint = colons(sum[:])
	default:
		return bad("the type must be ssh or x509")
	}
	return nil
}

// sshFingerprint returns the MD5 fingerprint of a key in the format of OpenSSH:
// type, base64 and a comment on one line, without options before them.
func sshFingerprint(line string) (string, bool) {
	line = strings.TrimRight(line, "\r\n")
	if strings.ContainsAny(line, "\r\n") {
		return "", false
	}
	kind, _, _ := strings.Cut(line, " ")
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || len(options) > 0 || len(rest) > 0 || key.Type() != kind {
		return "", false
	}
	sum := md5.Sum(key.Marshal())
	return colons(sum[:]), true
}

// colons writes bytes as 0a:1b:2c.
func colons(b []byte) string {
	parts := make([]string, len(b))
	for i := range b {
		parts[i] = hex.EncodeToString(b[i : i+1])
	}
	return strings.Join(parts, ":")
}
