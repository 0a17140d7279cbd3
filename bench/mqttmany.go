package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/mqtt"
)

// How many inboxes there are where messages go to many.
const (
	connectedInboxes = 10_000
	connectedRounds  = 5
	drainedInboxes   = 50_000
	lastInboxes      = 256 // that show that all messages have arrived
)

// fanOut measures messages to many connected inboxes, and clients that come for
// one message each.
func (r *run) fanOut(ctx context.Context, p *protocol) error {
	if err := r.toConnected(ctx, p); err != nil {
		return err
	}
	if err := r.attachMany(ctx, p); err != nil {
		return err
	}
	return r.drainMany(ctx, p)
}

// toConnected measures messages to inboxes whose clients are all connected.
func (r *run) toConnected(ctx context.Context, p *protocol) error {
	n := min(connectedInboxes, r.Connections)
	g, err := r.remote(ctx, setup{Adapters: []string{p.adapter}, Endpoints: n, Router: true})
	if err != nil {
		return err
	}
	m := new(rate)
	var arrived atomic.Int64
	var all flows
	closeAll, err := dialAll(ctx, g, n, func(ctx context.Context, g *remote, i int) (io.Closer, error) {
		c, err := dialMQTTInbox(ctx, g, i, idleBuffer)
		if err == nil {
			all.readers.Go(func() { _ = c.read(func(n int) { arrived.Add(int64(n)) }) }) // what is missing shows
		}
		return c, err
	})
	if err == nil {
		err = g.during(p.name+"-connected", m, func() error {
			begin := time.Now()
			if err := r.spread(ctx, g, n, connectedRounds); err != nil {
				return err
			}
			m.n = int64(n) * connectedRounds
			err := until(ctx, func() bool { return arrived.Load() >= m.n })
			m.elapsed = time.Since(begin)
			return err
		})
	}
	closeAll()
	all.close()
	if err = errorsOf(err, g.stop()); err != nil {
		return err
	}
	r.rate("connected", fmt.Sprintf("one sender to %d connected inboxes in turn, acknowledged", n), m)
	return nil
}

