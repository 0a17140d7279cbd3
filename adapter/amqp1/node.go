package amqp1

import (
	"slices"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// Nodes that answer requests: $cbs and $management. A client attaches a link
// to send requests on and one to take answers from, and says in each request
// which.

// maxRequest is the largest request taken, in bytes, from a client that has not
// proven itself for the node.
const maxRequest = 64 << 10

// maxWaiting is how many answers may wait for the client's credit.
const maxWaiting = 256

// A request is one request to a node.
type request struct {
	operation  string
	properties wire.Value // application properties
	body       wire.Value // usually a map
	id         wire.Value
	replyTo    string
}

// A response answers a request.
type response struct {
	status    int32
	text      string
	condition string
	body      wire.Value // absent: none
}

// A requestLink is a link on which requests come.
type requestLink struct {
	*connection
	at    address
	claim *claim // nil for nodes that need none to be attached to
	link  *amqp.Incoming
	work  worker[*amqp.Delivery]
}

// maxNodeLinks is how many links to nodes that need no proof a connection has.
const maxNodeLinks = 64

// attachNode attaches one of the two links of a node.
func (c *connection) attachNode(a *amqp.Attach, at *address, cl *claim) error {
	if cl == nil && !c.openNode(1) {
		return amqp.Err(amqp.ResourceLimitExceeded, "the connection has too many links to "+at.path)
	}
	if !a.FromPeer() {
		return c.attachReplies(a, at, cl)
	}
	l := &requestLink{connection: c, at: *at, claim: cl}
	l.work.do = l.answer
	limit, window := uint64(maxRequest), 4
	if cl != nil {
		limit, window = uint64(c.options.MaxBody)+maxRequest, 64
	}
	in, err := a.AcceptIncoming(amqp.IncomingOptions{Receiver: l, Window: window, MaxMessageSize: limit})
	if err != nil {
		l.Closed(nil) // the client is gone: there is nobody to tell
		return nil
	}
	l.link = in
	if cl != nil && c.join(cl, l) != nil {
		l.revoke(cl.session.Err())
	}
	return nil
}

// openNode counts links to nodes that need no proof; false if there are too
// many.
func (c *connection) openNode(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.nodeLinks >= maxNodeLinks {
		return false
	}
	c.nodeLinks += n
	return true
}

// Message implements amqp.Receiver.
func (l *requestLink) Message(d *amqp.Delivery) {
	if l.at.kind == nodeClaims {
		l.jobs.add(l.connection, func() { l.answer([]*amqp.Delivery{d}) })
		return
	}
	l.work.add(l.connection, d)
}

// Closed implements amqp.Receiver.
func (l *requestLink) Closed(error) {
	if l.claim == nil {
		l.openNode(-1)
		return
	}
	l.part(l.claim, l)
}

func (l *requestLink) revoke(err error) { l.link.Detach(l.failed(err)) }

// answer answers requests.
func (l *requestLink) answer(list []*amqp.Delivery) {
	for _, d := range list {
		r, err := parseRequest(d.Message)
		if err != nil {
			d.Reject(amqp.Err(amqp.DecodeError, err.Error()))
			continue
		}
		var a response
		if l.at.kind == nodeClaims {
			a = l.putClaim(r)
		} else {
			a = l.manage(r)
		}
		d.Accept()
		if to := l.replyLink(l.at.path, r.replyTo, d.Link().Session()); to != nil {
			to.send(a.encode(r.id))
		}
	}
}

func parseRequest(raw []byte) (*request, error) {
	m, err := message.Parse(raw)
	if err != nil {
		return nil, err
	}
	p, err := m.Properties()
	if err != nil {
		return nil, err
	}
	r := &request{properties: m.ApplicationProperties(), body: m.Value(), id: p.MessageID, replyTo: p.ReplyTo}
	r.operation, _ = r.properties.Get("operation").Str()
	return r, nil
}

// encode returns the response to a request with the given message id. The
// status comes under both names that clients look for.
func (a *response) encode(id wire.Value) []byte {
	out := message.AppendProperties(nil, &message.Properties{CorrelationID: id})
	pairs := []wire.Value{
		wire.String("status-code"), wire.Int(a.status), wire.String("status-description"), wire.String(a.text),
		wire.String("statusCode"), wire.Int(a.status), wire.String("statusDescription"), wire.String(a.text),
	}
	if a.condition != "" {
		pairs = append(pairs, wire.String("error-condition"), wire.Symbol(a.condition), wire.String("errorCondition"), wire.Symbol(a.condition))
	}
	out = message.AppendApplicationProperties(out, wire.Map(pairs...))
	body := a.body
	if body.IsAbsent() {
		body = wire.Map()
	}
	return message.AppendBody(out, body)
}

// A replyLink is a link on which a client takes answers.
type replyLink struct {
	*connection
	node    string // folded
	target  string
	name    string
	session *amqp.Session
	claim   *claim
	// Under the connection's mu.
	link    *amqp.Outgoing // nil until the attach is answered, which the client may hear of first
	waiting [][]byte
	sending bool
	again   bool // credit or an answer came since it was looked at
}

func (c *connection) attachReplies(a *amqp.Attach, at *address, cl *claim) error {
	r := &replyLink{connection: c, node: at.path, target: a.Request.Target.Address, name: a.Request.Name, session: a.Session(), claim: cl}
	c.mu.Lock()
	c.replies = append(c.replies, r)
	c.mu.Unlock()
	out, err := a.AcceptOutgoing(amqp.OutgoingOptions{Sender: r})
	if err != nil {
		r.Closed(nil) // the client is gone
		return nil
	}
	c.mu.Lock()
	r.link = out
	c.mu.Unlock()
	if cl != nil && c.join(cl, r) != nil {
		r.revoke(cl.session.Err())
	}
	r.flush()
	return nil
}

func (c *connection) forget(r *replyLink) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.replies, r); i >= 0 {
		c.replies = slices.Delete(c.replies, i, i+1)
	}
	r.waiting = nil
}

