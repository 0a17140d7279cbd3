package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
)

// TestManyWriters has many write at once, each several ops ahead: all is
// stored, in each writer's order, and outcomes come in it.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	const writers, each, shards = 16, 500, 2
	e := memory.New(memory.Options{Shards: shards})
	c := engine.NewCommitter(e)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() { writeMany(t, c, engine.Shard(w%shards), w, each) })
	}
	all.Wait()
	c.Close()
	next := make(map[string]int)
	for s := range engine.Shard(shards) {
		for _, data := range readAll(t, e, s) {
			writer, n, _ := strings.Cut(data, ":")
			for refused(next[writer]) {
				next[writer]++
			}
			if n != fmt.Sprint(next[writer]) {
				t.Fatalf("writer %s: record %s, want %d", writer, n, next[writer])
			}
			next[writer]++
		}
	}
	for w := range writers {
		if n := next[fmt.Sprint(w)]; n < each-1 {
			t.Errorf("writer %d: %d records, want %d", w, n, each)
		}
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// refused says which ops Prepare refuses.
func refused(n int) bool { return n%7 == 3 }

func writeMany(t *testing.T, c *engine.Committer, s engine.Shard, w, each int) {
	var done sync.WaitGroup
	var mu sync.Mutex
	next, last := 0, gatehouse.Offset(0)
	for n := range each {
		op := record(fmt.Sprintf("%d:%d", w, n))
		if n%5 == 0 {
			op.Clear = []string{fmt.Sprintf("row/%d", w)}
		}
		op.State = []engine.Row{{Key: fmt.Sprintf("row/%d", w), Value: []byte("x")}}
		op.Prepare = func(*engine.Op) error {
			if refused(n) {
				return gatehouse.Errorf(gatehouse.QuotaExceeded, "full")
			}
			return nil
		}
		op.Done = func(op *engine.Op, err error) {
			defer done.Done()
			mu.Lock()
			defer mu.Unlock()
			if n != next {
				t.Errorf("writer %d: outcome of op %d, want of %d", w, n, next)
			}
			next++
			if refused(n) != errors.Is(err, gatehouse.QuotaExceeded) || !refused(n) && err != nil {
				t.Errorf("writer %d: op %d ended with %v", w, n, err)
			}
			if o := op.Records[0].Offset; err == nil && o <= last {
				t.Errorf("writer %d: offset %d after %d", w, o, last)
			} else if err == nil {
				last = o
			}
		}
		done.Add(1)
		if err := c.Write(context.Background(), s, op); err != nil {
			t.Errorf("Write: %v", err)
			done.Done()
		}
	}
	done.Wait()
}

// TestCloseBesideWriters: what Write accepted has an outcome, whenever Close
// was called.
func TestCloseBesideWriters(t *testing.T) {
	t.Parallel()
	for range 20 {
		e := memory.New(memory.Options{Shards: 1})
		c := engine.NewCommitter(e)
		var writers, outcomes sync.WaitGroup
		begun := make(chan struct{}, 4)
		for range 4 {
			writers.Go(func() {
				for n := 0; ; n++ {
					outcomes.Add(1)
					op := record("x")
					op.Done = func(_ *engine.Op, err error) {
						if err != nil {
							t.Errorf("accepted, and ended with %v", err)
						}
						outcomes.Done()
					}
					if err := c.Write(context.Background(), 0, op); err != nil {
						outcomes.Done()
						return
					}
					if n == 10 {
						begun <- struct{}{}
					}
				}
			})
		}
		<-begun
		c.Close()
		writers.Wait()
		outcomes.Wait()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
