package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"

	"github.com/cockroachdb/pebble/v2"
)

const maxDisk = 3 * time.Second

// submit measures messages through the gate, and commits of the same bytes to
// plain Pebble by as many writers.
func (r *run) submit(ctx context.Context) error {
	for _, flight := range []int{64, 1000} {
		plain, err := r.pebble(ctx, flight)
		if err != nil {
			return err
		}
		ours, err := r.submitted(ctx, flight)
		if err != nil {
			return err
		}
		r.line("  %4d in flight: plain Pebble %v", flight, plain)
		r.line("                  gate Submit %v", ours)
		r.line("                  ratio %.2f", ours.perSecond()/plain.perSecond())
		name := fmt.Sprint(flight, " in flight")
		r.noteRate(name+", plain Pebble", plain)
		r.noteRate(name+", gate", ours)
		r.note(name+", ratio", ours.perSecond()/plain.perSecond(), "")
	}
	return nil
}

// pebble has writers commit records of a message's size, each synced.
func (r *run) pebble(ctx context.Context, writers int) (*rate, error) {
	dir, remove, err := r.folder()
	if err != nil {
		return nil, err
	}
	defer remove()
	db, err := pebble.Open(filepath.Join(dir, "db"), &pebble.Options{MemTableSize: 32 << 20, Logger: quiet{}})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var next atomic.Uint64
	return measure(ctx, writers, r.For, false, func(int) (turn, error) {
		body := make([]byte, r.Body)
		key := make([]byte, 16)
		return func(context.Context) error {
			binary.BigEndian.PutUint64(key[8:], next.Add(1))
			return db.Set(key, body, pebble.Sync)
		}, nil
	})
}

// quiet keeps Pebble from logging.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// sessions is how many connections share what is in flight.
const sessions = 16

// submitted has sessions keep so many messages in flight in all.
func (r *run) submitted(ctx context.Context, flight int) (*rate, error) {
	g, err := r.gateway(ctx, sessions, false)
	if err != nil {
		return nil, err
	}
	m := new(rate)
	var wait sync.WaitGroup
	var stop atomic.Bool
	var failure atomic.Pointer[error]
	begin, before := time.Now(), used()
	time.AfterFunc(r.For, func() { stop.Store(true) })
	for i := range sessions {
		s, err := g.open(ctx, i, gatehouse.RightSend)
		if err != nil {
			return nil, fmt.Errorf("%w; %w", err, g.stop())
		}
		defer s.Close()
		slots := flight / sessions
		if i < flight%sessions {
			slots++
		}
		wait.Go(func() {
			n, err := pump(ctx, s, slots, &stop, r.message)
			atomic.AddInt64(&m.n, n)
			if err != nil {
				failure.Store(&err)
			}
		})
	}
	wait.Wait()
	m.since(before, begin)
	if err := failure.Load(); err != nil {
		return nil, fmt.Errorf("%w; %w", *err, g.stop())
	}
	return m, g.stop()
}

// pump submits messages, so many in flight, until it is told to stop and all
// have their receipts.
func pump(ctx context.Context, s *gate.Session, flight int, stop *atomic.Bool, message func() *gatehouse.Message) (n int64, err error) {
	slots := make(chan struct{}, flight)
	var failure atomic.Pointer[error]
	done := func(_ gate.Receipt, err error) {
		if err != nil {
			failure.Store(&err)
		}
		<-slots
	}
	for !stop.Load() && ctx.Err() == nil && failure.Load() == nil {
		slots <- struct{}{}
		if err := s.Submit(ctx, done, message()); err != nil {
			return n, err
		}
		n++
	}
	for range flight {
		slots <- struct{}{}
	}
	if err := failure.Load(); err != nil {
		return n, *err
	}
	return n, ctx.Err()
}

func (r *run) message() *gatehouse.Message {
	return &gatehouse.Message{Type: "reading", Body: make([]byte, r.Body)}
}

// open opens a session of the i-th endpoint.
func (g *gateway) open(ctx context.Context, i int, right gatehouse.Rights) (*gate.Session, error) {
	name := gatehouse.EndpointName(endpointName(i))
	keys, err := g.Directory.Reveal(account, name)
	if err != nil {
		return nil, err
	}
	key := keys.Send.Primary
	if right == gatehouse.RightListen {
		key = keys.Listen.Primary
	}
	return g.Gate.Open(ctx, gate.Attempt{
		Account: account, Endpoint: name, Need: right, Protocol: "https", TLS: true,
		Credentials: []auth.Credentials{auth.Password{User: account + "/" + string(name), Password: key}},
	})
}
