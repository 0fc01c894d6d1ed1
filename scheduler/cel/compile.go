package cel

import (
	"fmt"
	"strings"

	celgo "cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"

	"github.com/nephos-cloud/nephos"
)

// Options are the options of an expression.
type Options struct {
	// CostLimit bounds the cost of judging one host, in the language's units: a
	// comparison or the reading of a variable costs about 1, a walk over a list
	// as much as it is long. 0 means DefaultCostLimit.
	CostLimit uint64
	// Reason completes the sentence "3 hosts …" where a filter turns hosts away;
	// empty means that it names the filter. Fix says what would help.
	Reason, Fix string
}

// DefaultCostLimit is what one host may cost.
const DefaultCostLimit = 100_000

// Bounds on an expression, and on what it is assumed to walk over.
const (
	maxBytes   = 16 << 10
	maxDepth   = 60
	maxNodes   = 2000
	longString = 256
	longList   = 1024
	regexSize  = 1000
)

// program is an expression that is ready to run.
type program struct {
	run    celgo.Program
	vars   map[string]*Variable
	shared bool
	kind   *celgo.Type
}

// compile parses and checks an expression over the variables.
func compile(what, expression string, vars []Variable, o Options) (*program, error) {
	fail := func(format string, args ...any) error {
		return nephos.Errorf(nephos.ErrInvalid, what+": "+format, args...).WithField("expression")
	}
	switch {
	case strings.TrimSpace(expression) == "":
		return nil, fail("the expression is empty")
	case len(expression) > maxBytes:
		return nil, fail("the expression is longer than %d bytes", maxBytes)
	}
	opts := []celgo.EnvOption{
		celgo.CrossTypeNumericComparisons(true), celgo.ParserRecursionLimit(maxDepth), celgo.ParserExpressionSizeLimit(maxBytes),
		celgo.ExpressionNodeLimit(maxNodes), celgo.RegexProgramSizeLimit(regexSize),
	}
	p := &program{vars: map[string]*Variable{}}
	for i := range vars {
		p.vars[vars[i].Name] = &vars[i]
		opts = append(opts, celgo.Variable(vars[i].Name, vars[i].kind))
	}
	env, err := celgo.NewEnv(opts...)
	if err != nil {
		return nil, fail("%v", err)
	}
	parsed, issues := env.Parse(expression)
	if issues.Err() != nil {
		return nil, fail("%v", issues.Err())
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, fail("%v", issues.Err())
	}
	p.kind = checked.OutputType()
	if o.CostLimit == 0 {
		o.CostLimit = DefaultCostLimit
	}
	estimate, err := env.EstimateCost(checked, sizes{})
	if err != nil {
		return nil, fail("its cost cannot be estimated: %v", err)
	}
	if estimate.Max > o.CostLimit {
		return nil, fail("the expression may cost %s for one host, and the limit is %d: walk over less", costWord(estimate.Max), o.CostLimit)
	}
	p.shared = p.onlyShared(checked)
	p.run, err = env.Program(checked, celgo.CostLimit(o.CostLimit), celgo.EvalOptions(celgo.OptOptimize))
	if err != nil {
		return nil, fail("%v", err)
	}
	return p, nil
}

func costWord(n uint64) string {
	if n > 1<<62 {
		return "without bound"
	}
	return fmt.Sprint(n)
}

// sizes tells the estimate how long things may be.
type sizes struct{}

// EstimateSize implements the language's estimator.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if len(n.Path()) == 0 {
		return nil
	}
	long := uint64(longList)
	if n.Type() != nil && n.Type().Kind() == celgo.StringKind {
		long = longString
	}
	return &cost.SizeEstimate{Min: 0, Max: long}
}

// EstimateCallCost implements the language's estimator.
func (sizes) EstimateCallCost(_, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	return nil
}

// onlyShared says whether all variables of the expression are the same for
// hosts with an equal profile.
func (p *program) onlyShared(checked *celgo.Ast) bool {
	for _, ref := range checked.NativeRep().ReferenceMap() {
		if v := p.vars[ref.Name]; v != nil && !v.shared {
			return false
		}
	}
	return true
}
