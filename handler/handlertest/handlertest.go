// Package handlertest proves a handler: Run checks what every handler owes to
// who runs it, whatever its work is.
//
// A handler is called by one goroutine per partition, so by several at once.
// It leaves the messages it is given as they are. It returns soon after its
// context is done. Asked again about a message, by the same or, after a
// restart, by another instance, it sends the same again: what was stored of
// the first answer is not stored again. What it sent does not change later.
// Nothing a message holds makes it panic.
package handlertest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/handler"
)

// A Harness is what a kind of handler brings to be proved. Messages and
// Rejected together should make it do all it can do.
type Harness struct {
	// New makes a handler, the same each time, and is called several times.
	New func(t *testing.T) handler.Handler
	// Messages are handled without an error.
	Messages []*gatehouse.Message
	// Rejected, by the reason of the dead letter they become, are not.
	Rejected map[string]*gatehouse.Message
	// Blocked, if the handler waits for others, makes one that waits for what
	// does not come, and a message that has it do so.
	Blocked func(t *testing.T) (handler.Handler, *gatehouse.Message)
}

// patience is how long a handler may take to notice that its context is done.
const patience = 10 * time.Second

// Run checks a kind of handler. The race detector finds more.
func Run(t *testing.T, h Harness) {
	t.Helper()
	checks := []struct {
		name string
		run  func(h *Harness, make func() handler.Handler) error
	}{
		{"Outcome", checkOutcome},
		{"LeavesMessagesAlone", checkUnchanged},
		{"SendsTheSameAgain", checkRepeat},
		{"Concurrent", checkConcurrent},
		{"OddMessages", checkOdd},
		{"ContextDone", checkDone},
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			if err := c.run(&h, func() handler.Handler { return h.New(t) }); err != nil {
				t.Error(err)
			}
		})
	}
	if h.Blocked == nil {
		return
	}
	t.Run("Blocked", func(t *testing.T) {
		blocked, m := h.Blocked(t)
		if err := checkBlocked(blocked, m); err != nil {
			t.Error(err)
		}
	})
}

// all returns every message of the harness, in a fixed order.
func (h *Harness) all() []*gatehouse.Message {
	all := slices.Clone(h.Messages)
	reasons := make([]string, 0, len(h.Rejected))
	for r := range h.Rejected {
		reasons = append(reasons, r)
	}
	slices.Sort(reasons)
	for _, r := range reasons {
		all = append(all, h.Rejected[r])
	}
	return all
}

// An answer is what came of handling a message.
type answer struct {
	outputs []handler.Output
	err     error
}

// Send implements handler.Sender.
func (a *answer) Send(address string, m *gatehouse.Message) {
	a.outputs = append(a.outputs, handler.Output{Address: address, Message: m})
}

// SendLabels implements handler.Sender.
func (a *answer) SendLabels(selector string, m *gatehouse.Message) {
	a.outputs = append(a.outputs, handler.Output{Labels: selector, Message: m})
}

// ask has m handled. What is sent of a message that fails counts for nothing.
func ask(ctx context.Context, h handler.Handler, m *gatehouse.Message) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = answer{err: fmt.Errorf("the handler panicked: %v", p)}
		}
	}()
	if a.err = h.Handle(ctx, m, &a); a.err != nil {
		a.outputs = nil
	}
	return a
}

// frozen returns a copy of a that later changes do not reach.
func (a *answer) frozen() answer {
	c := answer{outputs: slices.Clone(a.outputs), err: a.err}
	for i := range c.outputs {
		c.outputs[i].Message = clone(c.outputs[i].Message)
	}
	return c
}

// differs says how b differs from a; nil if it does not.
func (a *answer) differs(b *answer) error {
	if (a.err == nil) != (b.err == nil) || a.err != nil && handler.Reason(a.err) != handler.Reason(b.err) {
		return fmt.Errorf("the outcome is %v; it was %v", b.err, a.err)
	}
	if len(a.outputs) != len(b.outputs) {
		return fmt.Errorf("%d messages are sent; %d were", len(b.outputs), len(a.outputs))
	}
	for i := range a.outputs {
		x, y := &a.outputs[i], &b.outputs[i]
		if x.Address != y.Address || x.Labels != y.Labels || !reflect.DeepEqual(x.Message, y.Message) {
			return fmt.Errorf("output %d is %s; it was %s", i, describe(y), describe(x))
		}
	}
	return nil
}

func describe(o *handler.Output) string {
	return fmt.Sprintf("to %q, labels %q: %+v", o.Address, o.Labels, o.Message)
}

// clone copies all of m that can be changed.
func clone(m *gatehouse.Message) *gatehouse.Message {
	if m == nil {
		return nil
	}
	c := *m
	c.To, c.Attributes, c.Body = slices.Clone(m.To), slices.Clone(m.Attributes), slices.Clone(m.Body)
	if m.Dead != nil {
		dead := *m.Dead
		c.Dead = &dead
	}
	return &c
}

