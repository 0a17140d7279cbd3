// Package condition compiles and evaluates the conditions that administrators
// write: expressions in CEL, the Common Expression Language, over a message,
// an endpoint, a channel and the time. It knows no rules; those that have
// conditions decide what the answer means.
//
// An expression sees
//
//	msg       the message: id, type, subject, source, contentType, schema, to,
//	          key, group, correlationId, replyTo, time, enqueued, ttl,
//	          notBefore, hops, attributes, body, size (of the body, in bytes)
//	          and json (the body, parsed)
//	endpoint  the endpoint: name and labels
//	channel   the channel: name
//	now       the time of the decision
//
// so that
//
//	msg.type == "order" && msg.size < 65536 && endpoint.labels.site == "oslo"
//
// is a condition. Text that is not given is empty, a time that is not given is
// that of year 1. An attribute, label or JSON member that is not there makes
// the evaluation fail unless the expression asks first: has(msg.attributes.x),
// "x" in msg.attributes. has(msg.json) asks whether the body is JSON. Numbers
// of JSON are doubles. Besides CEL's own functions there are those of its
// strings extension that cannot make much out of little: charAt, indexOf,
// lastIndexOf, lowerAscii, reverse, split, substring, trim, upperAscii.
//
// What compiles has the right type, names only what exists, and costs little:
// the cost is estimated when the expression is compiled, and expressions whose
// cost grows with lists inside a message are metered while they run.
// Evaluation does no I/O, ends, and never panics. Conditions are immutable and
// safe for concurrent use.
package condition

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// MaxText is the greatest length of an expression in bytes.
const MaxText = 4096

// MaxAddresses is the greatest number of addresses an expression may return.
const MaxAddresses = 1024

// Vars are what an expression is evaluated over. They keep what was computed
// from the message, so that conditions evaluated over the same Vars parse its
// body at most once between them: the message must not change while they are
// used. Endpoint, Channel and Now may be changed between evaluations, and so
// may Message be replaced by another. Vars are not safe for concurrent use and
// not to be copied after their first use.
type Vars struct {
	Message  *gatehouse.Message
	Endpoint rule.Endpoint
	Channel  gatehouse.ChannelName
	Now      time.Time

	memo memo
}

// A Condition is a compiled expression that is true or false.
type Condition struct{ expression }

// Addresses is a compiled expression that names addresses.
type Addresses struct{ expression }

// Compile compiles an expression whose result is a boolean. The error is of
// kind Invalid and says in which line and column what is wrong.
func Compile(text string) (*Condition, error) {
	e, err := compile(text, func(t *cel.Type) string {
		if t.IsExactType(cel.BoolType) {
			return ""
		}
		return "a condition must be true or false" + advice(t, ` == "…"`)
	})
	if err != nil {
		return nil, err
	}
	return &Condition{*e}, nil
}

// CompileAddresses compiles an expression whose result is a string, one
// address, or a list of strings. The error is of kind Invalid and says in
// which line and column what is wrong.
func CompileAddresses(text string) (*Addresses, error) {
	list := cel.ListType(cel.StringType)
	e, err := compile(text, func(t *cel.Type) string {
		if t.IsExactType(cel.StringType) || t.IsExactType(list) {
			return ""
		}
		return "addresses must be a string or a list of strings" + advice(t, "")
	})
	if err != nil {
		return nil, err
	}
	return &Addresses{*e}, nil
}

// advice says what the type of an expression is and how to come to another.
func advice(t *cel.Type, comparison string) string {
	switch {
	case t.Kind() == types.DynKind && comparison != "":
		return fmt.Sprintf(", and the type of this is known only when it runs; compare it, as in … == true or …%s", comparison)
	case t.Kind() == types.DynKind:
		return ", and the type of this is known only when it runs; convert it, as in string(…)"
	}
	return ", and this is of type " + t.String()
}

// Eval reports whether the condition is true of v. An error means that it
// could not be evaluated: an attribute is missing, the body is not JSON, two
// values cannot be compared, the message makes it cost too much. It is safe to
// show to whoever may see the message.
func (c *Condition) Eval(v *Vars) (bool, error) {
	out, err := c.eval(v)
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("its result is of type %s", out.Type().TypeName())
	}
	return bool(b), nil
}

// Eval returns the addresses that the expression names for v; they may be any
// text, and none. The error is as for a Condition's.
func (a *Addresses) Eval(v *Vars) ([]string, error) {
	out, err := a.eval(v)
	if err != nil {
		return nil, err
	}
	if s, ok := out.(types.String); ok {
		return []string{string(s)}, nil
	}
	list, ok := out.(traits.Lister)
	if !ok {
		return nil, fmt.Errorf("its result is of type %s", out.Type().TypeName())
	}
	return addresses(list)
}

func addresses(list traits.Lister) ([]string, error) {
	n, ok := list.Size().(types.Int)
	if !ok || n > MaxAddresses {
		return nil, fmt.Errorf("it names more than %d addresses", MaxAddresses)
	}
	all := make([]string, 0, n)
	for i := range n {
		s, ok := list.Get(i).(types.String)
		if !ok {
			return nil, fmt.Errorf("address %d is not a string", i+1)
		}
		all = append(all, string(s))
	}
	return all, nil
}

// UsesChannel reports whether the result may depend on the channel. If not,
// one evaluation answers for all channels.
func (e *expression) UsesChannel() bool { return e.channel }

// expression is what conditions and addresses have in common.
type expression struct {
	env     *environment
	program cel.Program
	channel bool // whether the channel is mentioned
}

// eval evaluates the program. Its evaluator is not ours and the message is a
// stranger's: should one ever make the other panic, it is an error.
func (e *expression) eval(v *Vars) (out ref.Val, err error) {
	if v.Message == nil {
		return nil, errors.New("there is no message")
	}
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, errors.New("the evaluator failed on it")
		}
	}()
	v.memo.env = e.env
	out, _, err = e.program.Eval((*activation)(v))
	if err != nil {
		return nil, errors.New(shorten(err.Error()))
	}
	return out, nil
}
