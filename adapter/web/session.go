package web

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
)

// A session is one client at the gate: what it sends, and the window of
// deliveries that it has not settled. It is the same for all doors; what is of
// one door is in deliver and ended.
//
// While nothing comes it has no goroutine. Deliveries are handed over by one at
// a time, in order.
type session struct {
	*serving
	gate  *gate.Session
	id    string // of the connection
	dead  bool   // the client receives the dead letters of the inbox
	asked int    // how many deliveries the client wants to hold, if it does not say so later
	name  string // under which the client's next connection ends this one; may be empty

	// deliver hands a delivery to the client. It may wait until the client takes
	// it, and returns false if it never will.
	deliver func(*inbox.Delivery) bool
	// ended is told once why the session has ended. What the client held is back
	// in its place by then.
	ended func(error)

	over chan struct{}  // closed once what the client held is back
	told chan struct{}  // closed once ended has returned
	taps sync.WaitGroup // messages that are about to be given

	mu       sync.Mutex
	finished bool
	stopping bool
	pending  int // messages and settlements on their way
	window   int // deliveries to hold at most; 0: none are wanted now
	held     map[inbox.LockToken]holding
	bytes    int            // of the bodies held
	usual    int            // how large a body is, roughly
	asking   bool           // a receive is under way
	turn     uint64         // how many there were
	waiting  *inbox.Waiting // the same, once it is known
	handing  bool           // deliveries are being handed over
	wake     *time.Timer    // for when a lock of a full window runs out
	seen     map[gatehouse.Offset]struct{}
}

// A holding is a delivery that the client has not settled.
type holding struct {
	sequence gatehouse.Offset
	size     int
	shown    bool      // the client has it, or is about to
	taken    time.Time // when it was received
	renewed  time.Time // the same, or when its lock was renewed last
	until    time.Time // when the lock runs out
}

var errStopping = gatehouse.Errorf(gatehouse.Unavailable, "the gateway is shutting down; connect again")

// start lets the session run, unless it has ended already.
func (s *session) start() error {
	s.gate.AfterDone(func() { s.finish(s.gate.Err()) })
	if !s.enter(s) {
		s.finish(errStopping)
		return errStopping
	}
	s.mu.Lock()
	finished := s.finished
	s.mu.Unlock()
	if finished { // perhaps before it entered
		s.exit(s)
		return errGone
	}
	return nil
}

// listens reports whether the client may receive.
func (s *session) listens() bool { return s.gate.Identity().Rights.Has(gatehouse.RightListen) }

// maxReasons is how long reason and description of a dead letter may be
// together, as by HTTP, whose headers carry them.
const maxReasons = 16 << 10

// settle decides the fate of a delivery. done is called once unless settle
// fails; it must not block.
func (s *session) settle(t inbox.Settlement, done func(error)) error {
	if n := len(t.Reason) + len(t.Description); n > maxReasons {
		return gatehouse.Errorf(gatehouse.TooLarge, "reason and description have %d bytes; at most %d are allowed", n, maxReasons)
	}
	return s.settleAll([]inbox.Settlement{t}, done)
}

func (s *session) settleAll(all []inbox.Settlement, done func(error)) error {
	s.begin()
	err := s.gate.SettleAsync(context.Background(), s.dead, all, func(err error) {
		s.mu.Lock()
		for i := range all {
			if e := all[i].Err; e == nil || errors.Is(e, gatehouse.LockLost) {
				s.forget(all[i].Lock)
			}
		}
		idle := !s.asking && !s.handing && s.window > 0
		s.mu.Unlock()
		done(err)
		s.finishOne()
		if idle {
			go s.more() // a receive may have to read
		}
	})
	if err != nil {
		s.finishOne()
	}
	return err
}

// renew prolongs a lock and returns until when.
func (s *session) renew(lock inbox.LockToken) (time.Time, error) {
	until, err := s.gate.Renew(context.Background(), s.dead, lock)
	s.mu.Lock()
	defer s.mu.Unlock()
	h, held := s.held[lock]
	switch {
	case errors.Is(err, gatehouse.LockLost):
		s.forget(lock)
	case err == nil && held:
		h.renewed, h.until = time.Now(), until
		s.held[lock] = h
	}
	return until, err
}

// send sends a message. done is called once unless send fails, in the order of
// calls; it must not block.
func (s *session) send(m *gatehouse.Message, done func(gate.Receipt, error)) error {
	s.begin()
	err := s.gate.Submit(context.Background(), func(r gate.Receipt, err error) {
		done(r, err)
		s.finishOne()
	}, m)
	if err != nil {
		s.finishOne()
	}
	return err
}

// reauthenticate replaces the client's proof by another for the same rights,
// and returns until when it is good; zero for ever.
func (s *session) reauthenticate(ctx context.Context, shown []auth.Credentials) (time.Time, error) {
	if err := s.gate.Reauthenticate(ctx, shown...); err != nil {
		return time.Time{}, err
	}
	return s.gate.Identity().Expires, nil
}

// begin notes that something is on its way.
func (s *session) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending++
}

// finishOne notes that it is over and was answered.
func (s *session) finishOne() {
	s.mu.Lock()
	s.pending--
	over := s.stopping && s.pending == 0
	s.mu.Unlock()
	if over {
		go s.finish(errStopping)
	}
}

// stop ends the session once nothing is on its way.
func (s *session) stop() {
	s.mu.Lock()
	s.stopping = true
	s.withdraw()
	idle := s.pending == 0
	s.mu.Unlock()
	if idle {
		s.finish(errStopping)
	}
}

// finish ends the session: what the client held goes back to its place, then
// the door is told why. Only the first call has an effect.
func (s *session) finish(err error) {
	s.mu.Lock()
	if s.finished {
		s.mu.Unlock()
		return
	}
	s.finished = true
	s.withdraw()
	if s.wake != nil {
		s.wake.Stop()
	}
	locks := make([]inbox.LockToken, 0, len(s.held))
	for lock := range s.held {
		locks = append(locks, lock)
	}
	s.held, s.bytes = nil, 0
	s.mu.Unlock()
	s.taps.Wait()
	s.giveBack(locks)
	s.gate.Close()
	s.exit(s)
	close(s.over)
	s.ended(err)
	close(s.told)
}
