package gate

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/restrict"

	"github.com/google/uuid"
)

// A Receipt says that a message is durable.
type Receipt struct {
	ID        string                  // as given, or as the gate chose it
	Channels  []gatehouse.ChannelName // it was let into; none yet if it is scheduled
	Position  gatehouse.Position      // in the first of them
	Enqueued  time.Time
	Duplicate bool   // it was there already and was not stored again
	Scheduled bool   // it waits for its NotBefore
	Sequence  uint64 // of a scheduled message: see Session.CancelScheduled
}

// Limits of what a message may carry, beside those of restrictions.
const (
	maxIDLength   = 512
	maxAddresses  = 1024
	maxAhead      = 10 * 365 * 24 * time.Hour // NotBefore from now
	maxAttributes = 1024
)

// Submit takes messages in. It decides about each, and returns as soon as
// those allowed are queued for the next commit. done is called once per
// message, in the order of the messages and of calls, with its receipt when it
// is durable, or with the reason it was refused; it must not block. A
// message belongs to the gate from the call on, until done is called for it.
//
// Submit blocks only while the gateway has too much waiting for the disk. It
// fails, with done not called for any of them, if the session has ended or may
// not send.
func (s *Session) Submit(ctx context.Context, done func(Receipt, error), messages ...*gatehouse.Message) error {
	v, err := s.sender()
	if err != nil {
		return err
	}
	now := time.Now()
	for _, m := range messages {
		s.submit(ctx, v, now, done, m, nil)
	}
	return nil
}

// SubmitBeside is Submit for one message, with rows of the adapter's own that
// are stored in the commit of the message, in the shard that Receipt.Position
// tells: what a protocol has to remember of a message exactly if it was taken.
// If done gets an error, the rows are not stored; but if that is Unavailable they
// may be, as may the message.
func (s *Session) SubmitBeside(ctx context.Context, done func(Receipt, error), m *gatehouse.Message, rows ...engine.Row) error {
	v, err := s.sender()
	if err != nil {
		return err
	}
	s.submit(ctx, v, time.Now(), done, m, rows)
	return nil
}

func (s *Session) submit(ctx context.Context, v *view, now time.Time, done func(Receipt, error), m *gatehouse.Message, rows []engine.Row) {
	p := s.passage(done)
	s.order.enter(p)
	if err := s.decide(v, m, now, p); err != nil {
		p.finish(err)
		return
	}
	p.Beside = rows
	s.store(ctx, p)
}

// SubmitAll is Submit for messages that are to be refused together: if one may
// not pass, none is stored, and done is called for each with that reason. What
// passes is stored message by message, as by Submit.
func (s *Session) SubmitAll(ctx context.Context, done func(Receipt, error), messages ...*gatehouse.Message) error {
	v, err := s.sender()
	if err != nil {
		return err
	}
	now := time.Now()
	all := make([]*passage, len(messages))
	var refusal error
	for i, m := range messages {
		p := s.passage(done)
		all[i] = p
		s.order.enter(p)
		if refusal == nil {
			if err := s.decide(v, m, now, p); err != nil {
				refusal = inBatch(i, err)
			}
		}
	}
	for _, p := range all {
		if refusal != nil {
			p.finish(refusal)
			continue
		}
		s.store(ctx, p)
	}
	return nil
}

// inBatch says which message of a batch was refused.
func inBatch(i int, err error) error {
	e := gatehouse.Error{Kind: gatehouse.KindOf(err), Text: fmt.Sprintf("message %d of the batch: %v; nothing of the batch was stored", i+1, err), Cause: err}
	if inner, ok := err.(*gatehouse.Error); ok { //nolint:errorlint // only the outermost says more
		e.Rule, e.RetryAfter = inner.Rule, inner.RetryAfter
	}
	return &e
}

// sender returns the present view if the session may send.
func (s *Session) sender() (*view, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	if s.Identity().Rights&(gatehouse.RightSend|gatehouse.RightChannels) == 0 {
		return nil, gatehouse.Errorf(gatehouse.Forbidden, "this session may receive but not send; open it with a key that has the right to send")
	}
	return s.gate.look(s), nil
}

// A passage is one message on its way in. It serves one message after the
// other: nothing of it may be kept once done was called.
type passage struct {
	channel.Append
	session *Session
	done    func(Receipt, error)
	receipt Receipt
	err     error
	ready   bool
	next    *passage
	target  [1]channel.Target
	name    [1]gatehouse.ChannelName
}

func (s *Session) passage(done func(Receipt, error)) *passage {
	p := s.gate.passages.Get().(*passage)
	p.session, p.done = s, done
	return p
}

// release makes p ready for another message.
func (p *passage) release() {
	pool := &p.session.gate.passages
	p.Append.Reset()
	*p = passage{Append: p.Append}
	pool.Put(p)
}

// settled returns channels as receipts may share them: few sessions send to
// more than one set of channels at a time.
func (s *Session) settled(channels []gatehouse.ChannelName) []gatehouse.ChannelName {
	if last := s.channels.Load(); last != nil && slices.Equal(*last, channels) {
		return *last
	}
	own := slices.Clone(channels)
	s.channels.Store(&own)
	return own
}

