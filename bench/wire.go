package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
)

// A protocol is one that is measured over the network, by clients that do
// no more than the protocol asks of them.
type protocol struct {
	name    string // as profiles are called
	adapter string // of the listener
	// publisher connects an endpoint that sends. With to, messages are for that
	// endpoint; otherwise they go where routes lead. The reading of what the
	// server says tells the window.
	publisher func(ctx context.Context, g *remote, endpoint int, o sending) (publisher, error)
	// receiver connects an endpoint that receives. It calls taken with how many
	// messages were completed, as the server has confirmed.
	receiver func(ctx context.Context, g *remote, endpoint int) (receiver, error)
	// idle are the ways to be connected and say nothing.
	idle []idleClient
	// loads are what publishers are measured with; nil: usualLoads.
	loads []load
}

// A load is how many connections publish, and how.
type load struct {
	name                 string
	conns, flight, batch int
	paced                bool // so many a second are offered
	timed                bool // the time to the acknowledgement is taken, as it is of paced ones
}

func usualLoads() []load {
	return []load{
		{name: "16x64", conns: 16, flight: 64},
		{name: "1x256", conns: 1, flight: 256},
		{name: "batches", conns: 16, flight: batchFlight, batch: batchSize},
		{name: "paced", conns: 16, flight: pacedWindow, paced: true},
	}
}

// sending is how a publisher sends.
type sending struct {
	body  int    // bytes
	to    string // endpoint; empty: where routes lead
	batch int    // messages in a batch; 0: they are sent singly
}

// A publisher is a connection that sends. Its methods but write are called
// from other goroutines.
type publisher interface {
	// write sends n messages, or batches, the first of which has this number.
	write(first uint64, n int) error
	// read reads until the connection ends, and tells w what it learns. It
	// returns nil after Close.
	read(w *window) error
	io.Closer
}

// A receiver is a connection that takes messages and completes them.
type receiver interface {
	// read does so until the connection ends, and returns nil after Close.
	read(taken func(n int)) error
	io.Closer
}

// An idleClient is a way to be connected and say nothing.
type idleClient struct {
	name string
	open func(ctx context.Context, g *remote, endpoint int) (io.Closer, error)
}

// Loads that every protocol is measured with.
const (
	offered       = 2000 // messages a second, where latency is measured
	batchSize     = 100
	batchFlight   = 4
	maxBacklog    = 1024            // messages of each sender that are on their way to a receiver
	idleDialers   = 64              // connections being opened at a time
	idleRest      = 3 * time.Second // that they have said nothing
	pacedWindow   = 500
	throughWindow = 64
)

