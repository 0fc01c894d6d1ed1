package identity

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Keys is a repository of Fernet keys as Keystone keeps it: numbered keys of
// which the highest is the primary, which seals tokens; 0 is staged, which will
// be the next primary and already opens tokens made by those who rotated first;
// the others are secondary and open older tokens. It is safe for concurrent use.
type Keys struct {
	dir    string // empty: in memory
	random io.Reader

	mu      sync.RWMutex
	byIndex map[int]fernetKey
	ordered []fernetKey // to try on a token: the primary first, then staged, then younger before older
	version uint64      // counts changes of the set
}

// keySize is a Fernet key's length in bytes: one half signs, the other encrypts.
const keySize = 32

// OpenKeys opens the key repository in a directory, and makes it (mode 0700,
// with keys of mode 0600) when it does not exist or is empty. A real Keystone's
// repository is read as it is. A nil reader means crypto/rand.
func OpenKeys(dir string, random io.Reader) (*Keys, error) {
	if random == nil {
		random = rand.Reader
	}
	k := &Keys{dir: dir, random: random}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the token keys: %w", err)
	}
	if err := k.Reload(); err != nil {
		return nil, err
	}
	if len(k.byIndex) == 0 {
		if err := k.create(); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// MemoryKeys returns a repository that goes with the process, and every token
// with it. A nil reader means crypto/rand. It panics when randomness fails.
func MemoryKeys(random io.Reader) *Keys {
	if random == nil {
		random = rand.Reader
	}
	k := &Keys{random: random}
	if err := k.create(); err != nil {
		panic("identity: making token keys: " + err.Error())
	}
	return k
}

func (k *Keys) create() error {
	set := map[int]fernetKey{}
	for _, index := range []int{0, 1} {
		key, err := k.generate()
		if err != nil {
			return err
		}
		if err := k.write(index, key); err != nil {
			return err
		}
		set[index] = key
	}
	k.use(set)
	return nil
}

func (k *Keys) generate() (fernetKey, error) {
	var key fernetKey
	if _, err := io.ReadFull(k.random, key[:]); err != nil {
		return key, fmt.Errorf("making a token key: %w", err)
	}
	return key, nil
}

// Reload reads the directory again, for keys that somebody else distributed.
func (k *Keys) Reload() error {
	if k.dir == "" {
		return nil
	}
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return fmt.Errorf("reading the token keys: %w", err)
	}
	set := map[int]fernetKey{}
	for _, e := range entries {
		index, err := strconv.Atoi(e.Name())
		if err != nil || index < 0 || !e.Type().IsRegular() {
			continue // as Keystone does, leave what is no key alone
		}
		text, err := os.ReadFile(filepath.Join(k.dir, e.Name()))
		if err != nil {
			return fmt.Errorf("reading the token keys: %w", err)
		}
		if len(text) == 0 {
			continue // a key that is being distributed
		}
		key, err := parseKey(string(text))
		if err != nil {
			return fmt.Errorf("reading the token key %s: %w", e.Name(), err)
		}
		set[index] = key
	}
	k.use(set)
	return nil
}

func parseKey(text string) (fernetKey, error) {
	raw, err := base64.URLEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != keySize {
		return fernetKey{}, errors.New("a key is 32 bytes in URL-safe base64")
	}
	return fernetKey(raw), nil
}

// use makes a set of keys the one in force.
func (k *Keys) use(set map[int]fernetKey) {
	indexes := make([]int, 0, len(set))
	for i := range set {
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	slices.Reverse(indexes)
	if n := len(indexes); n > 1 && indexes[n-1] == 0 {
		indexes = append([]int{indexes[0], 0}, indexes[1:n-1]...)
	}
	ordered := make([]fernetKey, len(indexes))
	for i, index := range indexes {
		ordered[i] = set[index]
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.version > 0 && maps.Equal(set, k.byIndex) {
		return
	}
	k.byIndex, k.ordered = set, ordered
	k.version++
}

// write stores a key so that a reader finds it whole or not at all.
func (k *Keys) write(index int, key fernetKey) error {
	if k.dir == "" {
		return nil
	}
	f, err := os.CreateTemp(k.dir, ".key-") // mode 0600
	if err != nil {
		return fmt.Errorf("writing a token key: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.URLEncoding.EncodeToString(key[:]))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(k.dir, strconv.Itoa(index)))
	}
	if err != nil {
		return fmt.Errorf("writing a token key: %w", err)
	}
	return nil
}

// Rotate makes the staged key the primary, stages a new one, and drops the
// oldest secondary keys beyond maxActive, as `keystone-manage fernet_rotate`
// does. maxActive must be at least 3, or tokens would end with the rotation.
func (k *Keys) Rotate(maxActive int) error {
	if maxActive < 3 {
		return errors.New("rotating the token keys: at least 3 keys must be kept")
	}
	if err := k.Reload(); err != nil {
		return err
	}
	k.mu.RLock()
	set := make(map[int]fernetKey, len(k.byIndex)+1)
	primary := 0
	for i, key := range k.byIndex {
		set[i], primary = key, max(primary, i)
	}
	k.mu.RUnlock()
	staged, err := k.generate()
	if err != nil {
		return err
	}
	if old, ok := set[0]; ok {
		if err := k.write(primary+1, old); err != nil {
			return err
		}
		set[primary+1] = old
	}
	if err := k.write(0, staged); err != nil {
		return err
	}
	set[0] = staged
	indexes := make([]int, 0, len(set))
	for i := range set {
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	for len(indexes) > maxActive {
		oldest := indexes[1] // the lowest but the staged one
		if k.dir != "" {
			if err := os.Remove(filepath.Join(k.dir, strconv.Itoa(oldest))); err != nil {
				return fmt.Errorf("dropping a token key: %w", err)
			}
		}
		delete(set, oldest)
		indexes = slices.Delete(indexes, 1, 2)
	}
	k.use(set)
	return nil
}

// seal makes a Fernet token of a payload.
func (k *Keys) seal(payload []byte, at time.Time) (string, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if len(k.ordered) == 0 {
		return "", errors.New("sealing a token: there is no key")
	}
	return k.ordered[0].seal(payload, at, k.random)
}

// open returns a Fernet token's payload and when it was made.
func (k *Keys) open(token string) ([]byte, time.Time, error) {
	k.mu.RLock()
	ordered := k.ordered
	k.mu.RUnlock()
	return openFernet(token, ordered)
}

// Version grows whenever the set of keys changes.
func (k *Keys) Version() uint64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.version
}
