package condition

import (
	"strings"

	"github.com/gatehouse/gatehouse"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
)

// compile compiles and checks an expression. Refuse says what is wrong with
// its type, and is empty if nothing is.
func compile(text string, refuse func(*cel.Type) string) (e *expression, err error) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the expression is empty")
	case len(text) > MaxText:
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the expression is %d bytes long; at most %d are allowed", len(text), MaxText)
	}
	// The compiler is not ours, and must not end the process either.
	defer func() {
		if r := recover(); r != nil {
			e, err = nil, gatehouse.Errorf(gatehouse.Invalid, "the expression makes the compiler fail; write it differently")
		}
	}()
	env, err := theEnvironment()
	if err != nil {
		return nil, gatehouse.Wrap(gatehouse.Internal, err, "the compiler of expressions does not start")
	}
	checked, issues := env.cel.Compile(text)
	if issues.Err() != nil {
		return nil, env.explain(text, issues.Errors())
	}
	tree := checked.NativeRep()
	s := survey{tree: tree}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(s.visit))
	if s.fault != "" {
		return nil, faultAt(text, s.at, s.fault)
	}
	if fault := refuse(checked.OutputType()); fault != "" {
		return nil, faultAt(text, common.NewLocation(1, 0), fault)
	}
	if err := env.checkCost(checked); err != nil {
		return nil, err
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if s.loops {
		options = append(options, cel.CostLimit(maxCost))
	}
	program, err := env.cel.Program(checked, options...)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the expression cannot be compiled: %s", shorten(err.Error()))
	}
	return &expression{env: env, program: program, channel: s.channel}, nil
}

// A survey is what a walk through an expression finds.
type survey struct {
	tree    *ast.AST
	channel bool // the channel is mentioned
	loops   bool // it loops over something that is not written in it
	fault   string
	at      common.Location
}

func (s *survey) visit(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		s.channel = s.channel || e.AsIdent() == "channel"
	case ast.StructKind:
		s.refuse(e, "objects cannot be made here, only lists […] and maps {…}")
	case ast.ComprehensionKind:
		s.loops = s.loops || e.AsComprehension().IterRange().Kind() != ast.ListKind
	case ast.CallKind:
		s.call(e, e.AsCall())
	}
}

func (s *survey) call(e ast.Expr, call ast.CallExpr) {
	switch name := call.FunctionName(); name {
	case "replace", "join", "format", "strings.quote":
		// They can make much out of little, or take a stranger's precision.
		s.refuse(e, "the function "+name+" is not available")
	case overloads.Matches:
		// A pattern is compiled once here, or else for each message and by
		// its sender.
		if args := call.Args(); len(args) == 0 || args[len(args)-1].Kind() != ast.LiteralKind {
			s.refuse(e, "the pattern of matches must be written here, in quotes")
		}
	}
}

// refuse notes the first fault.
func (s *survey) refuse(e ast.Expr, fault string) {
	if s.fault == "" {
		s.fault, s.at = fault, s.tree.SourceInfo().GetStartLocation(e.ID())
	}
}
