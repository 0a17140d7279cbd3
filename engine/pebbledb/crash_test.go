package pebbledb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A ledger is what a writer to a queue of its own knows.
type ledger struct {
	mu      sync.Mutex
	stored  map[gatehouse.Offset]string // acknowledged, and removal not begun
	removed map[gatehouse.Offset]string // removal acknowledged
}

// copy returns what is known now.
func (l *ledger) copy() (stored, removed map[gatehouse.Offset]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, removed = make(map[gatehouse.Offset]string), make(map[gatehouse.Offset]string)
	for o, s := range l.stored {
		stored[o] = s
	}
	for o, s := range l.removed {
		removed[o] = s
	}
	return stored, removed
}

const pairs = 3 // records of a batch

// work puts batches into a queue, and takes the oldest out, through c.
func (l *ledger) work(ctx context.Context, c *engine.Committer, w int) error {
	queue := fmt.Sprint("queue-", w)
	shard := engine.Shard(w % 4)
	var old []gatehouse.Offset
	for i := 0; ctx.Err() == nil; i++ {
		op := &engine.Op{}
		for k := range pairs {
			op.Records = append(op.Records, record(true, queue, fmt.Sprintf("%d/%d/%d%s", w, i, k, strings.Repeat("y", i%400))))
		}
		if len(old) > 30 {
			l.mu.Lock()
			for _, o := range old[:pairs] {
				op.Remove = append(op.Remove, engine.Ref{Queue: queue, Offset: o})
				delete(l.stored, o)
			}
			l.mu.Unlock()
		}
		if err := c.Do(context.Background(), shard, op); err != nil {
			return err
		}
		l.mu.Lock()
		for _, r := range op.Remove {
			l.removed[r.Offset] = ""
		}
		for _, r := range op.Records {
			l.stored[r.Offset] = string(r.Data)
			old = append(old, r.Offset)
		}
		l.mu.Unlock()
		old = old[len(op.Remove):]
	}
	return nil
}

// TestCrashUnderLoad cuts the power again and again while many write, and looks
// at what is left each time.
func TestCrashUnderLoad(t *testing.T) {
	t.Parallel()
	const writers, crashes = 12, 25
	mem := vfs.NewCrashableMem()
	e := open(t, testOptions(mem))
	c := engine.NewCommitter(e)
	ledgers := make([]*ledger, writers)
	ctx, cancel := context.WithCancel(withPatience(t))
	var wg sync.WaitGroup
	for w := range ledgers {
		l := &ledger{stored: make(map[gatehouse.Offset]string), removed: make(map[gatehouse.Offset]string)}
		ledgers[w] = l
		wg.Go(func() {
			if err := l.work(ctx, c, w); err != nil {
				t.Errorf("writer %d: %v", w, err)
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range crashes {
		fsyncs := e.Metrics().Fsyncs.Count + uint64(rng.IntN(40))
		for e.Metrics().Fsyncs.Count < fsyncs && ctx.Err() == nil {
			_ = try(e, 0, &engine.Batch{State: []engine.Row{{Key: "turn", Value: []byte("x")}}})
		}
		stored := make([]map[gatehouse.Offset]string, writers)
		removed := make([]map[gatehouse.Offset]string, writers)
		for w, l := range ledgers {
			stored[w], removed[w] = l.copy()
		}
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		// A removal may have begun since, so what is still wanted is looked up
		// after the crash.
		for w, l := range ledgers {
			now, _ := l.copy()
			for o := range stored[w] {
				if _, ok := now[o]; !ok {
					delete(stored[w], o)
				}
			}
		}
		checkCrash(t, clone, stored, removed)
	}
	cancel()
	wg.Wait()
	c.Close()
}

// checkCrash opens what a crash has left.
func checkCrash(t *testing.T, mem *vfs.MemFS, stored, removed []map[gatehouse.Offset]string) {
	t.Helper()
	e := open(t, testOptions(mem))
	defer func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	for w := range stored {
		got := contents(t, own(t, e, engine.Shard(w%4)), fmt.Sprint("queue-", w))
		for o, data := range stored[w] {
			if got[o] != data {
				t.Fatalf("writer %d: record %d was acknowledged, and is %.30q", w, o, got[o])
			}
		}
		for o := range removed[w] {
			if _, ok := got[o]; ok {
				t.Fatalf("writer %d: record %d was removed, and is back", w, o)
			}
		}
		batches := make(map[string]int)
		for _, data := range got {
			batches[data[:strings.LastIndexByte(data, '/')]]++
		}
		for name, n := range batches {
			if n != pairs {
				t.Fatalf("batch %s has %d of its %d records", name, n, pairs)
			}
		}
	}
}