// overWire measures a protocol.
func (r *run) overWire(ctx context.Context, p *protocol) error {
	if p.loads == nil {
		p.loads = usualLoads()
	}
	if err := enoughFiles(r.Connections); err != nil {
		return err
	}
	quick := *r
	quick.For = min(r.For, time.Second)
	if err := quick.disk(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context, *protocol) error{r.published, r.throughWire, r.idle} {
		if err := step(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// published measures messages into a channel, each load with a gateway that has
// nothing left to do from the load before.
func (r *run) published(ctx context.Context, p *protocol) error {
	for _, l := range p.loads {
		g, err := r.remote(ctx, setup{Adapters: []string{p.adapter}, Endpoints: l.conns})
		if err != nil {
			return err
		}
		m := new(rate)
		err = g.during(p.name+"-"+l.name, m, func() error { return r.publish(ctx, p, g, m, &l) })
		if err := errorsOf(err, g.stop()); err != nil {
			return err
		}
		r.rate(l.name, l.describe(), m)
	}
	return nil
}

func (l *load) describe() string {
	switch {
	case l.paced:
		return fmt.Sprintf("%d/s offered, %d connections", offered, l.conns)
	case l.batch > 0:
		return fmt.Sprintf("%d × %d batches of %d in flight", l.conns, l.flight, l.batch)
	}
	return fmt.Sprintf("%d × %d in flight", l.conns, l.flight)
}

// publish has connections publish for a while, and notes in m what was
// acknowledged.
func (r *run) publish(ctx context.Context, p *protocol, g *remote, m *rate, l *load) error {
	var all flows
	defer all.close()
	for i := range l.conns {
		w := newWindow(l.flight)
		if l.paced || l.timed {
			w.times = make([]time.Time, l.flight)
		}
		if err := all.publish(ctx, p, g, i, w, sending{body: r.Body, batch: l.batch}); err != nil {
			return err
		}
	}
	stop := all.stopAfter(r.For)
	begin := time.Now()
	err := all.each(func(i int, f *flow) error {
		if !l.paced {
			return f.window.pump(f.publisher, stop)
		}
		every := time.Second * time.Duration(l.conns) / offered
		return f.window.pace(f.publisher, begin.Add(every*time.Duration(i)/time.Duration(l.conns)), every, stop)
	})
	m.elapsed = time.Since(begin)
	for _, f := range all.flows {
		m.n += int64(f.window.acked) * int64(max(l.batch, 1))
		m.latencies = append(m.latencies, f.window.latencies...)
	}
	return err
}

// throughWire measures the whole way: publish, channel, router, inbox, receive,
// complete; each endpoint sends to the next.
func (r *run) throughWire(ctx context.Context, p *protocol) error {
	g, err := r.remote(ctx, setup{Adapters: []string{p.adapter}, Endpoints: sessions, Router: true})
	if err != nil {
		return err
	}
	m := new(rate)
	err = g.during(p.name+"-through", m, func() error { return r.exchange(ctx, p, g, m) })
	if err != nil {
		return errorsOf(err, g.stop())
	}
	r.rate("through", fmt.Sprintf("%d × %d in flight, to the receiver and completed", sessions, throughWindow), m)
	return g.stop()
}

func (r *run) exchange(ctx context.Context, p *protocol, g *remote, m *rate) error {
	var all flows
	defer all.close()
	for i := range sessions {
		w := newWindow(throughWindow)
		w.backlog = maxBacklog
		to := (i + 1) % sessions
		if err := all.receive(ctx, p, g, to, w); err != nil {
			return err
		}
		if err := all.publish(ctx, p, g, i, w, sending{body: r.Body, to: endpointName(to)}); err != nil {
			return err
		}
	}
	stop := all.stopAfter(r.For)
	begin := time.Now()
	err := all.each(func(_ int, f *flow) error { return f.window.pump(f.publisher, stop) })
	m.elapsed = time.Since(begin)
	for _, f := range all.flows {
		m.n += int64(f.window.received)
	}
	return err
}

// A flow is a publisher with its window.
type flow struct {
	publisher publisher
	window    *window
}

// flows are all connections of one measurement.
type flows struct {
	flows   []*flow
	readers sync.WaitGroup
	closers []func()
}

// publish connects a publisher.
func (a *flows) publish(ctx context.Context, p *protocol, g *remote, i int, w *window, o sending) error {
	c, err := p.publisher(ctx, g, i, o)
	if err != nil {
		return fmt.Errorf("connecting as a publisher: %w", err)
	}
	a.flows = append(a.flows, &flow{c, w})
	a.run(ctx, c, w, func() error { return c.read(w) })
	return nil
}

// receive connects a receiver.
func (a *flows) receive(ctx context.Context, p *protocol, g *remote, i int, w *window) error {
	c, err := p.receiver(ctx, g, i)
	if err != nil {
		return fmt.Errorf("connecting as a receiver: %w", err)
	}
	a.run(ctx, c, w, func() error { return c.read(w.receive) })
	return nil
}

// run reads from a connection until it is closed. What goes wrong is told w.
func (a *flows) run(ctx context.Context, c io.Closer, w *window, read func() error) {
	stop := context.AfterFunc(ctx, func() {
		w.fail(ctx.Err())
		_ = c.Close()
	})
	a.closers = append(a.closers, func() { stop(); _ = c.Close() }) // nobody needs them any more
	a.readers.Go(func() {
		if err := read(); err != nil {
			w.fail(err)
		}
	})
}

// stopAfter returns what becomes true after d.
func (a *flows) stopAfter(d time.Duration) *atomic.Bool {
	var stop atomic.Bool
	timer := time.AfterFunc(d, func() { stop.Store(true) })
	a.closers = append(a.closers, func() { timer.Stop() })
	return &stop
}

// each runs f for all publishers and returns what went wrong.
func (a *flows) each(f func(int, *flow) error) error {
	errs := make([]error, len(a.flows))
	var wait sync.WaitGroup
	for i, one := range a.flows {
		wait.Go(func() { errs[i] = f(i, one) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (a *flows) close() {
	for _, c := range a.closers {
		c()
	}
	a.readers.Wait()
}

// idle measures what a connection costs that says nothing.
func (r *run) idle(ctx context.Context, p *protocol) error {
	for _, kind := range p.idle {
		g, err := r.remote(ctx, setup{Adapters: []string{p.adapter}, Endpoints: r.Connections})
		if err != nil {
			return err
		}
		if err := errorsOf(r.idleOf(ctx, g, kind), g.stop()); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) idleOf(ctx context.Context, g *remote, kind idleClient) error {
	warm, err := kind.open(ctx, g, 0) // what the first one causes is not counted
	if err != nil {
		return err
	}
	_ = warm.Close()
	before, err := g.held("")
	if err != nil {
		return err
	}
	begin := time.Now()
	closeAll, err := dialAll(ctx, g, r.Connections, kind.open)
	defer closeAll()
	if err != nil {
		return err
	}
	opened := time.Since(begin)
	time.Sleep(idleRest)
	after, err := g.held(g.Adapters[0] + "-idle-" + strings.ReplaceAll(kind.name, " ", "-"))
	if err != nil {
		return err
	}
	n := int64(r.Connections)
	heap, stack, rss := (after.Heap-before.Heap)/n, (after.Stack-before.Stack)/n, (after.RSS-before.RSS)/n
	r.line("  %d idle connections, %s: %d bytes of heap and stacks each, %d of them of stacks, %d of the process's memory; opened at %.0f/s", n, kind.name, heap, stack, rss, float64(n)/opened.Seconds())
	r.note("idle, "+kind.name+", heap", float64(heap), "B")
	r.note("idle, "+kind.name+", process", float64(rss), "B")
	return nil
}

// otherFiles is how many files a process has open beside its connections, at
// most.
const otherFiles = 500

// enoughFiles refuses more connections than a process, here and the gateway's,
// may have open.
func enoughFiles(connections int) error {
	most, err := mostFiles()
	if err != nil {
		return err
	}
	if uint64(connections+otherFiles) > most {
		return gatehouse.Errorf(gatehouse.Invalid, "%d connections at a time need a process that may open %d files; here it may open %d: raise the hard limit (ulimit -Hn), or ask for fewer", connections, connections+otherFiles, most)
	}
	return nil
}

// dialAll opens connections, one for each endpoint, several at a time.
func dialAll(ctx context.Context, g *remote, n int, open func(context.Context, *remote, int) (io.Closer, error)) (closeAll func(), err error) {
	conns := make([]io.Closer, n)
	errs := make([]error, idleDialers)
	var wait sync.WaitGroup
	var next atomic.Int64
	for d := range errs {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[d] == nil; i = int(next.Add(1)) - 1 {
				c, err := open(ctx, g, i)
				if errs[d] = err; err == nil {
					conns[i] = c // otherwise it may be a nil of some type
				}
			}
		})
	}
	wait.Wait()
	return func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}, errors.Join(errs...)
}
