package dispatch

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/handler"
)

// Limits of one round of a worker.
const (
	maxRoundMessages = 512
	maxRoundBytes    = 1 << 20
)

// maxDescription is how much is kept of what a handler says about a failure.
const maxDescription = 1024

// Reasons of dead letters, part of the documented interface, beside those that
// handlers give.
const (
	ReasonAttempts = "MaxAttemptsExceeded"
	ReasonExpired  = "TTLExpired"
	ReasonHops     = "HopLimitExceeded"
)

// A round is what a worker does between two positions of its cursor.
type round struct {
	messages []*gatehouse.Message
	segments []segment

	source gatehouse.Offset // of the message being handled
	sent   []handler.Output // by its handler
}

// A segment is a stretch of a round: messages that gave rise to outputs, and
// then messages that were given up, each among messages that did neither. The
// outputs are stored first, then the dead letters, then comes the next segment:
// so nothing is stored that came after a dead letter which is not, and what was
// given up once, and succeeds when it is repeated after a crash, is not taken
// for delivered.
type segment struct {
	outputs  []handler.Output
	through  gatehouse.Offset // of the last message before the first given up
	dead     []death
	messages int
	last     *gatehouse.Message
}

// A death is a message that was given up.
type death struct {
	message *gatehouse.Message
	why     gatehouse.DeadLetter
}

// Send implements handler.Sender.
func (r *round) Send(address string, m *gatehouse.Message) {
	r.sent = append(r.sent, handler.Output{Address: address, Message: m, Source: r.source})
}

// SendLabels implements handler.Sender.
func (r *round) SendLabels(selector string, m *gatehouse.Message) {
	r.sent = append(r.sent, handler.Output{Labels: selector, Message: m, Source: r.source})
}

// reset empties the round, keeping its memory.
func (r *round) reset() {
	clear(r.messages)
	r.messages = r.messages[:0]
	for i := range r.segments {
		s := &r.segments[i]
		clear(s.outputs)
		clear(s.dead)
		*s = segment{outputs: s.outputs[:0], dead: s.dead[:0]}
	}
	r.segments = r.segments[:0]
	clear(r.sent)
	r.sent = r.sent[:0]
}

// segment returns the segment that m is the next message of.
func (r *round) segment(m *gatehouse.Message) *segment {
	n := len(r.segments)
	switch {
	case n > 0 && (len(r.sent) == 0 || len(r.segments[n-1].dead) == 0):
		n--
	case n < cap(r.segments):
		r.segments = r.segments[:n+1]
	default:
		r.segments = append(r.segments, segment{})
	}
	s := &r.segments[n]
	s.messages++
	s.last = m
	return s
}

// handled notes that m was handled.
func (r *round) handled(m *gatehouse.Message) {
	s := r.segment(m)
	s.outputs = append(s.outputs, r.sent...)
	if len(s.dead) == 0 {
		s.through = m.Position.Offset
	}
}

// givenUp notes that m was given up.
func (r *round) givenUp(m *gatehouse.Message, why gatehouse.DeadLetter) {
	r.sent = r.sent[:0]
	s := r.segment(m)
	s.dead = append(s.dead, death{m, why})
}

// work does one round: it handles the next messages, up to offset end if that
// is not zero, stores the outcome and moves the cursor. It returns how many
// messages it is done with, and the error that stopped it short. What was
// handled is stored under hand.
func (w *worker) work(ctx, hand context.Context, end gatehouse.Offset) (int, error) {
	r := &w.round
	defer r.reset()
	next, err := w.read(ctx, end)
	if err != nil {
		return 0, err
	}
	var held error
	for _, m := range r.messages {
		if held = w.handle(ctx, m); held != nil {
			next = m.Position.Offset
			break
		}
	}
	n, err := w.store(hand, next)
	if err != nil {
		return n, err
	}
	return n, held
}

