package channel

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/record"

	"github.com/google/uuid"
)

// Scheduled messages wait as rows of their shard whose keys sort by due time,
// and then by when they were scheduled. When one is due it leaves its row and
// enters its channels in one commit, so it is neither lost nor doubled by a
// crash. A second row, under who sent it and its sequence number, says where
// it is, and leaves with it: so that its sender, and nobody else, can find it.
//
// Sequence numbers are given in the order in which the messages of a shard are
// stored, and tell the shard: the n-th of shard i of k has the number n*k+i.

const (
	duePrefix    = "due/"
	numberPrefix = "scheduled/"
	lastRow      = "scheduled" // the last n of the shard
)

// A schedule is what is kept in memory of the scheduled messages of a shard.
type schedule struct {
	alarm alarm
	last  uint64 // the last n; 0: not read yet. The committing goroutine's
	// changing is held from looking at what waits until what is to leave has
	// left: a message is either released or cancelled.
	changing sync.Mutex
}

// maxScheduled is the greatest length of a scheduled message: room is kept for
// what is noted on it when it is released.
const maxScheduled = engine.MaxRecord - 4<<10

// Limits of how much is released in one commit.
const (
	maxDue      = 256
	maxDueBytes = 4 << 20
)

// How long RunSchedule waits.
const (
	maxDueWait    = time.Minute // between looks: the clock may be set meanwhile
	minDueBackoff = 100 * time.Millisecond
	maxDueBackoff = 15 * time.Second
)

// Schedule keeps a.Message until its NotBefore. a.Targets serve to detect
// duplicates and are not kept: where it goes is decided again when it is due.
// Otherwise it works as Append.
func (s *Set) Schedule(ctx context.Context, a *Append) error {
	a.set = s
	value := record.Append(appendHead(make([]byte, 0, 16+len(a.Account)+len(a.Message.Body)+192), a.Account, a.Incarnation), a.Message)
	if len(value) > maxScheduled {
		return gatehouse.Errorf(gatehouse.TooLarge, "the message is %d bytes long; at most %d can be scheduled", len(value), maxScheduled)
	}
	due := a.Message.NotBefore.UnixNano()
	key, err := dueKey(due)
	if err != nil {
		return err
	}
	a.op.State = append([]engine.Row{{Key: key, Value: value}}, a.Beside...)
	a.op.Prepare = a.number
	a.op.Done = func(_ *engine.Op, err error) {
		if err == nil {
			s.schedules[a.Shard].alarm.set(due)
		}
		err = a.settleClaims(err)
		if a.Done != nil {
			a.Done(a, err)
		}
	}
	return s.commit.Write(ctx, a.Shard, &a.op)
}

// number is the Prepare of a message that is scheduled: it gives it its number,
// unless all of its targets have it already, or have it scheduled.
func (a *Append) number(op *engine.Op) error {
	l := &a.set.schedules[a.Shard]
	if l.last == 0 {
		value, err := a.set.engine.State(a.Shard).Get(lastRow)
		if err != nil {
			return err
		}
		if len(value) == 8 {
			l.last = binary.BigEndian.Uint64(value)
		}
	}
	a.Sequence = a.set.sequence(a.Shard, l.last+1)
	fresh := len(a.Targets) == 0
	for i := range a.Targets {
		seen, err := a.claim(op, i)
		if err != nil {
			return err
		}
		fresh = fresh || !seen
	}
	if !fresh {
		op.State, a.Duplicate, a.Sequence = op.State[1:1+len(a.Beside)], true, a.repeated
		return nil
	}
	l.last++
	binary.BigEndian.PutUint64(op.State[0].Value, a.Sequence)
	op.State = append(op.State,
		engine.Row{Key: numberKey(a.sender(), a.Sequence), Value: []byte(op.State[0].Key)},
		engine.Row{Key: lastRow, Value: binary.BigEndian.AppendUint64(nil, l.last)})
	return nil
}

func (s *Set) sequence(shard engine.Shard, n uint64) uint64 {
	return n*uint64(s.shards) + uint64(shard)
}

// numberKey returns the key of the row that tells where a message is.
func numberKey(s Sender, sequence uint64) string {
	key := append(appendSender(nil, s), '/')
	return string(hex.AppendEncode(key, binary.BigEndian.AppendUint64(nil, sequence)))
}

func appendSender(dst []byte, s Sender) []byte {
	return s.appendTo(append(dst, numberPrefix...))
}

// dueKey returns a key for a message due then, which sorts after those made
// before it.
func dueKey(due int64) (string, error) {
	nonce, err := uuid.NewV7() // in order of time
	if err != nil {
		return "", gatehouse.Wrap(gatehouse.Unavailable, err, "the message cannot be scheduled now; try again")
	}
	key := hex.AppendEncode([]byte(duePrefix), binary.BigEndian.AppendUint64(nil, uint64(due)))
	return string(hex.AppendEncode(append(key, '/'), nonce[:])), nil
}

// dueOf returns the time in a key.
func dueOf(key string) (due int64, ok bool) {
	const digits = 16
	if len(key) < len(duePrefix)+digits {
		return 0, false
	}
	u, err := strconv.ParseUint(key[len(duePrefix):len(duePrefix)+digits], 16, 64)
	return int64(u), err == nil
}

// An alarm tells the shard's scheduler that a message was scheduled.
type alarm struct {
	mu      sync.Mutex
	next    int64 // Unix nanoseconds of the soonest known; 0: none is
	changed chan struct{}
}

