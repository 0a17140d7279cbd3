package mqttadapter

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
)

// maxKeptSessions is how many sessions of an endpoint are kept without a
// connection; the oldest ends when there are more.
const maxKeptSessions = 16

// Sessions are the MQTT sessions of clients: connected ones, and those whose
// client may come back. They are in memory; those that last are on disk, too,
// with their subscriptions and the messages at QoS 2 that were not released, and
// are read when the first client comes. Messages to clients are not in them but
// in the inbox of the endpoint, which no session owns. A session that had a
// subscription at QoS 2 is in memory alone: which packet ids its client holds is
// not on disk, and a message under one of them would be taken for the former.
// The zero value is ready for use, with one gate.
type Sessions struct {
	gate     *gate.Gate // nil until they are read
	mu       sync.Mutex
	byClient map[clientKey]*session
	kept     map[party][]*session // without a connection, the oldest first
}

// A party is an endpoint; names are folded. One that is created again is
// another, to which the sessions of the former one mean nothing.
type party struct {
	account, endpoint string
	incarnation       uint32
}

// A clientKey identifies a session. Client identifiers are an endpoint's own:
// two endpoints may use the same.
type clientKey struct {
	party
	client string
}

// A session is what a client and the gateway remember of each other between
// connections. Its connection has it for itself; without one, mu of Sessions
// guards it.
type session struct {
	key   clientKey
	owner *connection
	left  chan struct{} // closed when the owner has left; nil if nobody waits for that

	subscriptions []subscription
	held          map[uint16]hold // by packet id
	unacked       []unacked       // deliveries that went back to the inbox, in order
	released      []outgoing      // deliveries that the client has and the gateway is to forget (PUBREL)
	lastID        uint16          // of a delivery
	exact         bool            // there was a subscription at QoS 2: see Sessions
	life          life
	former        rows // what removes the session that this one replaces

	// While it is kept:
	will    *will
	fireAt  time.Time // of the will
	expires time.Time
	timer   *time.Timer
}

// An unacked is a delivery that the client may have seen: when the message
// comes again in this session it has the same packet id, and DUP.
type unacked struct {
	sequence gatehouse.Offset
	dead     bool
	id       uint16
}

// claim makes c the owner of its client's session: of the one there is, or
// without one or with clean of a new one. It reports whether there was one. One
// with subscriptions ends if its client does not listen any more. A connection
// that has it is ended, and given until ctx is done to leave.
func (all *Sessions) claim(ctx context.Context, c *connection, key clientKey, clean, listens bool) (s *session, present bool, err error) {
	for {
		var old *will
		all.mu.Lock()
		if err := all.open(c.serving.gate); err != nil {
			all.mu.Unlock()
			return nil, false, err
		}
		s := all.byClient[key]
		if s != nil && s.owner != nil {
			if s.left == nil {
				s.left = make(chan struct{})
			}
			owner, left := s.owner, s.left
			all.mu.Unlock()
			owner.takeOver()
			select {
			case <-left:
				continue
			case <-ctx.Done():
				return nil, false, gatehouse.Errorf(gatehouse.Unavailable, "the former connection of this client is still ending; try again shortly")
			}
		}
		if s != nil {
			all.unkeep(s)
			old, s.will = s.will, nil
		}
		present = s != nil && !clean && (listens || len(s.subscriptions) == 0)
		if !present {
			fresh := &session{key: key}
			if s != nil {
				fresh.former = all.erased(s)
			}
			s = fresh
		}
		if all.byClient == nil {
			all.byClient = make(map[clientKey]*session)
		}
		all.byClient[key] = s
		s.owner = c
		all.mu.Unlock()
		if old != nil && present {
			old.drop() // the client is back
		} else if old != nil {
			old.fire() // its session has ended
		}
		return s, present, nil
	}
}

// begin puts a session on disk, if it is to last, whose client comes.
func (all *Sessions) begin(s *session, keep time.Duration) error {
	if err := all.write(s.former); err != nil {
		return err
	}
	s.former = nil
	return all.write(all.toKeep(s, keep, time.Time{}))
}

