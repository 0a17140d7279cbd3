// Package dispatch runs handlers over channels: it keeps their cursors, tries
// again what failed for the moment, and puts what failed for good into the
// channel's dead letters, from where it can be replayed.
//
// Each handler follows each partition of its channel on its own, so that a
// failing or slow one delays only itself. It works in rounds: read some
// messages, have each handled, store what was sent, move the cursor. What a
// handler sends is durable before its cursor moves on; the function that stores
// it recognises what it has stored before, so that a crash in between repeats
// nothing. For that reason the next round does not wait until the cursor is
// durable, except behind a dead letter, which is stored together with the
// cursor, once, and before anything that comes after it.
package dispatch

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/handler"
)

// A Deliver stores what a handler sent, durably, each output once however
// often it is called with it, and dead-letters what may not be delivered. An
// error means that nothing is certain and the same outputs must be given again,
// in this or in other batches. b is only lent until it returns.
type Deliver func(ctx context.Context, b *handler.Batch) error

// A Spec says which handler follows which channel.
type Spec struct {
	Channel channel.ID
	Name    string
	Handler handler.Handler
	// Revision tells one configuration of the handler from the next: Use
	// restarts a handler whose revision has changed.
	Revision uint64
	// FromNow starts a handler that has no cursor yet behind the last message
	// the channel has, instead of at the first it still keeps.
	FromNow bool
}

func (s *Spec) key() string { return s.Channel.String() + "/" + gatehouse.Fold(s.Name) }

// Events are told what happens; every field may be nil. They must not block.
type Events struct {
	Handled      func(s *Spec, messages int, lag time.Duration)               // done with; lag: age of the last one
	Retried      func(s *Spec, err error)                                     // will be, after a while
	DeadLettered func(s *Spec, m *gatehouse.Message, d *gatehouse.DeadLetter) // stored as a dead letter
	Damaged      func(s *Spec, err error)                                     // a record was passed over
}

// Options of a Dispatcher; the zero value is ready for use.
type Options struct {
	MaxAttempts int           // of a transient failure before the message is given up; 0: no limit
	MinBackoff  time.Duration // before the second attempt; default 100 ms
	MaxBackoff  time.Duration // between attempts; default 1 min
	Events      Events
	Logger      *slog.Logger
}

// drainTime is how long a worker that is stopped may take to store the outcome
// of what its handler has finished.
const drainTime = 5 * time.Second

// A Dispatcher runs handlers. Its methods are safe for concurrent use. It has
// one goroutine per handler and partition, all ended before Run returns.
type Dispatcher struct {
	channels *channel.Set
	commit   *engine.Committer
	deliver  Deliver
	opts     Options

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before and after
	running map[string]*follower
	wanted  []Spec
}

// A follower is one running handler.
type follower struct {
	spec Spec
	ctx  context.Context
	stop context.CancelFunc
	done sync.WaitGroup // of its workers and replays

	replaying sync.Mutex // held by the one replay there may be
}

// Group returns the consumer group whose cursors tell how far a handler of a
// channel has come: see channel.Set.Cursors and Lag.
func Group(handler string) string { return "$handler/" + gatehouse.Fold(handler) }

// deadGroup is the consumer group under which a handler's dead letters are
// replayed.
func deadGroup(handler string) string { return "$dead/" + gatehouse.Fold(handler) }

// Groups returns all consumer groups in which a handler works: what is to be
// dropped with it.
func Groups(handler string) []string { return []string{Group(handler), deadGroup(handler)} }

// New returns a Dispatcher that runs nothing until Use and Run are called.
func New(channels *channel.Set, commit *engine.Committer, deliver Deliver, o Options) *Dispatcher {
	if o.MinBackoff <= 0 {
		o.MinBackoff = 100 * time.Millisecond
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Dispatcher{channels: channels, commit: commit, deliver: deliver, opts: o, running: make(map[string]*follower)}
}

// Run runs the handlers last given to Use until ctx is done, then waits for
// them to finish what they have in hand.
func (d *Dispatcher) Run(ctx context.Context) error {
	d.mu.Lock()
	d.ctx = ctx
	d.apply()
	d.mu.Unlock()
	<-ctx.Done()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ctx = nil
	d.wanted = nil
	d.apply()
	return nil
}

// Use makes specs the handlers that run: it stops those that are gone or have
// changed, waiting until they have stored what they have in hand, and starts
// those that are new, where their cursors say. Of two specs of the same channel
// and name the last counts. What is given before Run is started by Run; what is
// given after Run has returned is for the next.
func (d *Dispatcher) Use(specs []Spec) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = slices.Clone(specs)
	if d.ctx != nil {
		d.apply()
	}
}

// apply makes running agree with wanted. d.mu is held.
func (d *Dispatcher) apply() {
	want := make(map[string]*Spec, len(d.wanted))
	for i := range d.wanted {
		want[d.wanted[i].key()] = &d.wanted[i]
	}
	var ending []*follower
	for key, f := range d.running {
		if s := want[key]; s == nil || s.Revision != f.spec.Revision {
			f.stop()
			ending = append(ending, f)
			delete(d.running, key)
		}
	}
	for _, f := range ending {
		f.done.Wait()
	}
	for key, s := range want {
		if d.running[key] == nil {
			d.running[key] = d.start(*s)
		}
	}
}

func (d *Dispatcher) start(s Spec) *follower {
	f := &follower{spec: s}
	f.ctx, f.stop = context.WithCancel(d.ctx)
	for p := range d.channels.Partitions() {
		w := newWorker(d, f, engine.Shard(p), Group(s.Name))
		f.done.Go(func() { w.follow(f.ctx) })
	}
	return f
}

// Replay gives the dead letters a running handler has left so far to it again,
// once each, and returns how many. What fails again becomes a dead letter
// again; an error that may go away ends the replay, and the next one goes on
// from there. A handler has one replay at a time; another fails with Conflict.
// It ends with Unavailable when the handler is stopped.
func (d *Dispatcher) Replay(ctx context.Context, id channel.ID, name string) (int, error) {
	f, err := d.join(id, name)
	if err != nil {
		return 0, err
	}
	defer f.done.Done()
	if !f.replaying.TryLock() {
		return 0, gatehouse.Errorf(gatehouse.Conflict, "the dead letters of handler %q are being replayed already", name)
	}
	defer f.replaying.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.ctx, cancel)()
	total := 0
	for p := range d.channels.Partitions() {
		w := newWorker(d, f, engine.Shard(p), deadGroup(f.spec.Name))
		w.dead = true
		n, err := w.replay(ctx)
		total += n
		if err != nil && f.ctx.Err() != nil {
			err = gatehouse.Errorf(gatehouse.Unavailable, "handler %q was stopped or changed during the replay; try again", name)
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// join returns a running handler; it is not stopped before done.Done is called.
func (d *Dispatcher) join(id channel.ID, name string) (*follower, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.running[(&Spec{Channel: id, Name: name}).key()]
	if f == nil {
		return nil, gatehouse.Errorf(gatehouse.NotFound, "no handler %q runs on channel %q", name, id.Channel)
	}
	f.done.Add(1)
	return f, nil
}
