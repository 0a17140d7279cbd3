// Package inbox holds what each endpoint has yet to collect. A message is put
// once, taken under a lock, and settled: completed, abandoned, released,
// deferred or dead-lettered. Each inbox has a dead-letter queue beside it,
// which is read in the same way.
//
// The package decides nothing about who may put or take. It is not a log: a
// message leaves when it is settled.
//
// # Guarantees
//
// A put that was acknowledged is durable, and so is every settlement. First
// deliveries come in the order of arrival; a message that returns (abandoned,
// released, its lock expired) comes again at its original place. A message is
// under at most one lock. Locks live in memory: after a restart messages are
// available again, and a delivery that was under way is not counted, so that a
// delivery count may be too low by one for each restart. Every message that is
// not settled by its receiver ends in the dead-letter queue with a reason, or is
// dropped and counted in Events; never silently.
//
// # Memory
//
// An inbox that nobody reads costs nothing, whatever it holds: its messages
// are on disk and no object exists for it. Only inboxes with a quota keep their
// count and bytes (about 150 bytes each, for at most maxUsages inboxes of a
// shard; the others are counted again by reading their envelopes when
// something is put). An inbox being read keeps a window of at most maxReady
// messages and about maxReadyBytes of bodies, one lock for each message taken,
// and a few bytes for each message that was abandoned or deferred. An inbox no
// longer read is forgotten within Options.Idle. Each shard has 32 KiB that tell
// which inboxes may hold messages that were abandoned or deferred.
//
// # Cost
//
// Taking a message writes nothing; completing it is one removal. There is no
// goroutine and no timer per inbox or message: each shard has two goroutines,
// up to maxLoaders more while inboxes are read from disk, and one heap of
// deadlines. Reading the messages of one group (a session) reads the inbox from
// its first message on, in pages, so that it costs in proportion to what other
// groups have before; so does the end of a session, from the first of the
// group's messages that other receivers had to pass over. Stats, Sessions and
// Purge read the whole inbox, Stats without bodies.
package inbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"golang.org/x/sync/errgroup"
)

// A Full says what happens to a message for an inbox at its limits.
type Full uint8

// The choices for a full inbox.
const (
	Refuse        Full = iota // the put fails with QuotaExceeded
	DropOldest                // the oldest messages not under a lock are dropped, and counted
	DeadLetterNew             // the new message goes to the dead-letter queue
)

// A Policy is how an inbox treats its messages. Changes take effect from the
// next put or receive on; MaxAge and DeadLetterMaxAge are fixed per message
// when it is put.
type Policy struct {
	Lock              time.Duration // how long a receiver may take; default 30 s
	MaxDeliveries     int           // deliveries that failed before a message is dead-lettered; default 10, negative: no limit
	MaxAge            time.Duration // of a message in the inbox; 0: no limit
	DeadLetterExpired bool          // dead-letter what expires, instead of dropping it
	MaxMessages       int           // in the inbox, without dead letters; 0: no limit
	MaxBytes          int64         // of them as stored; 0: no limit
	OnFull            Full
	DeadLetterMaxAge  time.Duration // after which a dead letter is dropped; 0: no limit
}

// DefaultPolicy is the policy of an inbox for which none is given.
var DefaultPolicy = Policy{Lock: 30 * time.Second, MaxDeliveries: 10, DeadLetterExpired: true}

// MaxLock is the longest a lock lasts without being renewed.
const MaxLock = 24 * time.Hour

func (p *Policy) quota() bool { return p.MaxMessages > 0 || p.MaxBytes > 0 }

// Events are told what happens; every field may be nil. They are called on the
// hot path, some with a shard locked: they must not block nor call the Set.
type Events struct {
	Put          func(messages, bytes int)         // stored
	Refused      func(k Key)                       // QuotaExceeded
	Taken        func(messages int)                // delivered to a receiver
	Settled      func(o Outcome, messages int)     // by a receiver
	LockExpired  func(messages int)                // locks that ran out
	DeadLettered func(k Key, reason string, n int) // moved to the dead-letter queue
	Dropped      func(k Key, reason string, n int) // gone for good without a receiver
	Corrupt      func(*engine.CorruptError)        // a damaged record was passed over
}