// leave ends the ownership of c: the session is kept for a while, or ends. Its
// will, if there is one, is sent when its delay is over or the session ends.
func (all *Sessions) leave(s *session, keep time.Duration, w *will) {
	now := time.Now()
	all.tidy(all.toKeep(s, keep, now))
	all.tidy(s.former)
	var fire []*will
	var gone rows
	all.mu.Lock()
	s.owner = nil
	if s.left != nil {
		close(s.left)
		s.left = nil
	}
	if keep <= 0 {
		delete(all.byClient, s.key)
		fire = append(fire, w)
	} else {
		s.will, s.expires, s.fireAt = w, now.Add(keep), time.Time{}
		if w != nil {
			s.fireAt = now.Add(min(w.delay, keep))
			if w.delay <= 0 || w.serving.conns.Stopped() {
				fire, s.will = append(fire, w), nil
			}
		}
		if oldest := all.keep(s, now); oldest != nil {
			fire, oldest.will = append(fire, oldest.will), nil
			gone = all.erased(oldest)
		}
	}
	all.mu.Unlock()
	all.tidy(gone)
	for _, w := range fire {
		if w != nil {
			w.fire()
		}
	}
}

// keep keeps a session without a connection. It returns one that had to make
// room and has ended.
func (all *Sessions) keep(s *session, now time.Time) (ended *session) {
	if all.kept == nil {
		all.kept = make(map[party][]*session)
	}
	p := s.key.party
	all.kept[p] = append(all.kept[p], s)
	all.arm(s, now)
	if len(all.kept[p]) <= maxKeptSessions {
		return nil
	}
	oldest := all.kept[p][0]
	all.unkeep(oldest)
	delete(all.byClient, oldest.key)
	return oldest
}

// unkeep takes a session out of those that are kept.
func (all *Sessions) unkeep(s *session) {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	p := s.key.party
	all.kept[p] = slices.DeleteFunc(all.kept[p], func(o *session) bool { return o == s })
	if len(all.kept[p]) == 0 {
		delete(all.kept, p)
	}
}

// arm has the session's will sent, or the session end, when that is due.
func (all *Sessions) arm(s *session, now time.Time) {
	at := s.expires
	if s.will != nil && s.fireAt.Before(at) {
		at = s.fireAt
	}
	var timer *time.Timer
	timer = time.AfterFunc(at.Sub(now), func() { all.due(s, &timer) })
	s.timer = timer
}

// due is called when the timer of a kept session has run.
func (all *Sessions) due(s *session, timer **time.Timer) {
	now := time.Now()
	all.mu.Lock()
	if s.timer == nil || s.timer != *timer {
		all.mu.Unlock()
		return // its client came back
	}
	w := s.will
	s.will = nil
	var gone rows
	if now.Before(s.expires) {
		all.arm(s, now)
	} else {
		all.unkeep(s)
		delete(all.byClient, s.key)
		gone = all.erased(s)
	}
	all.mu.Unlock()
	all.tidy(gone)
	if w != nil {
		w.fire()
	}
}

// hurry sends the wills that wait, of connections that were served by by.
func (all *Sessions) hurry(by *serving) {
	var fire []*will
	all.mu.Lock()
	for _, list := range all.kept {
		for _, s := range list {
			if s.will != nil && s.will.serving == by {
				fire, s.will = append(fire, s.will), nil
			}
		}
	}
	all.mu.Unlock()
	for _, w := range fire {
		w.fire()
	}
}

// again returns the packet id under which a message was sent before in the
// session, and forgets it.
func (s *session) again(dead bool, sequence gatehouse.Offset) (id uint16, ok bool) {
	for i := range s.unacked {
		if u := &s.unacked[i]; u.sequence == sequence && u.dead == dead {
			id = u.id
			s.unacked = slices.Delete(s.unacked, i, i+1)
			return id, true
		}
	}
	return 0, false
}

// reserved reports whether id is that of a delivery of an earlier connection
// which the client may still know.
func (s *session) reserved(id uint16) bool {
	return slices.ContainsFunc(s.unacked, func(u unacked) bool { return u.id == id })
}

// An outgoing is a message that was sent to the client and is not settled.
type outgoing struct {
	id       uint16 // 0: QoS 0
	dead     bool
	again    bool // the client may have seen it
	qos      byte
	gone     bool // acknowledged; its place is not free yet
	received bool // PUBREC came: PUBCOMP completes it
	lock     inbox.LockToken
	sequence gatehouse.Offset
	since    int64 // when it was taken
	until    int64 // when the lock ends
}
