// Package channel is the durable, partitioned log inside the trusted side:
// messages that were let in are appended to it, and handlers and consumer
// groups read it from cursors of their own.
//
// A channel's partitions are the shards of the environment. Which partition a
// message goes to follows from its ordering key, or else from the endpoint
// that sent it, so that the order of one sender is kept. A message let into
// several channels is appended to all of them in one atomic commit: the same
// shard holds them all.
//
// The package decides nothing about who may send what. It detects duplicates,
// keeps scheduled messages until they are due or cancelled, keeps dead letters and trims
// what is past its retention.
package channel

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/record"
)

// An ID names a channel.
type ID struct {
	Account gatehouse.AccountName
	Channel gatehouse.ChannelName
}

// stream is the name of the channel's log, and the key of its rows.
func (id ID) stream() string { return gatehouse.Fold(id.Account) + "/" + gatehouse.Fold(id.Channel) }

// A Target is a channel to append to.
type Target struct {
	Channel gatehouse.ChannelName
	// Duplicates is the window within which a second message of the same id
	// is dropped as a retry; zero for no detection.
	Duplicates time.Duration
}

// A Set is all the channels of an environment. It is safe for concurrent use.
type Set struct {
	// Failed, if set before the first use, is told of errors of the engine that
	// RunSchedule waits out. It must not block.
	Failed func(engine.Shard, error)

	engine    engine.Engine
	commit    *engine.Committer
	shards    int
	recent    []recent   // by shard: ids on their way to the disk
	schedules []schedule // by shard
}

// New returns the channels kept in e. All writes go through c.
func New(e engine.Engine, c *engine.Committer) *Set {
	s := &Set{engine: e, commit: c, shards: e.Shards()}
	s.recent = make([]recent, s.shards)
	s.schedules = make([]schedule, s.shards)
	for i := range s.recent {
		s.recent[i].ids = make(map[string]*claim)
		s.schedules[i].alarm.changed = make(chan struct{}, 1)
	}
	return s
}

// Partitions returns how many partitions every channel has.
func (s *Set) Partitions() int { return s.shards }

// Shard returns the shard, and so the partition, for a message of account with
// the given ordering key: the message's own, or else the folded name of the
// endpoint that sent it.
func (s *Set) Shard(account gatehouse.AccountName, key string) engine.Shard {
	return engine.ShardOf(s.shards, account, key)
}

// An Append is one message on its way into its channels. Its zero value, with
// the exported fields set, is ready for Set.Append, and must not be touched
// until Done is called. It is meant to be embedded in the caller's own record
// of the message, and to be used again after Reset: then a message costs next
// to no allocation.
type Append struct {
	Account     gatehouse.AccountName
	Shard       engine.Shard // from Set.Shard
	Message     *gatehouse.Message
	Targets     []Target
	Incarnation uint32 // see Sender
	// Beside are rows of the caller's that are stored in the commit of the
	// message, whether it is new or a duplicate.
	Beside []engine.Row
	// Done is called once, in the order of Set.Append within a shard, when
	// the message is durable or refused. It must not block.
	Done func(*Append, error)
	// Passenger is the caller's to use.
	Passenger any

	// Results, valid in Done.

	Offset    gatehouse.Offset // of the record in the first channel that took it
	Duplicate bool             // every target had the message already
	Sequence  uint64           // of a scheduled message: see Set.Cancel; of a duplicate, that of what it repeats

	set      *Set
	last     ID     // the channel that was appended to last,
	stream   string // and its stream
	op       engine.Op
	first    [1]engine.Record
	buffer   []byte                  // for the encoded message
	bound    func(*engine.Op, error) // done, as a value
	claims   []*claim                // of the ids the message brings
	await    []*claim                // of other messages, on their way, that this one repeats
	repeated uint64                  // number of the scheduled message that this one repeats
}

// Append stores a.Message in all targets, atomically, and returns at once;
// a.Done tells the outcome. The message is encoded before Append returns. It
// blocks only while the shard has too much waiting; if it returns an error,
// Done is not called.
func (s *Set) Append(ctx context.Context, a *Append) error {
	a.set = s
	if size := len(a.Message.Body) + 192; cap(a.buffer) < size {
		a.buffer = make([]byte, 0, size)
	}
	data := record.Append(a.buffer[:0], a.Message)
	a.buffer = data
	if len(data) > engine.MaxRecord {
		return gatehouse.Errorf(gatehouse.TooLarge, "the message is %d bytes long; at most %d can be stored", len(data), engine.MaxRecord)
	}
	records := a.first[:0]
	for i := range a.Targets {
		t := &a.Targets[i]
		records = append(records, engine.Record{Stream: a.streamOf(t.Channel), Data: data})
		if t.Duplicates > 0 {
			a.op.Prepare = a.dropDuplicates
		}
	}
	a.op.Records = records
	a.op.State = append(a.op.State, a.Beside...)
	if a.bound == nil {
		a.bound = a.done
	}
	a.op.Done = a.bound
	return s.commit.Write(ctx, a.Shard, &a.op)
}

