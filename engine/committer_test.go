package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// bubble runs a test in fake time, where it can wait until all is quiet.
func bubble(t *testing.T, run func(*rig)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		defer r.stop()
		run(r)
	})
}

func TestWhatArrivesMeanwhileIsOneCommit(t *testing.T) {
	bubble(t, func(r *rig) {
		r.e.hold()
		for i := range 10 {
			r.write(strconv.Itoa(i), record(strconv.Itoa(i)))
			synctest.Wait()
		}
		r.wantCommits("0", "1", "2", "3")
		r.e.letGo()
		synctest.Wait()
		r.wantCommits("4, 5, 6, 7, 8, 9")
		r.wantOutcomes("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	})
}

func TestOffsetsAreSetWhenDone(t *testing.T) {
	bubble(t, func(r *rig) {
		r.occupy(synctest.Wait)
		ops := make([]*engine.Op, 5)
		for i := range ops {
			ops[i] = &engine.Op{Records: []engine.Record{{Stream: "a"}, {Stream: "b", Queue: true}, {Stream: "a"}}}
			if i == 2 {
				ops[i].Prepare = func(*engine.Op) error { return errors.New("refused") }
			}
			r.write(strconv.Itoa(i), ops[i])
		}
		r.e.letGo()
		synctest.Wait()
		last := gatehouse.Offset(0)
		for i, op := range ops {
			for k := range op.Records {
				o := op.Records[k].Offset
				if i == 2 {
					if o != 0 {
						t.Errorf("a refused op has offset %d", o)
					}
					continue
				}
				if o <= last {
					t.Errorf("offset %d after %d", o, last)
				}
				last = o
			}
		}
	})
}

func TestPrepare(t *testing.T) {
	bubble(t, func(r *rig) {
		r.occupy(synctest.Wait)
		var order []string
		prepare := func(name string, f func(*engine.Op) error) *engine.Op {
			op := record(name)
			op.Prepare = func(op *engine.Op) error {
				order = append(order, name)
				return f(op)
			}
			return op
		}
		fine := func(*engine.Op) error { return nil }
		refuse := func(*engine.Op) error { return gatehouse.Errorf(gatehouse.QuotaExceeded, "full") }
		r.write("a", prepare("a", refuse))
		r.write("b", prepare("b", fine))
		r.write("c", prepare("c", refuse))
		r.write("d", prepare("d", func(op *engine.Op) error {
			op.Records = append(op.Records, record("d2").Records...)
			return nil
		}))
		r.write("e", prepare("e", func(op *engine.Op) error { op.Clear = []string{"x"}; return nil }))
		r.write("f", prepare("f", fine))
		r.write("g", prepare("g", refuse))
		r.wantOutcomes()
		if len(order) != 0 {
			t.Errorf("prepared while waiting: %q", order)
		}
		r.e.letGo()
		synctest.Wait()
		r.wantCommits("b, d, d2", "clear x, e, f")
		r.wantOutcomes("a", "b", "c", "d", "e", "f", "g")
		r.wantKinds(map[string]gatehouse.Kind{"a": gatehouse.QuotaExceeded, "c": gatehouse.QuotaExceeded, "g": gatehouse.QuotaExceeded})
		if want := []string{"a", "b", "c", "d", "e", "f", "g"}; !slices.Equal(order, want) {
			t.Errorf("prepared %q, want %q", order, want)
		}
	})
}

func TestAllRefused(t *testing.T) {
	bubble(t, func(r *rig) {
		r.occupy(synctest.Wait)
		for i := range 3 {
			op := record("x")
			op.Prepare = func(*engine.Op) error { return gatehouse.Conflict }
			r.write(strconv.Itoa(i), op)
		}
		r.write("last", record("last"))
		r.e.letGo()
		synctest.Wait()
		r.wantCommits("last")
		r.wantOutcomes("0", "1", "2", "last")
	})
}

func TestWhatClearsLeads(t *testing.T) {
	bubble(t, func(r *rig) {
		r.occupy(synctest.Wait)
		put := func(data string) *engine.Op {
			return &engine.Op{Records: []engine.Record{{Stream: "queue", Queue: true, Data: []byte(data)}}}
		}
		r.write("1", row("a/1"))
		r.write("2", put("old"))
		r.write("3", &engine.Op{Clear: []string{"a/"}, State: []engine.Row{{Key: "a/2", Value: []byte("x")}}})
		r.write("4", row("a/3"))
		r.write("5", &engine.Op{ClearQueues: []string{"queue"}})
		r.write("6", put("new"))
		r.e.letGo()
		synctest.Wait()
		r.wantCommits("old, row a/1", "clear a/, row a/2, row a/3", "clear queue, new")
		r.wantOutcomes("1", "2", "3", "4", "5", "6")
		keys := ""
		if err := r.e.State(0).Scan("", func(key string, _ []byte) bool { keys += key + " "; return true }); err != nil || keys != "a/2 a/3 " {
			t.Errorf("rows %q, %v", keys, err)
		}
		q, err := r.e.Own(context.Background(), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := q.Scan(context.Background(), "queue", 0, 10, true, nil); err != nil || len(got) != 1 || string(got[0].Data) != "new" {
			t.Errorf("queue %v, %v", got, err)
		}
	})
}

func TestWhatDropsLeads(t *testing.T) {
	bubble(t, func(r *rig) {
		r.occupy(synctest.Wait)
		put := func(data string) *engine.Op {
			return &engine.Op{Records: []engine.Record{{Stream: "log", Data: []byte(data)}}}
		}
		r.write("1", put("old"))
		r.write("2", &engine.Op{DropLogs: []string{"log"}})
		r.write("3", put("new"))
		r.write("4", &engine.Op{DropLogs: []string{"none"}})
		r.e.letGo()
		synctest.Wait()
		r.wantCommits("old", "drop log, new", "drop none")
		r.wantOutcomes("1", "2", "3", "4")
		got := ""
		_, err := r.e.Log(0, "log").Read(context.Background(), 0, func(_ gatehouse.Offset, _ int64, data []byte) bool {
			got += string(data) + " "
			return true
		})
		if err != nil || got != "new " {
			t.Errorf("log %q, %v", got, err)
		}
	})
}

func TestEpochsDoNotMix(t *testing.T) {
	bubble(t, func(r *rig) {
		old, err := r.e.Own(context.Background(), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		now, err := r.e.Own(context.Background(), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		fenced := func(name string, epoch uint64) {
			op := record(name)
			op.Epoch = epoch
			r.write(name, op)
		}
		r.occupy(synctest.Wait)
		fenced("a", 0)
		fenced("b", old.Epoch())
		fenced("c", 0)
		fenced("d", now.Epoch())
		fenced("e", 0)
		fenced("f", now.Epoch())
		fenced("g", old.Epoch())
		r.e.letGo()
		synctest.Wait()
		r.wantCommits("epoch 1, a, b, c", "epoch 2, d, e, f", "epoch 1, g")
		r.wantOutcomes("a", "b", "c", "d", "e", "f", "g")
		r.wantKinds(map[string]gatehouse.Kind{
			"a": gatehouse.Unavailable, "b": gatehouse.Conflict, "c": gatehouse.Unavailable, "g": gatehouse.Conflict,
		})
	})
}

func TestLimits(t *testing.T) {
	bubble(t, func(r *rig) {
		r.occupy(synctest.Wait)
		for i := range 10_000 {
			r.write("op", row(strconv.Itoa(i)))
		}
		big := func(n int) *engine.Op {
			return &engine.Op{Records: []engine.Record{{Stream: "log", Data: make([]byte, n)}}}
		}
		for range 10 {
			r.write("op", big(1<<20)) // three fit with what is about them
		}
		r.write("op", big(10<<20))
		grown := row("grown")
		grown.Prepare = func(op *engine.Op) error {
			op.Records = big(4 << 20).Records
			return nil
		}
		r.write("op", row("before"))
		r.write("op", grown)
		r.write("op", row("after"))
		r.e.letGo()
		synctest.Wait()
		want := []int{4096, 4096, 1808 + 3, 3, 3, 1, 1, 1, 2, 1}
		if got := r.e.sizes(); !slices.Equal(got, want) {
			t.Errorf("commits of %d records and rows, want %d", got, want)
		}
		r.wantKinds(map[string]gatehouse.Kind{})
	})
}

func TestTooLargeFailsAlone(t *testing.T) {
	bubble(t, func(r *rig) {
		r.occupy(synctest.Wait)
		r.write("a", record("a"))
		r.write("b", &engine.Op{Prepare: func(op *engine.Op) error {
			op.Records = []engine.Record{{Stream: "log", Data: make([]byte, engine.MaxRecord+1)}}
			return nil
		}})
		r.write("c", record("c"))
		r.e.letGo()
		synctest.Wait()
		r.wantOutcomes("a", "b", "c")
		r.wantKinds(map[string]gatehouse.Kind{"b": gatehouse.TooLarge})
	})
}

func TestFailureIsTold(t *testing.T) {
	bubble(t, func(r *rig) {
		r.e.Fail(gatehouse.Errorf(gatehouse.Unavailable, "disk full"))
		r.write("a", record("a"))
		synctest.Wait()
		r.e.Fail(nil)
		r.write("b", record("b"))
		synctest.Wait()
		r.wantOutcomes("a", "b")
		r.wantKinds(map[string]gatehouse.Kind{"a": gatehouse.Unavailable})
	})
}

func TestAnOpCanBeWrittenAgain(t *testing.T) {
	bubble(t, func(r *rig) {
		calls := 0
		op := record("x")
		op.Done = func(*engine.Op, error) { calls++ }
		for range 5 {
			if err := r.Do(context.Background(), 0, op); err != nil {
				t.Fatal(err)
			}
		}
		op.Prepare = func(*engine.Op) error { return gatehouse.Conflict }
		if err := r.Do(context.Background(), 0, op); !errors.Is(err, gatehouse.Conflict) {
			t.Errorf("refused: %v", err)
		}
		op.Prepare = nil
		if err := r.Do(context.Background(), 0, op); err != nil {
			t.Errorf("after it was refused: %v", err)
		}
		if calls != 7 {
			t.Errorf("Done was called %d times, want 7", calls)
		}
	})
}

func TestDoWhoseContextEnds(t *testing.T) {
	bubble(t, func(r *rig) {
		r.e.hold()
		ctx, cancel := context.WithCancel(context.Background())
		told := make(chan error, 1)
		done := make(chan error, 1)
		op := record("x")
		op.Done = func(_ *engine.Op, err error) { done <- err }
		go func() { told <- r.Do(ctx, 0, op) }()
		synctest.Wait()
		cancel()
		if err := <-told; !errors.Is(err, context.Canceled) {
			t.Errorf("Do: %v", err)
		}
		r.e.letGo()
		if err := <-done; err != nil {
			t.Errorf("Done: %v", err)
		}
	})
}

func TestDoneMayWrite(t *testing.T) {
	bubble(t, func(r *rig) {
		end := make(chan error, 1)
		n := 0
		op := record("x")
		op.Done = func(op *engine.Op, err error) {
			if n++; n == 100 || err != nil {
				end <- err
				return
			}
			if err := r.Write(context.Background(), 0, op); err != nil {
				end <- err
			}
		}
		if err := r.Write(context.Background(), 0, op); err != nil {
			t.Fatal(err)
		}
		if err := <-end; err != nil || n != 100 {
			t.Errorf("%d writes, %v", n, err)
		}
		if got := len(readAll(t, r.e, 0)); got != 100 {
			t.Errorf("%d records, want 100", got)
		}
	})
}

func readAll(t *testing.T, e engine.Engine, s engine.Shard) []string {
	t.Helper()
	var all []string
	_, err := e.Log(s, "log").Read(context.Background(), 0, func(_ gatehouse.Offset, _ int64, data []byte) bool {
		all = append(all, string(data))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestKindOfAForeignError(t *testing.T) {
	t.Parallel()
	err := error(&engine.CorruptError{Shard: 3, Stream: "s", Offset: 7, Detail: "bad checksum"})
	if !errors.Is(err, gatehouse.Internal) || errors.Is(err, gatehouse.NotFound) {
		t.Errorf("%v is of another kind than Internal", err)
	}
	if want := `stored record is corrupt: shard 3, stream "s", offset 7: bad checksum`; fmt.Sprint(err) != want {
		t.Errorf("%q, want %q", err, want)
	}
}
