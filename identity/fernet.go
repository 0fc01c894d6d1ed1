package identity

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
)

// A Fernet token (github.com/fernet/spec) is version 0x80, the time as 64 bits
// of seconds, an IV, the payload under AES-128-CBC with PKCS #7 padding, and an
// HMAC-SHA256 over all of that; in URL-safe base64, from which Keystone strips
// the padding.
const (
	fernetVersion  = 0x80
	fernetOverhead = 1 + 8 + aes.BlockSize + sha256.Size
	maxToken       = 8 << 10 // bytes of text
)

// fernetKey is 16 bytes that sign and 16 that encrypt.
type fernetKey [keySize]byte

func (k *fernetKey) mac(data []byte) []byte {
	h := hmac.New(sha256.New, k[:16])
	h.Write(data)
	return h.Sum(nil)
}

func (k *fernetKey) seal(payload []byte, at time.Time, random io.Reader) (string, error) {
	pad := aes.BlockSize - len(payload)%aes.BlockSize
	head := 1 + 8 + aes.BlockSize
	msg := make([]byte, head+len(payload)+pad, head+len(payload)+pad+sha256.Size)
	msg[0] = fernetVersion
	binary.BigEndian.PutUint64(msg[1:], uint64(at.Unix()))
	iv := msg[9:head]
	if _, err := io.ReadFull(random, iv); err != nil {
		return "", fmt.Errorf("sealing a token: %w", err)
	}
	copy(msg[head:], payload)
	for i := head + len(payload); i < len(msg); i++ {
		msg[i] = byte(pad)
	}
	block, err := aes.NewCipher(k[16:])
	if err != nil {
		return "", fmt.Errorf("sealing a token: %w", err)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(msg[head:], msg[head:])
	return base64.RawURLEncoding.EncodeToString(append(msg, k.mac(msg)...)), nil
}

// errToken says that a token is none of ours. It says no more on purpose.
func errToken(cause string) error {
	e := nephos.Errorf(nephos.ErrUnauthenticated, "This is not a recognized Fernet token.")
	e.Cause = fmt.Errorf("opening a token: %s", cause)
	return e
}

// openFernet tries the keys on a token.
func openFernet(token string, keys []fernetKey) ([]byte, time.Time, error) {
	if len(token) > maxToken {
		return nil, time.Time{}, errToken("it is too long")
	}
	msg, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(token, "="))
	if err != nil || len(msg) < fernetOverhead+aes.BlockSize || msg[0] != fernetVersion || (len(msg)-fernetOverhead)%aes.BlockSize != 0 {
		return nil, time.Time{}, errToken("it is malformed")
	}
	signed, mac := msg[:len(msg)-sha256.Size], msg[len(msg)-sha256.Size:]
	for i := range keys {
		if !hmac.Equal(mac, keys[i].mac(signed)) {
			continue
		}
		block, err := aes.NewCipher(keys[i][16:])
		if err != nil {
			return nil, time.Time{}, errToken(err.Error())
		}
		payload := make([]byte, len(signed)-9-aes.BlockSize)
		cipher.NewCBCDecrypter(block, signed[9:9+aes.BlockSize]).CryptBlocks(payload, signed[9+aes.BlockSize:])
		pad := int(payload[len(payload)-1])
		if pad < 1 || pad > aes.BlockSize {
			return nil, time.Time{}, errToken("its padding is wrong")
		}
		seconds := binary.BigEndian.Uint64(signed[1:])
		if seconds > 1<<40 {
			return nil, time.Time{}, errToken("its time is out of range")
		}
		return payload[:len(payload)-pad], time.Unix(int64(seconds), 0).UTC(), nil
	}
	return nil, time.Time{}, errToken("no key opens it")
}