// until polls a condition.
func until(ctx context.Context, done func() bool) error {
	for !done() {
		if err := ctx.Err(); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// spread sends messages from the first endpoint to each of n, one after the
// other, and waits until they are acknowledged.
func (r *run) spread(ctx context.Context, g *remote, n, rounds int) error {
	c, err := dialMQTT(ctx, g, 0, g.Send, loadBuffer)
	if err != nil {
		return err
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return errorsOf(err, c.Close())
	}
	s, w := &mqttSender{mqttConn: c}, newWindow(int(c.maximum))
	var reading flows
	reading.run(ctx, c, w, func() error { return s.read(w) })
	defer reading.close()
	payload := make([]byte, r.Body)
	for next, end := 0, n*rounds; next < end; {
		first, k, err := w.take(min(maxWrite, end-next))
		if err != nil {
			return err
		}
		s.out = s.out[:0]
		for i := range k {
			topic := gatehouse.EndpointPrefix + endpointName((next+i)%n)
			p := mqtt.Publish{QoS: 1, PacketID: packetID(first + uint64(i)), Topic: []byte(topic), Payload: payload}
			s.out = p.Append(s.out, mqtt.Version5)
		}
		if _, err := s.Write(s.out); err != nil {
			return err
		}
		next += k
	}
	return w.settle()
}

// drainMany measures clients that connect, take the one message of their inbox,
// acknowledge it and leave.
func (r *run) drainMany(ctx context.Context, p *protocol) error {
	n := min(drainedInboxes, 5*r.Connections)
	g, err := r.remote(ctx, setup{Adapters: []string{p.adapter}, Endpoints: n, Router: true})
	if err != nil {
		return err
	}
	m := new(rate)
	if err := errorsOf(r.fillAndDrain(ctx, p, g, n, m), g.stop()); err != nil {
		return err
	}
	r.rate("drained", fmt.Sprintf("%d inboxes of one message each: connect, take, acknowledge, leave; %d at a time", n, idleDialers), m)
	return nil
}

func (r *run) fillAndDrain(ctx context.Context, p *protocol, g *remote, n int, m *rate) error {
	before, err := g.held("")
	if err != nil {
		return err
	}
	left, err := r.fillInboxes(ctx, g, n)
	if err != nil {
		return err
	}
	after, err := g.held("")
	if err != nil {
		return err
	}
	each := float64(after.Heap-before.Heap) / float64(n)
	r.line("  %d inboxes of one message each, nobody connected: %.0f bytes of heap and stacks each", n, each)
	r.note("waiting, heap", each, "B")
	return g.during(p.name+"-drained", m, func() error {
		begin := time.Now()
		_, err := dialAll(ctx, g, left, collect)
		m.elapsed, m.n = time.Since(begin), int64(left)
		return err
	})
}

// fillInboxes puts one message into each of n inboxes. The last ones of all shards show
// that the others have arrived: they are emptied. It returns how many are left.
func (r *run) fillInboxes(ctx context.Context, g *remote, n int) (left int, err error) {
	if err := r.spread(ctx, g, n, 1); err != nil {
		return 0, err
	}
	left = n - min(lastInboxes, n/2)
	for i := left; i < n; i++ {
		if _, err := collect(ctx, g, i); err != nil {
			return 0, err
		}
	}
	return left, nil
}

// attachMany measures clients that are connected and begin to receive: each
// subscribes, takes the one message of its inbox, and acknowledges it.
func (r *run) attachMany(ctx context.Context, p *protocol) error {
	n := min(connectedInboxes, r.Connections)
	g, err := r.remote(ctx, setup{Adapters: []string{p.adapter}, Endpoints: n, Router: true})
	if err != nil {
		return err
	}
	m := new(rate)
	if err := errorsOf(r.fillAndAttach(ctx, p, g, n, m), g.stop()); err != nil {
		return err
	}
	r.rate("attached", fmt.Sprintf("%d connected clients: subscribe, take one message, acknowledge; %d at a time", n, idleDialers), m)
	return nil
}

func (r *run) fillAndAttach(ctx context.Context, p *protocol, g *remote, n int, m *rate) error {
	left, err := r.fillInboxes(ctx, g, n)
	if err != nil {
		return err
	}
	conns := make([]*mqttReceiver, left)
	closeAll, err := dialAll(ctx, g, left, func(ctx context.Context, g *remote, i int) (io.Closer, error) {
		c, err := dialMQTT(ctx, g, i, g.Listen, idleBuffer)
		conns[i] = &mqttReceiver{c}
		return c, err
	})
	defer closeAll()
	if err != nil {
		return err
	}
	return g.during(p.name+"-attached", m, func() error {
		begin := time.Now()
		_, err := dialAll(ctx, g, left, func(_ context.Context, _ *remote, i int) (io.Closer, error) { return nil, conns[i].takeFirst() })
		m.elapsed, m.n = time.Since(begin), int64(left)
		return err
	})
}

// takeFirst subscribes, takes one message and acknowledges it.
func (r *mqttReceiver) takeFirst() error {
	_ = r.SetDeadline(time.Now().Add(dialTime)) // a socket has deadlines
	if err := r.subscribe(appendSubscribe(nil)); err != nil {
		return err
	}
	if err := r.take(); err != nil {
		return err
	}
	_, err := r.Write(r.out)
	return err
}

func collect(ctx context.Context, g *remote, endpoint int) (io.Closer, error) {
	return nil, takeOne(ctx, g, endpoint)
}

// takeOne connects, takes one message, acknowledges it and leaves, writing at
// once what need not wait for an answer (5.0 section 3.1.4).
func takeOne(ctx context.Context, g *remote, endpoint int) error {
	nc, err := dialFrom(ctx, endpoint, g.addresses["mqtt"])
	if err != nil {
		return err
	}
	c := &mqttReceiver{&mqttConn{Conn: nc, in: bufio.NewReaderSize(nc, idleBuffer)}}
	_ = c.SetDeadline(time.Now().Add(dialTime)) // a socket has deadlines
	err = c.connect(appendSubscribe(mqttConnect(endpoint, g.Listen).Append(nil)))
	if err == nil {
		err = c.subscribe(nil)
	}
	if err == nil {
		err = c.take()
	}
	if err == nil {
		_, err = c.Write((&mqtt.Disconnect{}).Append(c.out, mqtt.Version5))
	}
	if err == nil {
		_, _ = c.in.ReadByte() // until the server has closed
	}
	return errorsOf(err, c.Close())
}
