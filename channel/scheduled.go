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
// crash.

const duePrefix = "due/"

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
	value := append([]byte{byte(len(a.Account))}, a.Account...)
	value = record.Append(value, a.Message)
	if len(value) > maxScheduled {
		return gatehouse.Errorf(gatehouse.TooLarge, "the message is %d bytes long; at most %d can be scheduled", len(value), maxScheduled)
	}
	due := a.Message.NotBefore.UnixNano()
	key, err := dueKey(due)
	if err != nil {
		return err
	}
	a.op.State = []engine.Row{{Key: key, Value: value}}
	for i := range a.Targets {
		if a.Targets[i].Duplicates > 0 {
			a.op.Prepare = a.dropScheduled
		}
	}
	a.op.Done = func(_ *engine.Op, err error) {
		if err == nil {
			s.alarm[a.Shard].set(due)
		}
		err = a.settleClaims(err)
		if a.Done != nil {
			a.Done(a, err)
		}
	}
	return s.commit.Write(ctx, a.Shard, &a.op)
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
	Account gatehouse.AccountName
	Message *gatehouse.Message // nil if Err is set
	Err     error              // the row could not be read: it is given up
	key     string
}

// RunSchedule hands the shard's scheduled messages to release as they become
// due, in that order, until ctx is done. release decides again and returns the
// records to store in the shard: those of Records, or of DeadRecord. What it
// returns nothing for is gone. Should storage fail, Failed is told, and release
// is called again later with the same messages.
func (s *Set) RunSchedule(ctx context.Context, shard engine.Shard, release func(d *Due) []engine.Record) error {
	l := &s.alarm[shard]
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
	for ctx.Err() == nil {
		due, next, err := s.scanDue(shard, time.Now())
		if err != nil || len(due) == 0 {
			return next, err
		}
		op := &engine.Op{}
		for i := range due {
			op.State = append(op.State, engine.Row{Key: due[i].key})
			op.Records = append(op.Records, release(&due[i])...)
		}
		if err := s.do(ctx, shard, op); err != nil {
			return 0, err
		}
	}
	return 0, ctx.Err()
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

func decodeDue(key string, value []byte) Due {
	d := Due{key: key}
	if len(value) == 0 || len(value) <= int(value[0]) {
		d.Err = gatehouse.Errorf(gatehouse.Internal, "scheduled message %q is cut short", key)
		return d
	}
	n := int(value[0])
	d.Account = gatehouse.AccountName(value[1 : 1+n])
	d.Message, d.Err = record.Decode(append([]byte(nil), value[1+n:]...))
	return d
}

// Scheduled returns how many messages wait in a shard to become due. It costs
// in proportion to their number.
func (s *Set) Scheduled(shard engine.Shard) (n int, err error) {
	err = s.engine.State(shard).Scan(duePrefix, func(string, []byte) bool { n++; return true })
	return n, err
}
