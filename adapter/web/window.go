package web

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
)

// maxTake is how many messages are taken from an inbox at a time.
const maxTake = 64

// receive sets how many deliveries the client may hold from now on.
func (s *session) receive(window int) error {
	if !s.listens() {
		return gatehouse.Errorf(gatehouse.Forbidden, "this connection may send but not receive; show a credential of the endpoint's inbox too")
	}
	s.mu.Lock()
	s.window = window
	s.withdraw()
	s.mu.Unlock()
	s.more()
	return nil
}

// withdraw ends the receive that is under way, if nothing has come of it yet;
// s.mu is held.
func (s *session) withdraw() {
	if s.waiting != nil && s.waiting.Cancel() {
		s.waiting, s.asking = nil, false
		s.taps.Done()
	}
}

// more receives if there is room in the window and nobody does so.
func (s *session) more() {
	for {
		room, turn := s.room()
		if room == 0 {
			return
		}
		w, err := s.gate.ReceiveLater(context.Background(), s.dead, inbox.ReceiveOptions{Max: min(room, maxTake)}, s.given)
		if err != nil {
			s.taps.Done()
			s.finish(err)
			return
		}
		if !s.waitFor(w, turn, room) {
			return
		}
	}
}

// room returns how many messages to receive, and notes that somebody does, in
// which turn; or zero.
func (s *session) room() (room int, turn uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || s.stopping || s.asking || s.handing || s.window == 0 {
		return 0, 0
	}
	s.purge(time.Now())
	room = s.window - len(s.held)
	if room <= 0 || s.bytes >= s.options.WindowBytes {
		s.wakeLater()
		return 0, 0
	}
	if s.usual > 0 { // as many as will fit
		room = min(room, (s.options.WindowBytes-s.bytes)/s.usual+1)
	}
	s.asking = true
	s.turn++
	s.taps.Add(1)
	return room, s.turn
}

// waitFor notes what waits for messages, unless they have come. It reports true
// if it asked for more than the window has room for by now, and does not wait
// any more.
func (s *session) waitFor(w *inbox.Waiting, turn uint64, room int) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asking || s.turn != turn {
		return false
	}
	s.waiting = w
	if s.finished || s.stopping || s.window-len(s.held) < room {
		s.withdraw()
	}
	return !s.asking
}

// returnTime is how long a message whose lock has run out is given to return to
// its place before another is received instead of it.
const returnTime = 250 * time.Millisecond

// purge forgets deliveries whose locks have run out; s.mu is held.
func (s *session) purge(now time.Time) {
	for lock, h := range s.held {
		if h.until.Add(returnTime).Before(now) {
			s.forget(lock)
		}
	}
}

// forget takes a delivery out of the window; s.mu is held.
func (s *session) forget(lock inbox.LockToken) {
	if h, ok := s.held[lock]; ok {
		s.bytes -= h.size
		delete(s.held, lock)
	}
}

// wakeLater looks at a full window again when its first lock runs out; s.mu is
// held.
func (s *session) wakeLater() {
	var first time.Time
	for _, h := range s.held {
		if first.IsZero() || h.until.Before(first) {
			first = h.until
		}
	}
	after := time.Until(first.Add(returnTime)) + 1
	if s.wake == nil {
		s.wake = time.AfterFunc(after, s.more)
	} else {
		s.wake.Reset(after)
	}
}

// given gets what was received.
func (s *session) given(got []*inbox.Delivery, err error) {
	s.mu.Lock()
	s.asking, s.waiting = false, nil
	finished := s.finished
	var surplus []*inbox.Delivery
	if finished {
		got, surplus = nil, got
	} else {
		got, surplus = s.hold(got)
	}
	s.handing = len(got) > 0
	s.mu.Unlock()
	if len(surplus) > 0 {
		s.giveBack(locksOf(surplus))
	}
	s.taps.Done()
	switch {
	case finished:
		return
	case err != nil:
		s.finish(err)
		return
	}
	s.hand(got)
	s.mu.Lock()
	s.handing = false
	s.mu.Unlock()
	s.more()
}

// hold puts deliveries into the window, as many as there is room for and at
// least one, and returns those and the others; s.mu is held.
func (s *session) hold(got []*inbox.Delivery) (held, surplus []*inbox.Delivery) {
	if s.held == nil {
		s.held = make(map[inbox.LockToken]holding, len(got))
	}
	now := time.Now()
	for i, d := range got {
		if i > 0 && s.bytes >= s.options.WindowBytes {
			return got[:i], got[i:]
		}
		size := len(d.Message.Body)
		s.held[d.Lock] = holding{sequence: d.Sequence, size: size, taken: now, renewed: now, until: d.LockedUntil}
		s.bytes += size
		s.usual += (size - s.usual) / 4
	}
	return got, nil
}

// hand hands deliveries to the client, but for those it has acknowledged on
// a former connection.
func (s *session) hand(got []*inbox.Delivery) {
	for _, d := range got {
		if _, ok := s.seen[d.Sequence]; ok {
			_ = s.settle(inbox.Settlement{Lock: d.Lock}, func(error) {}) // or it is seen again
			continue
		}
		if !s.deliver(d) {
			return
		}
	}
}

func locksOf(got []*inbox.Delivery) []inbox.LockToken {
	locks := make([]inbox.LockToken, len(got))
	for i, d := range got {
		locks[i] = d.Lock
	}
	return locks
}

// giveBack returns deliveries to their places.
func (s *session) giveBack(locks []inbox.LockToken) {
	if err := s.gate.GiveBack(context.Background(), s.dead, false, locks...); err != nil {
		s.options.Logger.Debug("messages for a client that is gone stay locked until their locks run out", "error", err)
	}
}

// renewAll prolongs the locks of all that the client holds. What it does not
// hold any more is forgotten.
func (s *session) renewAll() {
	s.mu.Lock()
	locks := slices.Collect(maps.Keys(s.held))
	s.mu.Unlock()
	for _, lock := range locks {
		if _, err := s.renew(lock); err != nil && !errors.Is(err, gatehouse.LockLost) {
			return // it tries again
		}
	}
}

// show notes that the client is given a delivery, and returns the sequences of
// all that it was given and has not settled, in order.
func (s *session) show(d *inbox.Delivery) []gatehouse.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	given := []gatehouse.Offset{d.Sequence}
	for lock, h := range s.held {
		switch {
		case lock == d.Lock:
			h.shown = true
			s.held[lock] = h
		case h.sequence == d.Sequence: // came again: that lock is lost
			s.forget(lock)
		case h.shown:
			given = append(given, h.sequence)
		}
	}
	slices.Sort(given)
	return given
}

// upTo returns what completes those of the client's deliveries that an event
// acknowledges.
func (s *session) upTo(id *eventID) []inbox.Settlement {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []inbox.Settlement
	for lock, h := range s.held {
		if h.shown && id.has(h.sequence) {
			all = append(all, inbox.Settlement{Sequence: h.sequence, Lock: lock})
		}
	}
	return all
}
