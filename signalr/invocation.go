package signalr

import "github.com/gatehouse/gatehouse/signalr/wire"

// An Invocation is a call of a hub method by a client. It may be finished from
// any goroutine; later finishes have no effect, nor have those after the
// connection ended. Its values stay valid.
type Invocation struct {
	Target    string // the method, as the client spelled it; compare without case
	Arguments []wire.Value

	id string // empty: the client wants no answer
}

// Wanted reports whether the client awaits an answer. Complete or Fail must be
// called in any case.
func (i *Invocation) Wanted() bool { return i.id != "" }

// Complete answers with a result; the zero Value answers without one. The
// value is encoded before it returns.
func (i *Invocation) Complete(result wire.Value) {}

// Fail answers with an error. The text goes to the client.
func (i *Invocation) Fail(text string) {}
