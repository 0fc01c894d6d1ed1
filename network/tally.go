package network

import (
	"math/big"
	"time"
)

// tally is a count that may exceed 64 bits, as those of IPv6 addresses do.
type tally struct{ n *big.Int }

func newTally() tally { return tally{new(big.Int)} }

func (t tally) add(n int64)    { t.n.Add(t.n, big.NewInt(n)) }
func (t tally) join(o tally)   { t.n.Add(t.n, o.n) }
func (t tally) String() string { return t.n.String() }

// addPool adds the size of a pool.
func (t tally) addPool(p Pool) {
	first, last := new(big.Int).SetBytes(p.Start.AsSlice()), new(big.Int).SetBytes(p.End.AsSlice())
	t.n.Add(t.n, last.Sub(last, first))
	t.add(1)
}

// parseTime reads the API's times.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.999999", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Parse(time.RFC3339, s)
}