// handle gives m to the handler. It returns an error only if m must be tried
// again; whatever else happens, m is done with.
func (w *worker) handle(ctx context.Context, m *gatehouse.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &w.round
	w.aim = gatehouse.DeadLetter{}
	if m.Dead != nil { // it is given another life
		w.aim, m.Dead = *m.Dead, nil
	}
	if expires := m.Expires(); !expires.IsZero() && !time.Now().Before(expires) {
		w.giveUp(m, ReasonExpired, fmt.Sprintf("the message was not handled within its time to live of %v", m.TTL))
		return nil
	}
	if m.Hops > gatehouse.MaxHops {
		w.giveUp(m, ReasonHops, fmt.Sprintf("the message passed more than %d channels: two handlers send to each other's channel", gatehouse.MaxHops))
		return nil
	}
	r.source, r.sent = m.Position.Offset, r.sent[:0]
	if w.missed(m) {
		r.handled(m)
		return nil
	}
	err := w.call(ctx, m)
	switch {
	case err == nil:
		r.handled(m)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if _, again := handler.IsTransient(err); !again {
		w.giveUp(m, handler.Reason(err), fmt.Sprintf("handler %q failed: %v", w.spec.Name, err))
		return nil
	}
	if w.attempted != m.Position.Offset {
		w.attempted, w.attempts = m.Position.Offset, 0
	}
	w.attempts++
	if w.opts.MaxAttempts == 0 || w.attempts < w.opts.MaxAttempts {
		return err
	}
	w.giveUp(m, ReasonAttempts, fmt.Sprintf("handler %q failed %d times, last with: %v", w.spec.Name, w.attempts, err))
	return nil
}

// missed sends a dead letter to the one place it did not reach, if that is
// known: to the others the handler's message went at the time.
func (w *worker) missed(m *gatehouse.Message) bool {
	switch {
	case w.aim.To != "":
		w.round.Send(w.aim.To, m)
	case w.aim.Labels != "":
		w.round.SendLabels(w.aim.Labels, m)
	default:
		return false
	}
	return true
}

// call runs the handler; a panic is an error of that message.
func (w *worker) call(ctx context.Context, m *gatehouse.Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.opts.Logger.Error("a handler panicked", "handler", w.spec.Name, "panic", p, "stack", string(debug.Stack()))
			err = gatehouse.Errorf(gatehouse.Internal, "the handler panicked: %v", p)
		}
	}()
	return w.spec.Handler.Handle(ctx, m, &w.round)
}

func (w *worker) giveUp(m *gatehouse.Message, reason, text string) {
	if len(text) > maxDescription {
		text = strings.ToValidUTF8(text[:maxDescription], "") + "…"
	}
	w.round.givenUp(m, gatehouse.DeadLetter{
		Reason: reason, Description: text, Time: time.Now(),
		From: gatehouse.ChannelPrefix + string(w.spec.Channel.Channel), To: w.aim.To, Labels: w.aim.Labels,
	})
}

// store makes the outcome of the round durable and moves the cursor to next.
// It returns how many messages it is done with.
func (w *worker) store(ctx context.Context, next gatehouse.Offset) (int, error) {
	n := 0
	segments := w.round.segments
	for i := range segments {
		s := &segments[i]
		to := next
		if i < len(segments)-1 {
			to = s.last.Position.Offset + 1
		}
		if err := w.storeSegment(ctx, s, to); err != nil {
			return n, err
		}
		w.next = to
		n += s.messages
		w.tell(s)
	}
	if len(segments) == 0 && next != w.next { // damaged records only
		w.next = next
		w.cursor.save(ctx, next)
	}
	return n, nil
}

func (w *worker) storeSegment(ctx context.Context, s *segment, next gatehouse.Offset) error {
	if len(s.outputs) > 0 {
		err := w.deliver(ctx, &handler.Batch{
			Account: w.spec.Channel.Account, Channel: w.spec.Channel.Channel, Handler: w.spec.Name, Group: w.group,
			Partition: uint16(w.partition), Outputs: s.outputs, Through: s.through,
		})
		if err != nil {
			return err
		}
	}
	if len(s.dead) > 0 {
		return w.bury(ctx, s, next)
	}
	w.cursor.save(ctx, next)
	return nil
}

// tell reports a segment that is stored.
func (w *worker) tell(s *segment) {
	events := &w.opts.Events
	if events.DeadLettered != nil {
		for i := range s.dead {
			events.DeadLettered(w.spec, s.dead[i].message, &s.dead[i].why)
		}
	}
	if events.Handled != nil {
		events.Handled(w.spec, s.messages, time.Since(s.last.Enqueued))
	}
}
