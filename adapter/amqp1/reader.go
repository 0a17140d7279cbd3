package amqp1

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// Trusted code consumes a channel as an event hub: it reads a partition from
// where it says, and keeps its own place. Messages are sent settled.

const (
	propertyEpoch = "com.microsoft:epoch"

	// maxReaders is how many readers without an epoch a partition has for a
	// group.
	maxReaders = 32

	// maxRead is how many messages, and readBytes about how many bytes, are read
	// at a time.
	maxRead   = 256
	readBytes = 1 << 20
)

// A reader is a link on which a client reads a partition.
type reader struct {
	*connection
	at        address
	claim     *claim
	partition int
	epoch     int64 // -1: none
	next      gatehouse.Offset
	start     position
	link      *amqp.Outgoing
	ctx       context.Context
	close     context.CancelFunc

	pumpLock sync.Mutex
	running  bool
	again    bool
	closed   bool
}

// Readers are the consumers of channels, so that one of a higher epoch ends
// those of lower ones. The zero value is ready for use.
type Readers struct {
	mu  sync.Mutex
	all map[string][]*reader // by channel, group and partition
}

// attachReader attaches a link to a partition.
func (c *connection) attachReader(a *amqp.Attach, at *address, cl *claim) error {
	if err := gatehouse.CheckName(trimGroup(at.group)); err != nil {
		return err
	}
	n, err := strconv.Atoi(at.partition)
	if err != nil || n < 0 || n >= cl.session.Partitions() {
		return amqp.Err(conditionRange, "The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and "+strconv.Itoa(cl.session.Partitions()-1)+".")
	}
	start, err := startOf(a.Request.Source.Filter)
	if err != nil {
		return err
	}
	r := &reader{connection: c, at: *at, claim: cl, partition: n, epoch: -1, start: start}
	if v := a.Request.Properties.Get(propertyEpoch); v.Type() != wire.TypeNull {
		r.epoch, _ = v.Int64()
	}
	r.ctx, r.close = context.WithCancel(c.ctx)
	if r.next, err = start.offset(r.ctx, cl.session, n); err != nil {
		r.close()
		return err
	}
	stolen, err := c.options.Readers.enter(r)
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Condition == amqp.LinkStolen {
		r.turnAway(a, e)
		return nil
	}
	if err != nil {
		r.close()
		return err
	}
	for _, old := range stolen {
		old.steal(r.epoch)
	}
	link, err := a.AcceptOutgoing(amqp.OutgoingOptions{Sender: r})
	if err != nil {
		r.leave()
		return nil // the client is gone
	}
	r.pumpLock.Lock()
	if r.link == nil {
		r.link = link
	}
	closed := r.closed
	r.pumpLock.Unlock()
	if c.join(cl, r) != nil {
		r.revoke(cl.session.Err())
	}
	if closed {
		r.leave()
	}
	return nil
}

// turnAway attaches a reader only to detach it with e, and sends it nothing.
// That somebody else has the partition, the SDK for Go only understands about a
// link that it had: when the link is refused, it asks for it again and again.
func (r *reader) turnAway(a *amqp.Attach, e *amqp.Error) {
	r.close()
	if link, err := a.AcceptOutgoing(amqp.OutgoingOptions{Sender: r}); err == nil {
		link.Detach(e)
	}
}

// trimGroup returns the name of a group without the $ of $Default.
func trimGroup(group string) string {
	if len(group) > 1 && group[0] == '$' {
		return group[1:]
	}
	return group
}

// enter adds a reader, and returns those that it ends.
func (s *Readers) enter(r *reader) (stolen []*reader, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.at.path
	others := s.all[key]
	for _, o := range others {
		if o.epoch > r.epoch {
			return nil, amqp.Err(amqp.LinkStolen, "a receiver with epoch "+strconv.FormatInt(o.epoch, 10)+" has this partition; one with a lower epoch, or none, cannot have it too")
		}
	}
	if r.epoch < 0 && len(others) >= maxReaders {
		return nil, amqp.Err(amqp.ResourceLimitExceeded, "the partition has "+strconv.Itoa(maxReaders)+" receivers of this consumer group, which is as many as it may")
	}
	if s.all == nil {
		s.all = make(map[string][]*reader)
	}
	if r.epoch < 0 {
		s.all[key] = append(others, r)
		return nil, nil
	}
	s.all[key] = []*reader{r}
	return others, nil
}