// decide is the way in up to the commit: complete the message, check the
// restrictions, find the channels.
func (s *Session) decide(v *view, m *gatehouse.Message, now time.Time, p *passage) error {
	if v.account == nil {
		return gatehouse.Errorf(gatehouse.Revoked, "account %q is gone", s.attempt.Account)
	}
	if err := s.stamp(m, now); err != nil {
		return err
	}
	channels, err := s.route(v, m, now, p.name[:0])
	if err != nil {
		return err
	}
	channels = s.settled(channels)
	p.receipt = Receipt{ID: m.ID, Channels: channels, Enqueued: now}
	p.Account, p.Message, p.Incarnation = s.attempt.Account, m, s.incarnation
	key := m.Key
	if key == "" {
		key = s.shardKey
	}
	p.Shard = s.gate.Channels.Shard(s.attempt.Account, key)
	p.Targets = p.target[:0]
	for _, name := range channels {
		t := channel.Target{Channel: name}
		if c := v.account.Channel(name); c != nil {
			t.Duplicates = c.Duplicates()
		}
		p.Targets = append(p.Targets, t)
	}
	return nil
}

// stamp checks and completes the envelope.
func (s *Session) stamp(m *gatehouse.Message, now time.Time) error {
	switch {
	case len(m.ID) > maxIDLength:
		return gatehouse.Errorf(gatehouse.Invalid, "the message id is %d bytes long; at most %d are allowed", len(m.ID), maxIDLength)
	case len(m.To) > maxAddresses:
		return gatehouse.Errorf(gatehouse.Invalid, "the message names %d addresses; at most %d are allowed", len(m.To), maxAddresses)
	case len(m.Attributes) > maxAttributes:
		return gatehouse.Errorf(gatehouse.Invalid, "the message has %d attributes; at most %d are allowed", len(m.Attributes), maxAttributes)
	case m.TTL < 0:
		return gatehouse.Errorf(gatehouse.Invalid, "the time to live is negative")
	case m.NotBefore.Sub(now) > maxAhead:
		return gatehouse.Errorf(gatehouse.Invalid, "the message is scheduled for %s, more than ten years ahead", m.NotBefore.Format(time.RFC3339))
	}
	for _, to := range m.To {
		if _, _, ok := gatehouse.SplitAddress(to); !ok {
			return gatehouse.Errorf(gatehouse.Invalid, "address %q is not channels/NAME or endpoints/NAME", to)
		}
	}
	if m.ID == "" {
		m.ID = newID(now)
	}
	m.Source, m.Enqueued, m.Channel, m.Hops, m.Dead = s.source, now, "", 0, nil
	return nil
}

// newID makes a message id: a UUID of version 7 (RFC 9562), which sorts by time,
// with what is left of the time below a millisecond in rand_a.
func newID(now time.Time) string {
	var id uuid.UUID
	_, _ = rand.Read(id[8:]) // never fails
	n := now.UnixNano()
	fraction := uint64(n%int64(time.Millisecond)) << 12 / uint64(time.Millisecond)
	binary.BigEndian.PutUint64(id[:], uint64(n/int64(time.Millisecond))<<16|7<<12|fraction)
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// route checks the restrictions and finds the channels of m.
func (s *Session) route(v *view, m *gatehouse.Message, now time.Time, dst []gatehouse.ChannelName) ([]gatehouse.ChannelName, error) {
	if s.attempt.Endpoint == "" {
		// Trusted code names its channel; it stands inside, where no route
		// authorization is needed.
		return append(dst, s.attempt.Channel), nil
	}
	return v.ingress(&s.limits.limiter, s.attempt.Endpoint, m, now, dst)
}

// ingress decides about a message of the view's endpoint: the one decision of
// the way in, for live messages, those that are due and explanations. A nil
// limiter does not count it against rates.
func (v *view) ingress(l *restrict.Limiter, sender gatehouse.EndpointName, m *gatehouse.Message, now time.Time, dst []gatehouse.ChannelName) ([]gatehouse.ChannelName, error) {
	if v.endpoint == nil {
		return nil, gatehouse.Errorf(gatehouse.Revoked, "endpoint %q is gone", sender)
	}
	if err := v.restrict.Message(l, m, now); err != nil {
		return nil, err
	}
	return v.route.Ingress(dst, m, now)
}

// store hands a decided passage to its channels.
func (s *Session) store(ctx context.Context, p *passage) {
	p.Done, p.Passenger = stored, p
	var err error
	if p.Message.NotBefore.After(p.receipt.Enqueued) {
		p.receipt.Scheduled = true
		p.Message.Channel, p.receipt.Channels = p.receipt.Channels[0], nil
		err = s.gate.Channels.Schedule(ctx, &p.Append)
	} else {
		err = s.gate.Channels.Append(ctx, &p.Append)
	}
	if err != nil {
		p.finish(err)
	}
}
