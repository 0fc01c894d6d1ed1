package faults

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/reconcile"
)

// Config are the parts of a Set. The zero value is ready to use.
type Config struct {
	Seed  uint64       // of what is left to chance
	Clock nephos.Clock // for latencies; nil: that of the cloud
	IDs   nephos.IDs   // of rules
	Log   *slog.Logger // gets a line for each hit; nil: that of the cloud
	// Crash ends the process at the crash point; nil panics with
	// [reconcile.Crash], which ends a process whose goroutine nobody saves, and
	// which tests catch.
	Crash func(at string)
}

// Set is a cloud's rules. It is safe for concurrent use.
type Set struct {
	cfg   Config
	count atomic.Int32 // of rules, so that a cloud without any pays nothing

	mu     sync.Mutex
	rules  []*active
	random *rand.Rand
	dead   map[string]*held // by host
	steps  map[string]int   // how often each crash point was passed
}

type active struct {
	Rule
	seen, hits int
}

// maxRules bounds a set, and maxSteps the crash points it remembers.
const (
	maxRules = 1000
	maxSteps = 1000
)

// New returns a set without rules.
func New(cfg Config) *Set {
	if cfg.Crash == nil {
		cfg.Crash = func(at string) { panic(reconcile.Crash{At: at}) }
	}
	s := &Set{cfg: cfg, dead: map[string]*held{}, steps: map[string]int{}}
	s.seed(cfg.Seed)
	return s
}

func (s *Set) seed(n uint64) { s.random = rand.New(rand.NewPCG(n, 0x6e6570686f73)) }

// Attach gives a set the clock and the log of the cloud that it is for, where its
// Config named none.
func (s *Set) Attach(clock nephos.Clock, log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Clock == nil {
		s.cfg.Clock = clock
	}
	if s.cfg.Log == nil {
		s.cfg.Log = log
	}
}

// Added is a rule in a set, with how often it matched and how often it hit.
type Added struct {
	Rule
	Seen, Hits int
}

// Add adds a rule behind those that are there, and returns it with its id. A
// rule that means nothing is [nephos.ErrInvalid]; an id that is taken
// [nephos.ErrConflict].
func (s *Set) Add(r Rule) (Added, error) {
	if err := r.Validate(); err != nil {
		return Added{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.ID == "" {
		r.ID = s.cfg.IDs.New()
	}
	if s.find(r.ID) >= 0 {
		return Added{}, nephos.Errorf(nephos.ErrConflict, "There is a rule %s already.", r.ID)
	}
	if len(s.rules) >= maxRules {
		return Added{}, nephos.Errorf(nephos.ErrQuota, "There are %d rules, which is the most: remove some.", maxRules)
	}
	s.rules = append(s.rules, &active{Rule: r})
	s.count.Store(int32(len(s.rules)))
	if r.Point == Host && s.dead[r.Host] == nil {
		s.dead[r.Host] = &held{}
	}
	return Added{Rule: r}, nil
}

// MustAdd is Add for rules that are known to be good: it panics otherwise.
func (s *Set) MustAdd(rules ...Rule) {
	for _, r := range rules {
		if _, err := s.Add(r); err != nil {
			panic("faults: " + err.Error())
		}
	}
}

func (s *Set) find(id string) int {
	return slices.IndexFunc(s.rules, func(r *active) bool { return r.ID == id })
}

// Rules returns the rules in their order.
func (s *Set) Rules() []Added {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Added, len(s.rules))
	for i, r := range s.rules {
		out[i] = Added{r.Rule, r.seen, r.hits}
	}
	return out
}

// Rule returns one rule, or [nephos.ErrNotFound].
func (s *Set) Rule(id string) (Added, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(id)
	if i < 0 {
		return Added{}, nephos.NotFound("fault rule", id)
	}
	return Added{s.rules[i].Rule, s.rules[i].seen, s.rules[i].hits}, nil
}

// Remove removes a rule, or returns [nephos.ErrNotFound]. A host that was dead
// by it and by no other lives again.
func (s *Set) Remove(id string) error {
	s.mu.Lock()
	i := s.find(id)
	if i < 0 {
		s.mu.Unlock()
		return nephos.NotFound("fault rule", id)
	}
	s.rules = slices.Delete(s.rules, i, i+1)
	s.count.Store(int32(len(s.rules)))
	revived := s.revive()
	s.mu.Unlock()
	s.release(revived)
	return nil
}

// Reset removes all rules, forgets which crash points were passed, and begins
// chance anew with the seed.
func (s *Set) Reset(seed uint64) {
	s.mu.Lock()
	s.rules, s.steps = nil, map[string]int{}
	s.count.Store(0)
	s.seed(seed)
	revived := s.revive()
	s.mu.Unlock()
	s.release(revived)
}

// Steps returns the names of the crash points that were passed, and how often,
// for those who want to crash at each.
func (s *Set) Steps() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.steps))
	for k, v := range s.steps {
		out[k] = v
	}
	return out
}

// decide returns how long to wait and, where there is one, the rule that hits.
func (s *Set) decide(point Point, matches func(*Rule) bool) (delay time.Duration, hit *Rule) {
	if s.count.Load() == 0 {
		return 0, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if r.Point != point || r.Effect != Latency && hit != nil || !matches(&r.Rule) {
			continue
		}
		r.seen++
		if r.seen <= r.Skip || r.Count > 0 && r.hits >= r.Count || r.Probability > 0 && s.random.Float64() >= r.Probability {
			continue
		}
		r.hits++
		if s.cfg.Log != nil {
			s.cfg.Log.Warn("a fault was injected", "rule", r.Rule.String(), "hits", r.hits)
		}
		if r.Effect == Latency {
			delay += r.Delay
			continue
		}
		found := r.Rule
		hit = &found
	}
	return delay, hit
}

// sleep lets a latency pass.
func (s *Set) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	s.mu.Lock()
	clock := s.cfg.Clock
	s.mu.Unlock()
	if clock == nil {
		clock = nephos.WallClock{}
	}
	return nephos.Sleep(ctx, clock, d)
}

// like compares a name with a pattern, whose * at the end stands for any rest.
func like(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == "" || pattern == name
}

// CrashPoint returns the crash point that a cloud, or one host's agent, is
// composed with: next, which may be nil, is called where no rule hits. crash ends
// what has the crash point; nil is the Set's own.
func (s *Set) CrashPoint(next nephos.CrashPoint, crash func(at string)) nephos.CrashPoint {
	if crash == nil {
		crash = s.cfg.Crash
	}
	return func(name string) {
		s.mu.Lock()
		if _, known := s.steps[name]; known || len(s.steps) < maxSteps {
			s.steps[name]++
		}
		s.mu.Unlock()
		_, hit := s.decide(Step, func(r *Rule) bool {
			return like(r.Operation, name) && (r.Service == "" || strings.Contains(" "+name, " "+r.Service))
		})
		if hit != nil {
			crash(name)
			return
		}
		next.Here(name)
	}
}
