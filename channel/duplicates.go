package channel

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/engine"
)

// Duplicate detection keeps the ids of a channel's messages as rows of the
// shard, written in the same commit as the messages, in generations as long as
// the window: an id is looked up in the generation of now and in the one
// before, and a generation older than that is dropped whole. So memory is
// bounded by what is on its way to the disk, whatever the window.
//
// Detection is per partition: a sender's retry carries the same ordering key,
// or comes from the same endpoint, and so meets the original. A change of the
// window forgets what was seen before it.

// MaxDuplicates is the longest window of duplicate detection.
const MaxDuplicates = 7 * 24 * time.Hour

// maxSkew is how much earlier than the original, by its time, a retry may seem
// to be: clocks are set, and messages overtake one another on their way here.
const maxSkew = time.Minute

// recent holds the claims of one shard that are not durable yet.
type recent struct {
	mu  sync.Mutex
	ids map[string]*claim // by stream and hash of the id
}

// A claim is an id on its way to the disk. err is written before the claim is
// taken out of recent and read only by later ops of the shard, whose Done
// comes after.
type claim struct {
	key      string
	sequence uint64 // of a scheduled message
	err      error
}

// idHash shortens the id of a message together with its proven sender: an id
// is the sender's own, so that nobody can keep another's message out by taking
// its id first, and who is given the name of a former endpoint begins anew.
func idHash(s Sender, id string) [16]byte {
	var space [256]byte
	sum := sha256.Sum256(append(append(s.appendTo(space[:0]), 0), id...))
	return [16]byte(sum[:16])
}

func generation(t time.Time, window time.Duration) int64 {
	return t.UnixNano() / int64(window) * int64(window)
}

func appendGeneration(dst []byte, stream string, start int64) []byte {
	dst = append(dst, seenSpace...)
	dst = append(dst, stream...)
	dst = append(dst, 0)
	dst = hex.AppendEncode(dst, binary.BigEndian.AppendUint64(nil, uint64(start)))
	return append(dst, '/')
}

func seenPrefix(stream string) string { return seenSpace + stream + "\x00" }

func generationPrefix(stream string, start int64) string {
	return string(appendGeneration(nil, stream, start))
}

func rowKey(stream string, hash [16]byte, start int64) string {
	key := make([]byte, 0, len(stream)+48)
	return string(append(appendGeneration(key, stream, start), hash[:]...))
}

// dropDuplicates is the Prepare of an Append some of whose targets detect
// duplicates: it takes out the records whose channels have the message already.
func (a *Append) dropDuplicates(op *engine.Op) error {
	keep := op.Records[:0]
	for i := range a.Targets {
		seen, err := a.claim(op, i)
		if err != nil {
			return err
		}
		if !seen {
			keep = append(keep, op.Records[i])
		}
	}
	clear(op.Records[len(keep):])
	op.Records = keep
	a.Duplicate = len(keep) == 0
	return nil
}

// claim reports whether the i-th target has the message already, and if not
// claims its id there. It runs in the order of commits, on one goroutine per
// shard.
func (a *Append) claim(op *engine.Op, i int) (seen bool, err error) {
	t := &a.Targets[i]
	if t.Duplicates <= 0 {
		return false, nil
	}
	stream, hash := ID{a.Account, t.Channel}.stream(), idHash(a.sender(), a.Message.ID)
	key := stream + "\x00" + string(hash[:])
	r := &a.set.recent[a.Shard]
	r.mu.Lock()
	other := r.ids[key]
	r.mu.Unlock()
	if other != nil {
		a.await, a.repeated = append(a.await, other), other.sequence
		return true, nil
	}
	now := a.Message.Enqueued
	seen, sequence, err := seenSince(a.set.engine.State(a.Shard), stream, hash, now, t.Duplicates)
	if seen || err != nil {
		a.repeated = sequence
		return seen, err
	}
	c := &claim{key: key, sequence: a.Sequence}
	a.claims = append(a.claims, c)
	r.mu.Lock()
	r.ids[key] = c
	r.mu.Unlock()
	value := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	if a.Sequence != 0 {
		value = binary.BigEndian.AppendUint64(value, a.Sequence)
	}
	op.State = append(op.State, engine.Row{Key: rowKey(stream, hash, generation(now, t.Duplicates)), Value: value})
	return false, nil
}

// seenSince reports whether there was a message with this id within the window,
// and the number under which it was scheduled, if it was.
func seenSince(state engine.State, stream string, hash [16]byte, now time.Time, window time.Duration) (seen bool, sequence uint64, err error) {
	start := generation(now, window)
	places := [3]int64{start, start - int64(window), start + int64(window)}
	look := places[:2]
	if places[2]-now.UnixNano() <= int64(maxSkew) {
		look = places[:]
	}
	for _, g := range look {
		value, err := state.Get(rowKey(stream, hash, g))
		if err != nil {
			return false, 0, err
		}
		if len(value) < 8 || now.UnixNano()-int64(binary.BigEndian.Uint64(value)) >= int64(window) {
			continue
		}
		if len(value) == 16 {
			sequence = binary.BigEndian.Uint64(value[8:])
		}
		return true, sequence, nil
	}
	return false, 0, nil
}

// settleClaims ends the claims of an op that is durable or refused and returns
// the outcome of the message: a retry of a message that could not be stored
// was not stored either.
func (a *Append) settleClaims(err error) error {
	for _, c := range a.await {
		if err == nil {
			err = c.err
		}
	}
	if len(a.claims) == 0 {
		return err
	}
	r := &a.set.recent[a.Shard]
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range a.claims {
		c.err = err
		delete(r.ids, c.key)
	}
	return err
}

// ForgetDuplicates drops the generations of ids that are past the window of a
// channel; a window of zero drops all.
func (s *Set) ForgetDuplicates(ctx context.Context, id ID, window time.Duration, now time.Time) error {
	stream := id.stream()
	for p := range s.shards {
		shard := engine.Shard(p)
		for {
			start, ok, err := s.oldestGeneration(shard, stream)
			if err != nil {
				return err
			}
			if !ok || window > 0 && start >= generation(now, window)-int64(window) {
				break
			}
			if err := s.do(ctx, shard, &engine.Op{Clear: []string{generationPrefix(stream, start)}}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Set) oldestGeneration(shard engine.Shard, stream string) (start int64, ok bool, err error) {
	prefix := seenPrefix(stream)
	err = s.engine.State(shard).Scan(prefix, func(key string, _ []byte) bool {
		text, _, _ := strings.Cut(key[len(prefix):], "/")
		u, bad := strconv.ParseUint(text, 16, 64)
		start, ok = int64(u), bad == nil
		return false
	})
	return start, ok, err
}
