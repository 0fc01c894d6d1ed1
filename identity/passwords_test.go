package identity

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// A decoy that bcrypt finds malformed would be told from a hash by the time
// that comparing takes.
func TestADecoyIsAsDearAsAHash(t *testing.T) {
	hash, err := decoy(bcrypt.MinCost)
	require.NoError(t, err)
	require.ErrorIs(t, bcrypt.CompareHashAndPassword([]byte(hash), []byte("x")), bcrypt.ErrMismatchedHashAndPassword)
	cost, err := bcrypt.Cost([]byte(hash))
	require.NoError(t, err)
	require.Equal(t, bcrypt.MinCost, cost)
	_, err = decoy(bcrypt.MaxCost + 1)
	require.Error(t, err)
}
