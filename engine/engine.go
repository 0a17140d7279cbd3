// Package engine is the seam for storage: everything durable in Gatehouse goes
// through an Engine, and everything above it is written once for all engines.
//
// An engine keeps records in a fixed number of shards. Within a shard there
// are logs, which are retained and read by many from any offset, and queues,
// whose records leave when they are removed; and State, small rows that change
// in the same commit as the records they belong to. Beside the shards stand
// Tables, the revisioned definitions of an environment, and Leases.
//
// Callers do not use Commit directly on a hot path but a Committer, which
// turns the small writes of many callers into group commits.
//
// Package engine/enginetest proves an engine; engine/memory is the one tests
// use, engine/pebbledb the embedded default.
package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse"
)

// A Shard is one of the slices of an environment, from 0 to Shards()-1.
type Shard uint16

// MaxRecord is the greatest length of a record's data in bytes. A Commit with
// a longer one fails with TooLarge.
const MaxRecord = 64 << 20

// ScanBytes is how many bytes of data end a Scan of a queue.
const ScanBytes = 4 << 20

// An Engine keeps every durable byte. It is safe for concurrent use.
//
// Errors are of kind Unavailable when storage refuses for now (disk full, I/O
// error, quorum lost): what was acknowledged stays readable, and the same call
// succeeds once the cause is gone. A record whose bytes have changed is never
// returned: reading it fails with a *CorruptError.
type Engine interface {
	// Shards returns the number of shards, fixed when the environment was made.
	Shards() int

	// Commit stores b in shard s, atomically: after a crash all of it is there
	// or nothing. It returns once b's place in the order of the shard is fixed
	// and its records have their offsets, without waiting for the disk.
	//
	// The order of Commit calls on a shard is the order of their offsets. When
	// b is durable, and not before, it becomes visible to readers, and then
	// done is called with nil; if it cannot be stored, done is called with the
	// error and none of b is visible, now or after a restart. An error in
	// doubt (the disk failed while b was written) may leave b stored; it is
	// then visible to readers after recovery, at its offsets, in order.
	//
	// Calls to done of one shard come one at a time, in the order of Commit,
	// from a goroutine of the engine that must not be held up. b belongs to
	// the engine until then. A commit that is refused outright calls done too:
	// there is one way to learn of failure. Commit may block while too many
	// commits are in flight.
	Commit(s Shard, b *Batch, done func(error))

	// Log returns a log of a shard, by name. No I/O: a log exists from its
	// first record.
	Log(s Shard, name string) Log

	// State reads the rows of a shard that batches write.
	State(s Shard) State

	// Own makes the caller the owner of the shard's queues and fences the
	// previous owner: its commits fail with Conflict from now on. put is told
	// of every record put into a queue of the shard from now on, by whomever,
	// once it is durable and before the done of its commit is called; calls
	// come one at a time in order of offset. put must return quickly. The
	// envelope's Data is only lent until put returns, and may be nil.
	Own(ctx context.Context, s Shard, put func(queue string, e Envelope)) (Queues, error)

	// Table returns a table of the environment, by name. No I/O.
	Table(name string) Table

	// Lease waits until it holds the lease called name, or ctx is done.
	Lease(ctx context.Context, name string) (Lease, error)

	// Close waits for commits in flight and releases everything. Later calls
	// fail with Unavailable. Leases and owners are lost.
	Close() error
}

// A Batch is what one Commit stores.
type Batch struct {
	// Epoch, if not zero, is the epoch of the owner of the shard's queues; the
	// commit fails with Conflict if it is no longer the current one.
	Epoch uint64
	// Records are appended in order.
	Records []Record
	// Remove takes records out of queues. Removing one that is not there does
	// nothing. A record may not be put and removed in the same batch.
	Remove []Ref
	// State rows to write, after Clear.
	State []Row
	// Clear removes all rows of State whose key starts with one of these.
	Clear []string
	// ClearQueues empties these queues of the records put before this batch.
	ClearQueues []string
	// DropLogs drops these logs: the records appended before this batch, and
	// whatever is kept about them. A name that ends in / stands for all logs
	// whose names begin with it. A dropped log is one that never was, until a
	// record is appended again, by this batch or later: its offsets go on
	// growing, so that no reader takes a new record for an old one.
	DropLogs []string
}

