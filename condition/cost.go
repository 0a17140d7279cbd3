package condition

import (
	"math"

	"github.com/gatehouse/gatehouse"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
)

// maxCost is what an expression may cost, in CEL's units: one is an operation,
// or ten bytes of text looked at, some tens of nanoseconds. It is held against
// the estimate for a typical message when the expression is compiled, and
// against the true cost while an expression with loops runs, since the sender
// says how long the lists in his message are.
const maxCost = 200_000

// Sizes of a typical message's parts, for the estimate.
const (
	typicalText    = 256       // bytes of a text of the envelope, or of a value
	typicalBody    = 256 << 10 // bytes
	typicalEntries = 100       // of a list or map
)

// checkCost refuses what costs too much for a typical message.
func (e *environment) checkCost(checked *cel.Ast) error {
	estimate, err := e.cel.EstimateCost(checked, sizes{})
	switch {
	case err != nil:
		return gatehouse.Errorf(gatehouse.Invalid, "the cost of the expression cannot be estimated: %s", shorten(err.Error()))
	case estimate.Max == math.MaxUint64:
		return gatehouse.Errorf(gatehouse.Invalid, "the cost of the expression has no bound; it may be at most %d. Make loops not depend on each other", maxCost)
	case estimate.Max > maxCost:
		return gatehouse.Errorf(gatehouse.Invalid, "the cost of the expression is estimated as up to %d; it may be at most %d. Use fewer loops within each other, or look at less than the whole body", estimate.Max, maxCost)
	}
	return nil
}

// sizes tells the estimator how large the variables are.
type sizes struct{}

// EstimateCallCost leaves the costs of functions to CEL.
func (sizes) EstimateCallCost(_, _ string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	return nil
}

// EstimateSize returns the size of a variable's part.
func (sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	path := node.Path()
	if len(path) == 0 {
		return nil
	}
	most := uint64(typicalText)
	switch {
	case len(path) == 2 && path[0] == "msg" && path[1] == "body":
		most = typicalBody
	case node.Type().Kind() != cel.StringType.Kind() && node.Type().Kind() != cel.BytesType.Kind():
		most = typicalEntries
	}
	return &cost.SizeEstimate{Min: 0, Max: most}
}
