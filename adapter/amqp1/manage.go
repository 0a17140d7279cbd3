package amqp1

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
)

// Operations that Service Bus has in the $management of a queue: of one that
// is received from here, but for those of senders in schedule.go.
const (
	operationRead = "READ" // of Event Hubs

	operationRenew       = "com.microsoft:renew-lock"
	operationPeek        = "com.microsoft:peek-message"
	operationReceive     = "com.microsoft:receive-by-sequence-number"
	operationSettle      = "com.microsoft:update-disposition"
	operationSchedule    = "com.microsoft:schedule-message"
	operationCancel      = "com.microsoft:cancel-scheduled-message"
	operationRenewGroup  = "com.microsoft:renew-session-lock"
	operationGroupState  = "com.microsoft:get-session-state"
	operationSetState    = "com.microsoft:set-session-state"
	operationGroups      = "com.microsoft:get-message-sessions"
	operationBatchDelete = "com.microsoft:batch-delete-messages"
	operationAddRule     = "com.microsoft:add-rule"
	operationRemoveRule  = "com.microsoft:remove-rule"
	operationListRules   = "com.microsoft:enumerate-rules"
)

// operationTime is how long an operation may take.
const operationTime = 30 * time.Second

// ok is the response to what has worked.
func ok(body wire.Value) (response, error) { return response{status: 200, text: "OK", body: body}, nil }

// none is the response that there is nothing.
func none(text string) (response, error) {
	return response{status: 204, text: text, condition: conditionNoMessage}, nil
}

// manage answers a request to a $management node.
func (l *requestLink) manage(r *request) response {
	ctx, cancel := context.WithTimeout(l.ctx, operationTime)
	defer cancel()
	a, err := l.operate(ctx, r)
	if err != nil {
		l.hasFailed(err)
		return l.refusal(err)
	}
	return a
}

func (l *requestLink) operate(ctx context.Context, r *request) (response, error) {
	switch {
	case r.operation == operationRead:
		return l.read(ctx, r)
	case l.at.kind == nodePublisher || l.at.kind == nodeChannel:
		return l.operateSender(ctx, r)
	case l.at.kind != nodeInbox:
		return response{status: 404, text: "the node $management only knows READ; others are below an inbox: ACCOUNT/inboxes/ENDPOINT/$management", condition: conditionArgument}, nil
	}
	q := &queue{requestLink: l, ctx: ctx, request: r, session: l.claim.session}
	switch r.operation {
	case operationRenew:
		return q.renew()
	case operationPeek:
		return q.peek()
	case operationReceive:
		return q.receive()
	case operationSettle:
		return q.settle()
	case operationRenewGroup, operationGroupState, operationSetState:
		return q.group()
	case operationGroups:
		return q.groups()
	case operationSchedule, operationCancel:
		return response{}, gatehouse.Errorf(gatehouse.Forbidden, "nothing can be sent to an inbox; send to ACCOUNT/publishers/ENDPOINT, with endpoints/NAME as the address")
	}
	return unknownOperation(r.operation)
}

func unknownOperation(operation string) (response, error) {
	// Not 501, which the SDK for Go would try again and again.
	return response{status: 404, text: "operation " + operation + " is not supported here", condition: "amqp:not-implemented"}, nil
}

// A queue is an inbox, or its dead letters, with one request to it.
type queue struct {
	*requestLink
	ctx     context.Context
	request *request
	session *gate.Session
}

func (q *queue) dead() bool { return q.at.dead }

// tokens returns the lock tokens of the request.
func (q *queue) tokens() []inbox.LockToken {
	var all []inbox.LockToken
	for v := range q.request.body.Get("lock-tokens").Elements() {
		if u, ok := v.UUID(); ok {
			all = append(all, u)
		}
	}
	return all
}

// renew prolongs locks.
func (q *queue) renew() (response, error) {
	var until []time.Time
	for _, t := range q.tokens() {
		at, err := q.session.Renew(q.ctx, q.dead(), t)
		if err != nil {
			return response{}, err
		}
		until = append(until, at)
	}
	if len(until) == 0 {
		return response{}, gatehouse.Errorf(gatehouse.Invalid, "lock-tokens has no UUID")
	}
	return ok(wire.Map(wire.String("expirations"), wire.Timestamps(until...)))
}