// Reset empties b for reuse, keeping its memory.
func (b *Batch) Reset() {
	clear(b.Records)
	clear(b.Remove)
	clear(b.State)
	*b = Batch{
		Records: b.Records[:0], Remove: b.Remove[:0], State: b.State[:0],
		Clear: b.Clear[:0], ClearQueues: b.ClearQueues[:0], DropLogs: b.DropLogs[:0],
	}
}

// A Record is one entry of a log or a queue.
type Record struct {
	// Stream names the log or the queue. Names are folded by the caller, at
	// most 512 bytes, and do not contain the byte 0.
	Stream string
	// Queue says that Stream names a queue.
	Queue bool
	// Expires and NotBefore, in Unix nanoseconds, zero for none, are kept with
	// a queue's record for the owner. The engine acts on neither.
	Expires, NotBefore int64
	// Data is opaque.
	Data []byte
	// Offset is set by Commit, before it returns: unique within the shard
	// across all its logs and queues, greater than any before.
	Offset gatehouse.Offset
}

// A Ref names a record of a queue.
type Ref struct {
	Queue  string
	Offset gatehouse.Offset
	// Expires as the record was put with: an engine may index by it.
	Expires int64
}

// A Row is a row of a shard's State. A nil Value deletes.
type Row struct {
	Key   string
	Value []byte
}

// An Envelope is a queue's record without, or with, its data.
type Envelope struct {
	Offset             gatehouse.Offset
	Size               int   // of the data, in bytes
	Enqueued           int64 // Unix nanoseconds, by the clock of the node that committed
	Expires, NotBefore int64
	Data               []byte
}

// A Log is a retained sequence of records within a shard.
type Log interface {
	// Read calls visit for the durable records whose offset is at least from,
	// in order, until visit returns false, the log ends, or ctx is done. data
	// is only lent until visit returns. It returns the offset to read from
	// next: one more than the last one visited, or from if there was none. Of
	// a log that is dropped meanwhile it may go on to visit what it had begun
	// to read.
	//
	// A corrupt record ends the read with a *CorruptError; reading from its
	// Offset+1 goes on behind it.
	Read(ctx context.Context, from gatehouse.Offset, visit func(o gatehouse.Offset, enqueued int64, data []byte) bool) (next gatehouse.Offset, err error)
	// Wait returns once the log has a durable record whose offset is at least
	// from, or with the error of ctx.
	Wait(ctx context.Context, from gatehouse.Offset) error
	// Bounds tells the offset of the first record still kept and the next
	// offset after the last durable one (both zero for a log that never had
	// one, or not since it was dropped), and roughly how many bytes are kept.
	Bounds(ctx context.Context) (first, next gatehouse.Offset, bytes int64, err error)
	// Seek returns the offset of the first record enqueued at or after t, or
	// one near before it.
	Seek(ctx context.Context, t time.Time) (gatehouse.Offset, error)
	// Retain drops leading records that are older than age, and then those
	// beyond the newest bytes; zero means no limit. It works on whole
	// segments, so that up to a sixteenth more than asked (at least 1 MiB) may
	// stay, and costs in proportion to what it drops, not to what is kept.
	Retain(ctx context.Context, age time.Duration, bytes int64) error
}

// State reads the small rows of a shard. It sees durable rows only.
type State interface {
	// Get returns the value of key, or nil if there is none.
	Get(key string) ([]byte, error)
	// Scan calls visit for the rows whose key starts with prefix, in order of
	// key, until visit returns false. value is only lent until visit returns.
	// It sees the rows as they were at one moment, and no batch in part.
	Scan(prefix string, visit func(key string, value []byte) bool) error
}