// Options of a Set; the zero value is ready for use.
type Options struct {
	// Policy returns the policy of an inbox (Key.Dead is false). It is called
	// for every put and receive, from many goroutines: it must be fast and must
	// not call the Set. Nil means DefaultPolicy for all.
	Policy func(Key) Policy
	// Incarnation tells which of those that have had its name the endpoint of an
	// inbox is, and whether there is one. It is called for every put in the
	// order of commits, with a shard locked: it must be fast and must not call
	// the Set. Nil means that puts are not checked.
	Incarnation func(Key) (n uint32, ok bool)
	// Idle is how long an inbox that is no longer read is remembered; default
	// 10 s.
	Idle time.Duration
	// Sweep is how often expired messages are looked for; default 1 s. None is
	// delivered after it has expired, however long the interval.
	Sweep  time.Duration
	Events Events
	Logger *slog.Logger
}

// A Set is all the inboxes of an environment. Its methods are safe for
// concurrent use. Before Run has taken hold of the shards (see Ready) and after
// it has returned, they fail with Unavailable.
type Set struct {
	engine engine.Engine
	commit *engine.Committer
	opts   Options
	shards []*shard
	ready  chan struct{}

	waiters sync.Pool // of *waiter: one is needed per receive
	pages   sync.Pool // of *page
}

// New returns the inboxes kept in e. All writes go through c, as must all
// others to queues of e.
func New(e engine.Engine, c *engine.Committer, o Options) *Set {
	if o.Idle <= 0 {
		o.Idle = 10 * time.Second
	}
	if o.Sweep <= 0 {
		o.Sweep = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Set{engine: e, commit: c, opts: o, ready: make(chan struct{})}
	s.waiters.New = func() any { return &waiter{done: make(chan struct{}, 1)} }
	s.pages.New = func() any { return new(page) }
	s.shards = make([]*shard, e.Shards())
	for i := range s.shards {
		s.shards[i] = newShard(s, engine.Shard(i))
	}
	return s
}

// Ready is closed once Run owns all shards.
func (s *Set) Ready() <-chan struct{} { return s.ready }

// Run becomes the owner of all shards, and looks after locks, expiry and quotas
// until ctx is done. It reads no messages to start. It may be called once, and
// fails with Conflict if another owner takes a shard over.
func (s *Set) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	var owning sync.WaitGroup
	owning.Add(len(s.shards))
	for _, sh := range s.shards {
		group.Go(func() error { return sh.run(ctx, owning.Done) })
	}
	group.Go(func() error {
		owning.Wait() // every shard reports, in success and in failure
		if ctx.Err() == nil {
			close(s.ready)
		}
		return nil
	})
	return group.Wait()
}

// Shard returns the shard that an endpoint's inbox belongs to, for Deliver.
func (s *Set) Shard(k Key) engine.Shard {
	return engine.ShardOf(len(s.shards), k.Account, gatehouse.Fold(k.Endpoint))
}

func (s *Set) shardOf(q qkey) *shard {
	return s.shards[engine.ShardOf(len(s.shards), gatehouse.AccountName(q.account), q.endpoint)]
}

// policy returns the policy of the inbox k belongs to, with defaults filled in.
func (s *Set) policy(k Key) Policy {
	if s.opts.Policy == nil {
		return DefaultPolicy
	}
	k.Dead = false
	p := s.opts.Policy(k)
	if p.Lock <= 0 {
		p.Lock = DefaultPolicy.Lock
	}
	if p.MaxDeliveries == 0 {
		p.MaxDeliveries = DefaultPolicy.MaxDeliveries
	}
	return p
}

var errNotRunning = gatehouse.Errorf(gatehouse.Unavailable, "the inboxes are not being served by this node now; try again shortly")