// Limits of what one request may ask for.
const (
	maxPeek      = 1000
	maxPeekBytes = 4 << 20
	peekPage     = 64
)

// peek shows messages of the inbox without taking them.
func (q *queue) peek() (response, error) {
	group, _, grouped := q.about()
	return q.request.peek(func(from gatehouse.Offset, limit int) ([]*inbox.Delivery, error) {
		return q.session.Peek(q.ctx, q.dead(), from, limit)
	}, func(d *inbox.Delivery) bool { return !grouped || d.Message.Group == group })
}

// peek shows the wanted ones of the messages that page returns.
func (r *request) peek(page func(from gatehouse.Offset, limit int) ([]*inbox.Delivery, error), wanted func(*inbox.Delivery) bool) (response, error) {
	from, _ := r.body.Get("from-sequence-number").Int64()
	count, _ := r.body.Get("message-count").Int64()
	bare, _ := r.body.Get("omit-message-body").Bool()
	count = min(max(count, 1), maxPeek)
	var all []wire.Value
	for size, next := 0, gatehouse.Offset(max(from, 1)); int64(len(all)) < count && size < maxPeekBytes; {
		some, err := page(next, min(int(count), peekPage))
		if err != nil {
			return response{}, err
		}
		for _, d := range some {
			next = d.Sequence + 1
			if !wanted(d) || int64(len(all)) == count || size >= maxPeekBytes {
				continue
			}
			raw := shownMessage(d, bare)
			size += len(raw)
			all = append(all, wire.Map(wire.String("message"), wire.Binary(raw)))
		}
		if len(some) == 0 {
			break
		}
	}
	if len(all) == 0 {
		return none("there are no more messages")
	}
	return ok(wire.Map(wire.String("messages"), wire.List(all...)))
}

// shownMessage encodes a message that was peeked at.
func shownMessage(d *inbox.Delivery, bare bool) []byte {
	shown := *d
	if bare {
		m := *d.Message
		m.Body = nil
		shown.Message = &m
	}
	return encodeDelivery(&shown, d.Count, false).bytes()
}

// numbers returns the sequence numbers of the request.
func (r *request) numbers() ([]int64, error) {
	var all []int64
	for v := range r.body.Get("sequence-numbers").Elements() {
		n, _ := v.Int64()
		all = append(all, n)
	}
	if len(all) == 0 || len(all) > maxPeek {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "sequence-numbers must have at least one and at most %d", maxPeek)
	}
	return all, nil
}

// receive takes deferred messages by their numbers.
func (q *queue) receive() (response, error) {
	b := q.request.body
	asked, err := q.request.numbers()
	if err != nil {
		return response{}, err
	}
	numbers := make([]gatehouse.Offset, len(asked))
	for i, n := range asked {
		numbers[i] = gatehouse.Offset(n)
	}
	mode, _ := b.Get("receiver-settle-mode").Int64()
	o := inbox.ReceiveOptions{Delete: mode == 0}
	if _, l, _ := q.about(); l != nil {
		o.Session = l.group
	}
	got, err := q.session.ReceiveDeferred(q.ctx, q.dead(), o, numbers...)
	if err != nil {
		return response{}, err
	}
	all := make([]wire.Value, len(got))
	for i, d := range got {
		pairs := []wire.Value{wire.String("message"), wire.Binary(encodeDelivery(d, failures(d), !o.Delete).bytes())}
		if !o.Delete {
			pairs = append(pairs, wire.String("lock-token"), wire.UUID(d.Lock))
		}
		all[i] = wire.Map(pairs...)
	}
	return ok(wire.Map(wire.String("messages"), wire.List(all...)))
}