// set notes that a message is due then, and wakes the scheduler if it knows of
// none so soon.
func (l *alarm) set(due int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next != 0 && l.next <= due {
		return
	}
	l.next = due
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// forget makes every set wake the scheduler. It comes before the scheduler
// looks at what is stored, so that no message can be stored unseen in between.
func (l *alarm) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = 0
}

// learn notes the soonest message stored (0: none), and returns the soonest
// known.
func (l *alarm) learn(due int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if due != 0 && (l.next == 0 || due < l.next) {
		l.next = due
	}
	return l.next
}

// A Due is a scheduled message whose time has come.
type Due struct {
	Account     gatehouse.AccountName
	Incarnation uint32             // of the endpoint that has sent it: see Sender
	Message     *gatehouse.Message // nil if Err is set
	Err         error              // the row could not be read: it is given up
	rows        []engine.Row       // to delete
	head        int                // length of what precedes the message in the row
}

// RunSchedule hands the shard's scheduled messages to release as they become
// due, in that order, until ctx is done. release decides again and returns the
// records to store in the shard: those of Records, or of DeadRecord. What it
// returns nothing for is gone. Should storage fail, Failed is told, and release
// is called again later with the same messages.
func (s *Set) RunSchedule(ctx context.Context, shard engine.Shard, release func(d *Due) []engine.Record) error {
	l := &s.schedules[shard].alarm
	backoff := minDueBackoff
	for ctx.Err() == nil {
		l.forget()
		next, err := s.releaseDue(ctx, shard, release)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			if s.Failed != nil {
				s.Failed(shard, err)
			}
			sleep(ctx, backoff, nil)
			backoff = min(2*backoff, maxDueBackoff)
			continue
		}
		backoff = minDueBackoff
		wait := maxDueWait
		if next = l.learn(next); next != 0 {
			wait = min(wait, time.Until(time.Unix(0, next)))
		}
		sleep(ctx, wait, l.changed)
	}
	return nil
}

// sleep waits until d has passed, ctx is done or there is something in early.
func sleep(ctx context.Context, d time.Duration, early <-chan struct{}) {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-early:
	case <-timer.C:
	}
}

// releaseDue commits what is due and returns when the next one will be, zero
// if nothing is scheduled.
func (s *Set) releaseDue(ctx context.Context, shard engine.Shard, release func(*Due) []engine.Record) (next int64, err error) {
	for more := true; more && ctx.Err() == nil; {
		if next, more, err = s.releaseSome(ctx, shard, release); err != nil {
			return 0, err
		}
	}
	return next, ctx.Err()
}

// releaseSome commits as much of what is due as one commit may have; more says
// that there was some.
func (s *Set) releaseSome(ctx context.Context, shard engine.Shard, release func(*Due) []engine.Record) (next int64, more bool, err error) {
	l := &s.schedules[shard]
	l.changing.Lock()
	defer l.changing.Unlock()
	due, next, err := s.scanDue(shard, time.Now())
	if err != nil || len(due) == 0 {
		return next, false, err
	}
	op := &engine.Op{}
	for i := range due {
		op.State = append(op.State, due[i].rows...)
		op.Records = append(op.Records, release(&due[i])...)
	}
	return 0, true, s.do(ctx, shard, op)
}

func (s *Set) scanDue(shard engine.Shard, now time.Time) (due []Due, next int64, err error) {
	size := 0
	err = s.engine.State(shard).Scan(duePrefix, func(key string, value []byte) bool {
		at, ok := dueOf(key)
		if ok && at > now.UnixNano() {
			next = at
			return false
		}
		due = append(due, decodeDue(key, value))
		size += len(value)
		return len(due) < maxDue && size < maxDueBytes
	})
	return due, next, err
}

// The value of a row begins with the number, for which appendHead leaves room,
// and the name of the account with its length before it; of a sender that has a
// incarnation a zero and that come before them. The message follows.
const (
	numberLen      = 8
	incarnationLen = 1 + 4
)

func appendHead(dst []byte, account gatehouse.AccountName, incarnation uint32) []byte {
	dst = append(dst, make([]byte, numberLen)...)
	if incarnation != 0 {
		dst = binary.BigEndian.AppendUint32(append(dst, 0), incarnation)
	}
	return append(append(dst, byte(len(account))), account...)
}

func decodeDue(key string, value []byte) Due {
	d := Due{rows: []engine.Row{{Key: key}}, head: numberLen}
	if len(value) > numberLen+incarnationLen && value[numberLen] == 0 {
		d.Incarnation = binary.BigEndian.Uint32(value[numberLen+1:])
		d.head += incarnationLen
	}
	name := d.head + 1
	if len(value) < name || len(value) < name+int(value[d.head]) {
		d.Err = gatehouse.Errorf(gatehouse.Internal, "scheduled message %q is cut short", key)
		return d
	}
	d.head = name + int(value[d.head])
	d.Account = gatehouse.AccountName(value[name:d.head])
	if d.Message, d.Err = record.Decode(append([]byte(nil), value[d.head:]...)); d.Err == nil {
		d.rows = append(d.rows, engine.Row{Key: numberKey(Sender{d.Message.Source, d.Incarnation}, binary.BigEndian.Uint64(value))})
	}
	return d
}

// Scheduled returns how many messages wait in a shard to become due. It costs
// in proportion to their number.
func (s *Set) Scheduled(shard engine.Shard) (n int, err error) {
	err = s.engine.State(shard).Scan(duePrefix, func(string, []byte) bool { n++; return true })
	return n, err
}
