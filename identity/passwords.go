package identity

import (
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/nephos-cloud/nephos"
)

// A chosen password is kept under bcrypt. What bcrypt would cut off is not
// lost: passwords longer than its 72 bytes are hashed with SHA-512 first, and
// the hash says so. A generated secret of 256 random bits needs no slow hash:
// it is kept under salted SHA-512, so that checking it costs nothing.
const (
	longPrefix = "$long"    // then a bcrypt hash of base64(SHA-512(password))
	fastPrefix = "$sha512$" // then salt$hash, both base64
	maxBcrypt  = 72         // bytes
	maxSecret  = 4096       // bytes of a password that are looked at
	saltSize   = 16         // bytes
)

var b64 = base64.RawURLEncoding

// checkPassword refuses what cannot be a password.
func checkPassword(password string) error {
	if len(password) > maxSecret {
		return nephos.Errorf(nephos.ErrForbidden, "The password length must be less than or equal to %d. The server could not comply "+
			"with the request because the password is invalid.", maxSecret).WithField("password")
	}
	return nil
}

// hashChosen hashes a password that somebody chose.
func hashChosen(password string, cost int) (string, error) {
	prefix, raw := bcryptInput(password)
	h, err := bcrypt.GenerateFromPassword(raw, cost)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return prefix + string(h), nil
}

// decoy returns a hash of nothing, in no time, that takes as long to compare
// with as one that hashChosen made.
func decoy(cost int) (string, error) {
	if cost < bcrypt.MinCost || cost > bcrypt.MaxCost {
		return "", fmt.Errorf("hashing a password: %w", bcrypt.InvalidCostError(cost))
	}
	return fmt.Sprintf("$2a$%02d$%s", cost, strings.Repeat(".", 53)), nil
}

func bcryptInput(password string) (prefix string, raw []byte) {
	if len(password) <= maxBcrypt {
		return "", []byte(password)
	}
	sum := sha512.Sum512([]byte(password))
	return longPrefix, []byte(b64.EncodeToString(sum[:])[:maxBcrypt])
}

// hashGenerated hashes a secret that holds 256 random bits.
func hashGenerated(secret string, random io.Reader) (string, error) {
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("hashing a secret: %w", err)
	}
	return fastPrefix + b64.EncodeToString(salt) + "$" + b64.EncodeToString(fastSum(salt, secret)), nil
}

func fastSum(salt []byte, secret string) []byte {
	h := sha512.New()
	h.Write(salt)
	_, _ = io.WriteString(h, secret)
	return h.Sum(nil)
}

// passwordMatches reports whether the password is the one that was hashed. An
// empty hash matches nothing.
func passwordMatches(hash, password string) bool {
	if len(password) > maxSecret {
		return false
	}
	if rest, ok := strings.CutPrefix(hash, fastPrefix); ok {
		salt64, sum64, _ := strings.Cut(rest, "$")
		salt, err1 := b64.DecodeString(salt64)
		sum, err2 := b64.DecodeString(sum64)
		return err1 == nil && err2 == nil && subtle.ConstantTimeCompare(sum, fastSum(salt, password)) == 1
	}
	prefix, raw := bcryptInput(password)
	rest, long := strings.CutPrefix(hash, longPrefix)
	if long != (prefix == longPrefix) {
		return false
	}
	return bcrypt.CompareHashAndPassword([]byte(rest), raw) == nil
}