func checkOutcome(h *Harness, make func() handler.Handler) error {
	var errs []error
	worker := make()
	for _, m := range h.Messages {
		a := ask(context.Background(), worker, m)
		if a.err != nil {
			errs = append(errs, fmt.Errorf("message %q: %w", m.ID, a.err))
		}
		for i := range a.outputs {
			if o := &a.outputs[i]; o.Message == nil || o.Address == "" && o.Labels == "" {
				errs = append(errs, fmt.Errorf("message %q: output %d is incomplete: %s", m.ID, i, describe(o)))
			}
		}
	}
	for reason, m := range h.Rejected {
		err := ask(context.Background(), worker, m).err
		if _, again := handler.IsTransient(err); err == nil || again || handler.Reason(err) != reason {
			errs = append(errs, fmt.Errorf("message %q: %v; want it given up with reason %s", m.ID, err, reason))
		}
	}
	return errors.Join(errs...)
}

func checkUnchanged(h *Harness, make func() handler.Handler) error {
	worker := make()
	for _, m := range h.all() {
		before := clone(m)
		ask(context.Background(), worker, m)
		if !reflect.DeepEqual(before, m) {
			return fmt.Errorf("message %q was changed:\n%+v\nbecame\n%+v", before.ID, before, m)
		}
	}
	return nil
}

func checkRepeat(h *Harness, make func() handler.Handler) error {
	worker := make()
	var given, kept []answer
	for _, m := range h.all() {
		a := ask(context.Background(), worker, m)
		given, kept = append(given, a), append(kept, a.frozen())
	}
	for _, other := range []handler.Handler{worker, make()} {
		for i, m := range h.all() {
			again := ask(context.Background(), other, m)
			if err := kept[i].differs(&again); err != nil {
				return fmt.Errorf("message %q, asked again: %w", m.ID, err)
			}
		}
	}
	for i, m := range h.all() {
		if err := kept[i].differs(&given[i]); err != nil {
			return fmt.Errorf("message %q: what was sent has changed since: %w", m.ID, err)
		}
	}
	return nil
}

func checkConcurrent(h *Harness, make func() handler.Handler) error {
	worker := make()
	all := h.all()
	want := []answer{}
	for _, m := range all {
		a := ask(context.Background(), worker, m)
		want = append(want, a.frozen())
	}
	const callers, rounds = 8, 20
	faults := [callers]error{}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := range rounds * len(all) {
				i := (n + c) % len(all)
				got := ask(context.Background(), worker, all[i])
				if err := want[i].differs(&got); err != nil {
					faults[c] = fmt.Errorf("message %q, while others are handled: %w", all[i].ID, err)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(faults[:]...)
}

// oddMessages are valid, but not what anyone expects.
func oddMessages() []*gatehouse.Message {
	return []*gatehouse.Message{
		{},
		{ID: "\x00\xff", Subject: "\xfe", Type: "é", To: []string{"", "/", "endpoints/", "channels/", "nowhere", "endpoints/\x00"}, ReplyTo: "?"},
		{ID: "many", To: slices.Repeat([]string{"endpoints/e"}, 1000), Attributes: slices.Repeat([]gatehouse.Attribute{{}}, 1000)},
		{ID: "big", ContentType: "application/json", Body: slices.Repeat([]byte("["), 1<<20)},
		{ID: "dead", Dead: &gatehouse.DeadLetter{Reason: "r"}, Hops: 255, TTL: 1 << 62, Time: time.Unix(1<<40, 0)},
	}
}

func checkOdd(_ *Harness, make func() handler.Handler) error {
	worker := make()
	for _, m := range oddMessages() {
		before := clone(m)
		if p := panicOf(func() { _ = worker.Handle(context.Background(), m, new(answer)) }); p != nil {
			return fmt.Errorf("message %q makes the handler panic: %v", m.ID, p)
		}
		if !reflect.DeepEqual(before, m) {
			return fmt.Errorf("message %q was changed", m.ID)
		}
	}
	return nil
}

func panicOf(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

func checkDone(h *Harness, make func() handler.Handler) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	worker := make()
	for _, m := range h.all() {
		if !returns(ctx, worker, m) {
			return fmt.Errorf("message %q: the handler goes on %v after its context is done", m.ID, patience)
		}
	}
	return nil
}

func checkBlocked(h handler.Handler, m *gatehouse.Message) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := make(chan struct{})
	go func() { <-began; cancel() }()
	if !returns(ctx, beginning{h, began}, m) {
		return fmt.Errorf("message %q: the handler goes on waiting %v after its context is done", m.ID, patience)
	}
	return nil
}

// beginning tells when its handler is called.
type beginning struct {
	handler.Handler
	began chan struct{}
}

func (b beginning) Handle(ctx context.Context, m *gatehouse.Message, out handler.Sender) error {
	close(b.began)
	return b.Handler.Handle(ctx, m, out)
}

// returns reports whether h is soon done with m.
func returns(ctx context.Context, h handler.Handler, m *gatehouse.Message) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		ask(ctx, h, m)
	}()
	select {
	case <-done:
		return true
	case <-time.After(patience):
		return false
	}
}
