package watch

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/nephos-cloud/nephos"
)

// tokenSize is a version, a generation, a number and a check of all three.
const tokenSize = 1 + 8 + 8 + 5

const tokenVersion = 1

func makeToken(epoch uint64, seq int64) string {
	var b [tokenSize]byte
	b[0] = tokenVersion
	binary.BigEndian.PutUint64(b[1:], epoch)
	binary.BigEndian.PutUint64(b[9:], uint64(seq))
	sum := sha256.Sum256(b[:17])
	copy(b[17:], sum[:5])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// readToken reads what makeToken wrote.
func readToken(text string) (epoch uint64, seq int64, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	sum := [32]byte{}
	if err == nil && len(b) == tokenSize {
		sum = sha256.Sum256(b[:17])
	}
	if err != nil || len(b) != tokenSize || b[0] != tokenVersion || string(b[17:]) != string(sum[:5]) {
		return 0, 0, nephos.Errorf(nephos.ErrInvalid,
			"The resume token is not one that this API gave: send the id of an event unchanged, or leave it out to begin with what comes next.").WithField("since")
	}
	seq = int64(binary.BigEndian.Uint64(b[9:]))
	return binary.BigEndian.Uint64(b[1:]), seq, nil
}

func gone() error {
	return nephos.Errorf(nephos.ErrGone,
		"The resume token has expired: events that followed it are no longer kept. Begin anew without it, with snapshot=true to see what there is now.").WithField("since")
}
