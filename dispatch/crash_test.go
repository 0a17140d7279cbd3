package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/dispatch"
	"github.com/gatehouse/gatehouse/handler"
)

// Whatever crashes, and whenever, each message is delivered to each endpoint
// once and in order, or becomes one dead letter.
func TestCrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			crashRun(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func crashRun(t *testing.T, rnd *rand.Rand) {
	moody := &moody{rand: rand.New(rand.NewPCG(rnd.Uint64(), 2))}
	moody.came.L = &moody.mu
	r := start(t, dispatch.Options{MinBackoff: 1, MaxBackoff: 1000}, spec("steady", work(steady)), spec("moody", moody))
	var put []string
	for range 15 {
		var batch []*gatehouse.Message
		for range 1 + rnd.IntN(60) {
			id := fmt.Sprintf("%04d", len(put))
			put = append(put, id)
			batch = append(batch, &gatehouse.Message{ID: id, Subject: "e"})
		}
		before := moody.count()
		r.putAll(batch...)
		moody.await(before + rnd.IntN(len(batch)+1)) // let it get somewhere
		r.crash(rnd.IntN(4))
	}
	moody.calm()
	last := &gatehouse.Message{ID: fmt.Sprintf("%04d", len(put)), Subject: "e"}
	put = append(put, last.ID)
	r.putAll(last)
	r.drain()

	r.want("steady, one endpoint", r.out("one"), put)
	r.want("steady, the other", r.out("two"), put)
	sent := r.out("moody")
	if !slices.IsSorted(sent) || len(slices.Compact(slices.Clone(sent))) != len(sent) {
		t.Errorf("moody sent out of order or twice: %q", sent)
	}
	ends := make(map[string]bool)
	for _, id := range sent {
		ends[id] = true
	}
	buried := make(map[string]bool)
	for _, m := range r.dead("moody") {
		if buried[m.ID] {
			t.Errorf("%s is two dead letters", m.ID)
		}
		buried[m.ID], ends[m.ID] = true, true
	}
	for _, id := range put {
		if !ends[id] {
			t.Errorf("%s is lost: neither delivered nor a dead letter", id)
		}
	}
}

// drain waits until the handlers have stored all there is.
func (r *rig) drain() {
	r.t.Helper()
	shard := r.set.Shard(telemetry.Account, "")
	_, end, _, err := r.set.Bounds(context.Background(), telemetry, shard)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range r.specs {
		// The cursor is written to the shard whose log end it is: when
		// something later is written there, look again.
		for {
			next, _, err := r.set.Cursor(telemetry, dispatch.Group(s.Name), shard)
			if err != nil {
				r.t.Fatal(err)
			}
			if next >= end {
				break
			}
			r.turn()
		}
	}
}

// turn waits until a commit that begins now is stored.
func (r *rig) turn() {
	r.t.Helper()
	if err := r.set.SetCursor(context.Background(), telemetry, "turn", r.set.Shard(telemetry.Account, ""), 1); err != nil {
		r.t.Fatal(err)
	}
}

// steady sends each message to two endpoints, of different shards.
func steady(_ context.Context, m *gatehouse.Message, out handler.Sender) error {
	out.Send("endpoints/one", m)
	out.Send("endpoints/two", m)
	return nil
}

// moody fails, now for good and now for the moment, and decides anew each time
// it is asked.
type moody struct {
	mu    sync.Mutex
	came  sync.Cond
	rand  *rand.Rand
	calls int
	quiet bool
}

func (h *moody) Handle(_ context.Context, m *gatehouse.Message, out handler.Sender) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	h.came.Broadcast()
	out.Send("endpoints/moody", m)
	if h.quiet {
		return nil
	}
	switch h.rand.IntN(8) {
	case 0:
		return errors.New("no")
	case 1:
		return handler.Transient(errors.New("not now"), 0)
	}
	return nil
}

// await waits until the handler was called n times.
func (h *moody) await(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.calls < n {
		h.came.Wait()
	}
}

func (h *moody) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls
}

func (h *moody) calm() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.quiet = true
}
