package inbox

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// MaxSessionState is how many bytes the state of a group may have.
const MaxSessionState = 256 << 10

// maxGroup is how long the name of a group may be to have a session.
const maxGroup = 512

// A SessionLock is the exclusive right to receive the messages of one group of
// an inbox, in order. While it lasts, no other receiver gets any of them. It is
// a value to hand around; only the Set knows whether it still holds.
type SessionLock struct {
	Key         Key
	Group       string
	Token       LockToken
	LockedUntil time.Time // as of when it was given; see RenewSession
}

// A session is a group that is locked. It shares the box's messages: those of
// its group are handed out by its own feed, and passed over by the main one.
type session struct {
	timer  timer
	box    *box
	group  string
	token  LockToken
	length time.Duration
	feed   feed
	low    gatehouse.Offset // the first of its messages that the main feed is past; 0: none
	ended  bool
}

// pass notes that the main feed will not hand out a message of the group.
func (s *session) pass(o gatehouse.Offset) {
	if s.low == 0 || o < s.low {
		s.low = o
	}
}

// An accepter waits for a group to have messages. The first in line looks for
// one, from box.accept on; the others wait for their turn.
type accepter struct {
	err  error
	wake chan struct{}
}

func (a *accepter) fail(err error) {
	a.err = err
	poke(a.wake)
}

// wakeAccepter tells those who wait for a group of a message at o.
func (b *box) wakeAccepter(o gatehouse.Offset) {
	if len(b.accepters) > 0 {
		b.accept = min(b.accept, o)
		poke(b.accepters[0].wake)
	}
}

// nothingToAccept is a box's accept if no free group has a message.
const nothingToAccept = gatehouse.Offset(math.MaxInt64)

// AcceptSession locks a group of an inbox: the one named, which fails with
// Conflict if it is locked already, or if group is empty the first that has a
// message available, for which it waits in turn with others until ctx is done
// (and then fails with its cause). The lock lasts for length (0: as the policy
// says) and can be renewed. Messages received in the session are locked as long
// as the session; what other receivers have under a lock comes only when that
// ends.
func (s *Set) AcceptSession(ctx context.Context, k Key, group string, length time.Duration) (*SessionLock, error) {
	q := k.fold()
	sh := s.shardOf(q)
	policy := s.policy(k)
	length = lockLength(length, policy.Lock)
	if len(group) > maxGroup {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the group's name is %d bytes long; a session's has at most %d", len(group), maxGroup)
	}
	b, err := sh.enter(ctx, q)
	if err != nil {
		return nil, err
	}
	defer sh.leave(b)
	b.policy = policy
	if group == "" {
		return b.acceptAny(ctx, k, length)
	}
	if b.sessions[group] != nil {
		return nil, gatehouse.Errorf(gatehouse.Conflict, "group %q of inbox %s is locked by another session", group, b.queue)
	}
	return b.startSession(k, group, 0, length), nil
}

// startSession locks a group that is free. Its messages up to after are known
// not to be available.
func (b *box) startSession(k Key, group string, after gatehouse.Offset, length time.Duration) *SessionLock {
	s := &session{box: b, group: group, length: length, token: newToken(after)}
	s.feed.box, s.feed.session, s.feed.cursor = b, s, after
	s.timer.owner = s
	if b.sessions == nil {
		b.sessions = make(map[string]*session)
	}
	b.sessions[group] = s
	b.retain()
	b.shard.at(&s.timer, time.Now().UnixNano()+int64(length))
	return &SessionLock{Key: k, Group: group, Token: s.token, LockedUntil: unixTime(s.timer.at)}
}