func (s *Readers) exit(r *reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.at.path
	others := s.all[key]
	for i, o := range others {
		if o == r {
			s.all[key] = append(others[:i:i], others[i+1:]...)
			break
		}
	}
	if len(s.all[key]) == 0 {
		delete(s.all, key)
	}
}

// steal ends a reader for one of a higher epoch.
func (r *reader) steal(epoch int64) {
	r.detach(amqp.Err(amqp.LinkStolen, "New receiver with higher epoch of '"+strconv.FormatInt(epoch, 10)+"' is created hence current receiver with epoch '"+strconv.FormatInt(r.epoch, 10)+"' is getting disconnected."))
}

func (r *reader) detach(e *amqp.Error) {
	r.pumpLock.Lock()
	link := r.link
	r.pumpLock.Unlock()
	if link != nil {
		link.Detach(e)
	}
	r.close()
}

func (r *reader) revoke(err error) {
	e := r.failed(err)
	if e.Condition == conditionRevoked {
		e.Condition = conditionDisabled // there is no publisher
	}
	r.detach(e)
}

func (r *reader) leave() {
	r.close()
	r.options.Readers.exit(r)
	r.part(r.claim, r)
}

// Closed implements amqp.Sender.
func (r *reader) Closed(error) {
	r.pumpLock.Lock()
	r.closed = true
	r.pumpLock.Unlock()
	r.leave()
}

// Outcome implements amqp.Sender: messages are sent settled.
func (r *reader) Outcome(amqp.Sent, amqp.State) {}

// Ready implements amqp.Sender.
func (r *reader) Ready(link *amqp.Outgoing) {
	r.pumpLock.Lock()
	defer r.pumpLock.Unlock()
	r.again = true
	if r.link == nil { // before the attach has returned it
		r.link = link
	}
	if !r.running && !r.closed {
		r.running = r.spawn(r.pump)
	}
}

// pump sends messages while there is credit for any.
func (r *reader) pump() {
	for r.proceed() {
		for r.ctx.Err() == nil && r.step() {
		}
	}
}

func (r *reader) proceed() bool {
	r.pumpLock.Lock()
	defer r.pumpLock.Unlock()
	r.running = r.again
	r.again = false
	return r.running
}

// step sends what there is, or waits for it. It reports false if there is no
// credit, or the link has ended.
func (r *reader) step() bool {
	credit, draining := r.link.Credit(), r.link.Draining()
	if credit == 0 {
		if draining {
			r.link.Drained()
		}
		return false
	}
	sent, err := r.send(min(credit, maxRead))
	if err == nil && sent == 0 {
		if draining {
			r.link.Drained()
			return false
		}
		err = r.claim.session.Await(r.ctx, r.partition, r.next)
	}
	if err != nil && r.ctx.Err() == nil {
		r.revoke(err)
	}
	return err == nil
}

// send reads messages and sends them.
func (r *reader) send(limit int) (sent int, err error) {
	var page []*gatehouse.Message
	size := 0
	next, err := r.claim.session.Read(r.ctx, r.partition, r.next, func(m *gatehouse.Message) bool {
		page = append(page, m)
		size += len(m.Body)
		return len(page) < limit && size < readBytes
	})
	enc := r.encoder()
	defer r.putEncoder(enc)
	for _, m := range page {
		if r.start.skips(m) {
			r.next = m.Position.Offset + 1
			sent++
			continue
		}
		e := enc.event(m)
		if err := r.link.Send(amqp.Message{Head: e.head, Body: e.body, Settled: true}); err != nil {
			return sent, nil // no credit any more, or no link
		}
		r.next = m.Position.Offset + 1
		sent++
	}
	if err == nil && next > r.next && len(page) == 0 {
		r.next = next
	}
	return sent, err
}