// Queues is what the owner of a shard may do with its queues.
type Queues interface {
	// Epoch returns the epoch to commit removals with; it grows with each Own.
	Epoch() uint64
	// Scan appends to dst up to limit envelopes of queue with an offset
	// greater than after, in order. With data it fills in their Data, which
	// then belongs to the caller, and stops once that is more than ScanBytes:
	// fewer than limit, and no more data than that, mean the end of the queue. A corrupt record ends the scan
	// like that of a Log: what came before is returned with the error.
	Scan(ctx context.Context, queue string, after gatehouse.Offset, limit int, data bool, dst []Envelope) ([]Envelope, error)
	// Get returns the envelope of one record with its data, which belongs to
	// the caller; NotFound if it is not there.
	Get(ctx context.Context, queue string, o gatehouse.Offset) (Envelope, error)
	// Names calls visit for each queue that has a record, in order, starting
	// after the given name ("" for all), until visit returns false. It costs
	// in proportion to the number of queues.
	Names(ctx context.Context, after string, visit func(queue string) bool) error
	// Expired appends to dst up to limit references to records whose Expires
	// is set and not after now, soonest first. It costs in proportion to what
	// it returns.
	Expired(ctx context.Context, now int64, limit int, dst []Ref) ([]Ref, error)
}

// A Table is a small set of rows with revisions. It is for definitions, not
// for messages. A revision is one number for all tables of an engine; it grows
// with every update.
type Table interface {
	// Get returns the row of key, or NotFound.
	Get(ctx context.Context, key string) (TableRow, error)
	// Scan calls visit for the rows whose key starts with prefix, in order of
	// key, until visit returns an error, which it returns. It returns the
	// revision the scan has seen: Watch from there misses nothing.
	Scan(ctx context.Context, prefix string, visit func(TableRow) error) (revision uint64, err error)
	// Update makes all changes or none, durably, and returns the revision they
	// share. It fails with Conflict if a change's condition does not hold.
	Update(ctx context.Context, changes ...Change) (revision uint64, err error)
	// Watch calls visit with the rows each update after revision changed, one
	// update at a time, in order, until ctx is done (whose error it returns)
	// or visit returns an error. Updates made before the call may come
	// collapsed: one call with the rows' newest values.
	Watch(ctx context.Context, revision uint64, visit func([]TableRow) error) error
}

// A TableRow is a row of a table. A nil Value, seen by Watch only, says that
// the row is gone.
type TableRow struct {
	Key      string
	Value    []byte
	Revision uint64 // of the update that wrote it
}

// A Change to a row of a table.
type Change struct {
	Key   string
	Value []byte // nil deletes
	If    If     // what must be true of the row
}

// An If is a condition on a row: the zero If is none, else the revision the
// row must have, or Absent.
type If uint64

// Absent demands that there be no such row yet.
const Absent If = 1<<64 - 1

// A Lease is held until it is released or lost.
type Lease interface {
	// Epoch grows each time the lease changes hands.
	Epoch() uint64
	// Lost is closed when the lease is no longer held.
	Lost() <-chan struct{}
	// Release gives the lease up.
	Release()
}

// A CorruptError says that stored bytes have changed. It is of kind Internal.
type CorruptError struct {
	Shard  Shard
	Stream string
	Offset gatehouse.Offset
	Detail string
}

// Error names the record.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("stored record is corrupt: shard %d, stream %q, offset %d: %s", e.Shard, e.Stream, e.Offset, e.Detail)
}

// Is reports whether target is the kind Internal.
func (e *CorruptError) Is(target error) bool { return target == gatehouse.Internal }

// ShardOf returns the shard that an endpoint, or an ordering key, of an
// account belongs to in an environment of n shards. The mapping is part of the
// storage format and never changes.
func ShardOf(n int, account gatehouse.AccountName, key string) Shard {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a, 64 bits
	h := uint64(offset)
	for _, s := range [...]string{gatehouse.Fold(account), "/", key} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
	}
	h ^= h >> 32 // the low bits of FNV-1a alone are weak for short keys
	return Shard(h % uint64(n))
}