// replyLink finds the link for the answer to a request: the one whose target
// is the address to reply to, or whose name is, or the only one there is of the
// node, in the session or else in the connection.
func (c *connection) replyLink(node, replyTo string, session *amqp.Session) *replyLink {
	c.mu.Lock()
	defer c.mu.Unlock()
	var named, near, far *replyLink
	nears, fars := 0, 0
	for _, r := range c.replies {
		if r.node != node {
			continue
		}
		if replyTo != "" && r.target == replyTo {
			return r
		}
		if replyTo != "" && r.name == replyTo {
			named = r
		}
		if far, fars = r, fars+1; r.session == session {
			near, nears = r, nears+1
		}
	}
	switch {
	case named != nil:
		return named
	case nears == 1:
		return near
	case fars == 1:
		return far
	}
	return nil
}

// send sends an answer as soon as there is credit for it.
func (r *replyLink) send(answer []byte) {
	r.mu.Lock()
	full := len(r.waiting) >= maxWaiting && r.link != nil
	if !full {
		r.waiting = append(r.waiting, answer)
	}
	r.mu.Unlock()
	if full {
		r.link.Detach(amqp.Err(amqp.ResourceLimitExceeded, "too many answers wait for credit"))
		return
	}
	r.flush()
}

// flush sends what waits, one goroutine at a time.
func (r *replyLink) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.again = true
	if r.sending || r.link == nil {
		return
	}
	r.sending = true
	for r.again && len(r.waiting) > 0 {
		next, link := r.waiting[0], r.link
		r.again = false
		r.mu.Unlock()
		sent := link.Credit() > 0
		if sent {
			sent = link.Send(amqp.Message{Body: next, Settled: true}) == nil
		}
		r.mu.Lock()
		if sent && len(r.waiting) > 0 {
			r.waiting, r.again = r.waiting[1:], true
		}
	}
	r.sending = false
}

// Ready implements amqp.Sender.
func (r *replyLink) Ready(o *amqp.Outgoing) {
	r.flush()
	o.Drained()
}

// Outcome implements amqp.Sender: answers are sent settled.
func (r *replyLink) Outcome(amqp.Sent, amqp.State) {}

// Closed implements amqp.Sender.
func (r *replyLink) Closed(error) {
	r.forget(r)
	if r.claim == nil {
		r.openNode(-1)
		return
	}
	r.part(r.claim, r)
}

func (r *replyLink) revoke(err error) { r.link.Detach(r.failed(err)) }