// settle settles messages by their locks, whatever link they came on.
func (q *queue) settle() (response, error) {
	b := q.request.body
	var s inbox.Settlement
	status, _ := b.Get("disposition-status").Str()
	switch status {
	case "completed":
		s.Outcome = inbox.Complete
	case "abandoned":
		s.Outcome = inbox.Abandon
	case "suspended":
		s.Outcome = inbox.DeadLetter
		s.Reason, _ = b.Get("deadletter-reason").Str()
		s.Description, _ = b.Get("deadletter-description").Str()
	case "defered", "deferred": // the first is how Azure spells it
		s.Outcome = inbox.Defer
	case "unlocked", "released":
		s.Outcome = inbox.Release
	default:
		return response{}, gatehouse.Errorf(gatehouse.Invalid, "disposition-status %.64q is not completed, abandoned, suspended, defered or unlocked", status)
	}
	if changed := b.Get("properties-to-modify"); changed.Len() > 0 {
		s.Attributes = toAttributes(changed)
	}
	tokens := q.tokens()
	if len(tokens) == 0 {
		return response{}, gatehouse.Errorf(gatehouse.Invalid, "lock-tokens has no UUID")
	}
	all := make([]inbox.Settlement, len(tokens))
	for i, t := range tokens {
		all[i] = s
		all[i].Lock = t
	}
	if err := q.session.Settle(q.ctx, q.dead(), all...); err != nil {
		return response{}, err
	}
	return ok(wire.Value{})
}

// about returns the group that the request is about, and the link that holds
// it: the group it names, or else, as the SDK for Go has it, that of the link
// it belongs to.
func (q *queue) about() (group string, l *inboxLink, ok bool) {
	if group, ok = q.request.body.Get("session-id").Str(); ok {
		return group, q.holder(group), true
	}
	name, _ := q.request.properties.Get("associated-link-name").Str()
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, l := range q.connection.groups {
		if l.name == name && key.inbox == q.at.base() && key.dead == q.at.dead {
			return key.group, l, true
		}
	}
	return "", nil, false
}

// holder returns the link of this connection that holds a group of the inbox.
func (q *queue) holder(group string) *inboxLink {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.connection.groups[groupKey{q.at.base(), q.at.dead, group}]
}

// group does what is about a group that the connection holds.
func (q *queue) group() (response, error) {
	b := q.request.body
	name, _ := b.Get("session-id").Str()
	l := q.holder(name)
	if l == nil {
		return q.lostGroup(gatehouse.Errorf(gatehouse.LockLost, "this connection does not hold session %q", name))
	}
	var a response
	var err error
	switch q.request.operation {
	case operationRenewGroup:
		var until time.Time
		until, err = q.session.RenewGroup(l.group)
		a, _ = ok(wire.Map(wire.String("expiration"), wire.Timestamp(until)))
	case operationGroupState:
		var state []byte
		state, err = q.session.GroupState(l.group)
		value := wire.Null()
		if state != nil {
			value = wire.Binary(state)
		}
		a, _ = ok(wire.Map(wire.String("session-state"), value))
	case operationSetState:
		state, _ := b.Get("session-state").Bytes()
		err = q.session.SetGroupState(q.ctx, l.group, append([]byte(nil), state...))
		a, _ = ok(wire.Value{})
	}
	if errors.Is(err, gatehouse.LockLost) {
		return q.lostGroup(err)
	}
	return a, err
}

func (q *queue) lostGroup(err error) (response, error) {
	return response{status: 410, text: "The session lock was lost. " + err.Error(), condition: conditionSessionLost}, nil
}

// maxGroups is how many groups one request is told of.
const maxGroups = 1000

// groups lists the groups that have messages or a state.
func (q *queue) groups() (response, error) {
	names, err := q.session.Groups(q.ctx, q.dead())
	if err != nil {
		return response{}, err
	}
	skip, _ := q.request.body.Get("skip").Int64()
	top, _ := q.request.body.Get("top").Int64()
	if top <= 0 || top > maxGroups {
		top = maxGroups
	}
	names = names[min(max(int(skip), 0), len(names)):]
	names = names[:min(int(top), len(names))]
	if len(names) == 0 {
		return none("there are no more sessions")
	}
	return ok(wire.Map(
		wire.String("skip"), wire.Int(int32(int(skip)+len(names))), wire.String("sessions-ids"), wire.Strings(names...),
	))
}
