package amqp_test

import (
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/message"
)

// echoNode answers each request on the reply link whose target is the request's
// reply-to.
type echoNode struct {
	t  testing.TB
	mu sync.Mutex
	// By target address.
	replies map[string]*replyLink
}

type replyLink struct {
	node    *echoNode
	link    *amqp.Outgoing
	waiting []amqp.Message
}

func newEchoNode(t testing.TB) *echoNode {
	return &echoNode{t: t, replies: map[string]*replyLink{}}
}

func (n *echoNode) Authenticate(*amqp.Conn, amqp.Authentication) error { return nil }
func (n *echoNode) Open(*amqp.Conn, *frame.Open) error                 { return nil }

func (n *echoNode) Attach(a *amqp.Attach) {
	var err error
	if a.FromPeer() {
		_, err = a.AcceptIncoming(amqp.IncomingOptions{Receiver: n})
	} else {
		r := &replyLink{node: n}
		n.mu.Lock()
		n.replies[a.Request.Target.Address] = r
		r.link, err = a.AcceptOutgoing(amqp.OutgoingOptions{Sender: r})
		n.mu.Unlock()
	}
	if err != nil {
		n.t.Errorf("accept: %v", err)
	}
}

func (n *echoNode) Message(d *amqp.Delivery) {
	m, err := message.Parse(d.Message)
	if err != nil {
		n.t.Error(err)
	}
	p, err := m.Properties()
	if err != nil {
		n.t.Error(err)
	}
	d.Accept()
	reply := message.AppendProperties(nil, &message.Properties{CorrelationID: p.MessageID})
	n.mu.Lock()
	r := n.replies[p.ReplyTo]
	r.waiting = append(r.waiting, amqp.Message{Head: reply, Body: m.Body()})
	n.mu.Unlock()
	r.Ready(r.link)
}

func (n *echoNode) Closed(error) {}

// Ready sends what waits for credit: a request may come before it (trap 10).
func (r *replyLink) Ready(o *amqp.Outgoing) {
	r.node.mu.Lock()
	defer r.node.mu.Unlock()
	for len(r.waiting) > 0 && o.Credit() > 0 {
		if err := o.Send(r.waiting[0]); err != nil {
			r.node.t.Error(err)
		}
		r.waiting = r.waiting[1:]
	}
}

func (r *replyLink) Outcome(amqp.Sent, amqp.State) {}
func (r *replyLink) Closed(error)                  {}