// acceptAny locks the first group that has a message. The shard is locked.
func (b *box) acceptAny(ctx context.Context, k Key, length time.Duration) (*SessionLock, error) {
	sh := b.shard
	a := &accepter{wake: make(chan struct{}, 1)}
	if len(b.accepters) == 0 {
		b.accept = 0
	}
	b.accepters = append(b.accepters, a)
	defer func() {
		i := slices.Index(b.accepters, a)
		b.accepters = slices.Delete(b.accepters, i, i+1)
		b.wakeAccepter(b.accept)
	}()
	for {
		if b.accepters[0] == a && b.accept < nothingToAccept {
			from := b.accept
			b.accept = nothingToAccept // lowered by what comes while reading
			group, o, err := b.freeGroup(ctx, from)
			if err != nil {
				b.accept = min(b.accept, from)
				return nil, err
			}
			if group != "" {
				b.accept = max(min(b.accept, o), 1)
				return b.startSession(k, group, b.accept-1, length), nil
			}
			continue
		}
		sh.mu.Unlock()
		select {
		case <-a.wake:
		case <-ctx.Done():
		}
		sh.mu.Lock()
		switch {
		case a.err != nil:
			return nil, a.err
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
	}
}

// freeGroup finds the first message from an offset on that is available and
// whose group is not locked. The shard is locked, and let go while reading.
func (b *box) freeGroup(ctx context.Context, from gatehouse.Offset) (group string, o gatehouse.Offset, err error) {
	w := walk{box: b, after: max(from, 1) - 1, bodies: true}
	for {
		if err := w.page(ctx); err != nil || len(w.envelopes) == 0 {
			return "", 0, err
		}
		now := time.Now().UnixNano()
		for i := range w.envelopes {
			v, m := &w.envelopes[i], w.messages[i]
			if m == nil || m.Group == "" || len(m.Group) > maxGroup || b.sessions[m.Group] != nil {
				continue
			}
			if v.Expires != 0 && v.Expires <= now || b.known(v.Offset) {
				continue
			}
			if v.NotBefore > now {
				b.hide(entry{off: v.Offset, enqueued: v.Enqueued, expires: v.Expires, notBefore: v.NotBefore, size: int32(v.Size)})
				continue
			}
			return m.Group, v.Offset, nil
		}
	}
}

// session returns the session a lock is for.
func (b *box) session(l *SessionLock, now int64) (*session, error) {
	s := b.sessions[l.Group]
	if s == nil || s.token != l.Token || s.timer.at <= now {
		return nil, errSessionLost(b.queue, l.Group)
	}
	return s, nil
}

func errSessionLost(queue, group string) error {
	return gatehouse.Errorf(gatehouse.LockLost, "the session of group %q of inbox %s has ended; accept it again", group, queue)
}

// end ends the session. If it ran out, the deliveries under way have failed
// and are returned, in state leaving; otherwise they are available again,
// uncounted.
func (s *session) end(ranOut bool, now int64) (failed []*lock) {
	b := s.box
	s.ended = true
	b.shard.timers.remove(&s.timer)
	delete(b.sessions, s.group)
	s.feed.fail(errSessionLost(b.queue, s.group))
	s.feed.clear()
	s.feed.full = false
	for _, l := range b.taken {
		switch {
		case l.session != s:
		case l.state != locked:
			b.delay(l)
		case ranOut:
			l.state = leaving
			failed = append(failed, l)
			b.delay(l)
		default:
			b.restore(l, now)
		}
	}
	if s.low > 0 {
		b.feed.rewind(s.low - 1)
		b.feed.serve(now)
	}
	b.wakeAccepter(0)
	b.shard.drop(b)
	return failed
}

// withSession calls f with the session of a lock and the shard locked.
func (s *Set) withSession(l *SessionLock, f func(*session, int64)) error {
	q := l.Key.fold()
	sh := s.shardOf(q)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !sh.running {
		return errNotRunning
	}
	b := sh.boxes[q]
	if b == nil {
		return errSessionLost(q.queue(), l.Group)
	}
	now := time.Now().UnixNano()
	session, err := b.session(l, now)
	if err != nil {
		return err
	}
	f(session, now)
	return nil
}

// RenewSession makes a session, and the locks of its messages, last as long
// from now as when it was accepted, and returns until when. It fails with
// LockLost if the session has ended.
func (s *Set) RenewSession(l *SessionLock) (until time.Time, err error) {
	err = s.withSession(l, func(session *session, now int64) {
		session.box.shard.at(&session.timer, now+int64(session.length))
		until = unixTime(session.timer.at)
	})
	return until, err
}

// ReleaseSession ends a session. What was received in it and not settled is
// available again, without counting as a delivery. It fails with LockLost if
// the session has ended already.
func (s *Set) ReleaseSession(l *SessionLock) error {
	return s.withSession(l, func(session *session, now int64) { session.end(false, now) })
}

// SessionState returns the bytes last stored for the group of a session, or
// nil. They belong to the caller.
func (s *Set) SessionState(l *SessionLock) ([]byte, error) {
	if err := s.withSession(l, func(*session, int64) {}); err != nil {
		return nil, err
	}
	q := l.Key.fold()
	value, err := s.shardOf(q).state.Get(q.groupsPrefix() + l.Group)
	if err != nil {
		return nil, unavailable(err)
	}
	if value == nil {
		return nil, nil
	}
	return append([]byte{}, value...), nil
}

// SetSessionState stores bytes for the group of a session, durably, beyond its
// end; nil removes them. It fails with LockLost if the session has ended, and
// with TooLarge for more than MaxSessionState bytes.
func (s *Set) SetSessionState(ctx context.Context, l *SessionLock, state []byte) error {
	if len(state) > MaxSessionState {
		return gatehouse.Errorf(gatehouse.TooLarge, "the session state has %d bytes; at most %d can be stored", len(state), MaxSessionState)
	}
	q := l.Key.fold()
	o := &op{sh: s.shardOf(q)}
	err := s.withSession(l, func(session *session, _ int64) {
		o.Epoch = o.sh.queues.Epoch()
		o.admit = func() error {
			if session.ended {
				return errSessionLost(q.queue(), l.Group)
			}
			return nil
		}
	})
	if err != nil {
		return err
	}
	o.State = []engine.Row{{Key: q.groupsPrefix() + l.Group, Value: state}}
	o.apply = func(error, int64) {}
	return o.do(ctx)
}