// maxKept is the longest buffer that Reset keeps.
const maxKept = 16 << 10

// Reset makes a ready for another message, keeping what memory it has. It may
// be called once Done was, from within it too.
func (a *Append) Reset() {
	buffer := a.buffer
	if cap(buffer) > maxKept {
		buffer = nil
	}
	*a = Append{buffer: buffer, bound: a.bound, last: a.last, stream: a.stream}
}

// streamOf returns the stream of a channel, which is mostly that of the message
// before.
func (a *Append) streamOf(c gatehouse.ChannelName) string {
	if id := (ID{a.Account, c}); a.last != id {
		a.last, a.stream = id, id.stream()
	}
	return a.stream
}

func (a *Append) done(op *engine.Op, err error) {
	if len(op.Records) > 0 {
		a.Offset = op.Records[0].Offset
	}
	err = a.settleClaims(err)
	if a.Done != nil {
		a.Done(a, err)
	}
}

// Read calls visit for the messages of one partition whose offset is at least
// from, in order, until visit returns false, the partition ends or ctx is
// done. It returns the offset to read from next. A record that is damaged is
// reported to damaged, if that is not nil, and passed over.
func (s *Set) Read(ctx context.Context, id ID, partition engine.Shard, from gatehouse.Offset, damaged func(error), visit func(*gatehouse.Message) bool) (gatehouse.Offset, error) {
	return s.read(ctx, id.stream(), partition, from, damaged, visit)
}

func (s *Set) read(ctx context.Context, stream string, partition engine.Shard, from gatehouse.Offset, damaged func(error), visit func(*gatehouse.Message) bool) (gatehouse.Offset, error) {
	log := s.engine.Log(partition, stream)
	report := func(c *engine.CorruptError) {
		if damaged != nil {
			damaged(c)
		}
	}
	for {
		next, err := log.Read(ctx, from, func(o gatehouse.Offset, _ int64, data []byte) bool {
			m, err := record.Decode(append([]byte(nil), data...))
			if err != nil {
				report(&engine.CorruptError{Shard: partition, Stream: stream, Offset: o, Detail: err.Error()})
				return true
			}
			m.Position = gatehouse.Position{Partition: uint16(partition), Offset: o}
			return visit(m)
		})
		corrupt, ok := asCorrupt(err)
		if !ok {
			return next, err
		}
		report(corrupt)
		from = corrupt.Offset + 1
	}
}

func asCorrupt(err error) (*engine.CorruptError, bool) {
	if err == nil {
		return nil, false
	}
	return errors.AsType[*engine.CorruptError](err)
}

// Records returns the records that put m into channels of an account, for a
// commit to its shard.
func Records(account gatehouse.AccountName, m *gatehouse.Message, channels ...gatehouse.ChannelName) []engine.Record {
	data := record.Append(make([]byte, 0, len(m.Body)+192), m)
	records := make([]engine.Record, len(channels))
	for i, c := range channels {
		records[i] = engine.Record{Stream: ID{account, c}.stream(), Data: data}
	}
	return records
}

// Wait returns once the partition has a message whose offset is at least from,
// or with the error of ctx.
func (s *Set) Wait(ctx context.Context, id ID, partition engine.Shard, from gatehouse.Offset) error {
	return s.engine.Log(partition, id.stream()).Wait(ctx, from)
}

// Bounds tells the first offset kept in a partition, the one after its last,
// and roughly how many bytes it keeps.
func (s *Set) Bounds(ctx context.Context, id ID, partition engine.Shard) (first, next gatehouse.Offset, bytes int64, err error) {
	return s.engine.Log(partition, id.stream()).Bounds(ctx)
}

// Seek returns the offset of the first message of a partition that came at or
// after t, or of one near before it.
func (s *Set) Seek(ctx context.Context, id ID, partition engine.Shard, t time.Time) (gatehouse.Offset, error) {
	return s.engine.Log(partition, id.stream()).Seek(ctx, t)
}

// Retain drops what a channel keeps beyond age and bytes (in all partitions
// together); zero means no limit.
func (s *Set) Retain(ctx context.Context, id ID, age time.Duration, bytes int64) error {
	if age == 0 && bytes == 0 {
		return nil
	}
	if bytes > 0 {
		bytes = max(bytes/int64(s.shards), 1)
	}
	for p := range s.shards {
		if err := s.engine.Log(engine.Shard(p), id.stream()).Retain(ctx, age, bytes); err != nil {
			return err
		}
	}
	return nil
}

// String returns account/channel, folded.
func (id ID) String() string { return id.stream() }
