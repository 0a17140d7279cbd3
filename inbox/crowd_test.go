package inbox_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
)

var crowdRuns = flag.Uint64("crowd.runs", 40, "runs of TestSessionCrowd")

// TestSessionCrowd: many accept whatever group there is while messages are put,
// receive in the session, complete some of that, and end the session in every
// way. Whoever has a group gets its messages from the first that is not completed
// on, in order and without a gap, and nobody waits in vain: time is fake, and
// would stand still.
func TestSessionCrowd(t *testing.T) {
	t.Parallel()
	for seed := range *crowdRuns {
		synctest.Test(t, func(t *testing.T) {
			c := &crowd{t: t, seed: seed, r: start(t, policy(inbox.Policy{Lock: time.Second, MaxDeliveries: -1}))}
			defer c.r.stop()
			c.run()
		})
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

// A crowd is those who share an inbox.
type crowd struct {
	t    *testing.T
	seed uint64
	r    *rig

	mu     sync.Mutex
	groups map[string]*crowdGroup
	left   int // messages that are not completed
	over   context.CancelFunc
}

type crowdGroup struct {
	sent []string // in order
	done int      // so many of the first are completed
}

func (c *crowd) run() {
	ctx, over := context.WithCancel(context.Background())
	c.over = over
	shape := c.rand(0)
	groups, accepters, each := 1+shape.IntN(6), 1+shape.IntN(8), 1+shape.IntN(60)
	c.groups, c.left = make(map[string]*crowdGroup), groups*each
	var all sync.WaitGroup
	for g := range groups {
		c.groups[fmt.Sprintf("g%d", g)] = new(crowdGroup)
	}
	for g := range groups {
		name := fmt.Sprintf("g%d", g)
		all.Go(func() { c.put(c.rand(uint64(100+g)), name, each) })
	}
	for a := range accepters {
		all.Go(func() {
			rand := c.rand(uint64(200 + a))
			for ctx.Err() == nil {
				c.session(ctx, rand)
			}
		})
	}
	all.Wait()
}

func (c *crowd) rand(n uint64) *rand.Rand { return rand.New(rand.NewPCG(c.seed, n)) }

// put puts the messages of a group, now and then, some at a time.
func (c *crowd) put(rand *rand.Rand, group string, n int) {
	for i := 0; i < n; {
		var some []*gatehouse.Message
		for k := 1 + rand.IntN(9); k > 0 && i < n; k-- {
			some = append(some, grouped(fmt.Sprintf("%s-%03d", group, i), group))
			i++
		}
		c.mu.Lock()
		for _, m := range some {
			c.groups[group].sent = append(c.groups[group].sent, m.ID)
		}
		c.mu.Unlock()
		c.r.putAll(pump, some...)
		idle(rand, 300*time.Millisecond)
	}
}

// idle lets some time pass, or none.
func idle(rand *rand.Rand, most time.Duration) {
	if rand.IntN(2) == 0 {
		<-time.After(time.Duration(rand.Int64N(int64(most))))
	}
}

// session accepts a group, works for a while, and ends the session or has it run
// out.
func (c *crowd) session(ctx context.Context, rand *rand.Rand) {
	waiting := ctx
	if rand.IntN(3) == 0 {
		short, cancel := context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(time.Second))))
		defer cancel()
		waiting = short
	}
	l, err := c.r.AcceptSession(waiting, pump, "", 0)
	if err != nil {
		if waiting.Err() == nil {
			c.t.Errorf("AcceptSession: %v", err)
		}
		return
	}
	c.mu.Lock()
	g := c.groups[l.Group]
	at := g.done
	c.mu.Unlock()
	for range 1 + rand.IntN(4) {
		var ok bool
		if at, ok = c.work(ctx, rand, l, g, at); !ok {
			break
		}
	}
	if rand.IntN(4) == 0 {
		<-time.After(1100 * time.Millisecond) // it runs out
		return
	}
	if err := c.r.ReleaseSession(l); err != nil && !errors.Is(err, gatehouse.LockLost) {
		c.t.Errorf("ReleaseSession: %v", err)
	}
}

// work receives once, completes what comes or the first of it, and gives the rest
// back. at is where the next message of the group is.
func (c *crowd) work(ctx context.Context, rand *rand.Rand, l *inbox.SessionLock, g *crowdGroup, at int) (next int, ok bool) {
	short, cancel := context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(400*time.Millisecond))))
	defer cancel()
	got, err := c.r.Receive(short, pump, inbox.ReceiveOptions{Session: l, Max: 1 + rand.IntN(7)})
	if err != nil {
		if !errors.Is(err, gatehouse.LockLost) && short.Err() == nil {
			c.t.Errorf("Receive: %v", err)
		}
		return at, false
	}
	c.mu.Lock()
	for i, d := range got {
		if at+i >= len(g.sent) || d.Message.ID != g.sent[at+i] {
			c.t.Errorf("%s came in place %d of what was sent: %v", d.Message.ID, at+i, g.sent)
		}
	}
	c.mu.Unlock()
	idle(rand, 500*time.Millisecond)
	keep := len(got)
	if rand.IntN(3) == 0 {
		keep = rand.IntN(len(got) + 1)
	}
	for i, d := range got {
		s := inbox.Settlement{Sequence: d.Sequence, Lock: d.Lock, Outcome: inbox.Complete}
		if i >= keep {
			s.Outcome = []inbox.Outcome{inbox.Abandon, inbox.Release}[rand.IntN(2)]
		}
		err := c.r.Settle(context.Background(), pump, []inbox.Settlement{s})
		switch {
		case errors.Is(err, gatehouse.LockLost):
			return at, false
		case err != nil:
			c.t.Errorf("Settle: %v", err)
			return at, false
		case s.Outcome == inbox.Complete:
			c.completed(g)
			at++
		}
	}
	return at, true
}

func (c *crowd) completed(g *crowdGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g.done++
	if c.left--; c.left == 0 {
		c.over()
	}
}
