package engine_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// crowd fills the line of shard 0, and returns where one more Write will tell.
func (r *rig) crowd(ctx context.Context) <-chan error {
	r.occupy(synctest.Wait)
	for i := range 32 {
		r.write("big "+strconv.Itoa(i), &engine.Op{Records: []engine.Record{{Stream: "log", Data: make([]byte, 1<<20)}}})
	}
	told := make(chan error, 1)
	go func() {
		told <- r.Write(ctx, 0, &engine.Op{})
	}()
	synctest.Wait()
	select {
	case err := <-told:
		r.t.Fatalf("Write returned %v with more than 32 MiB waiting", err)
	default:
	}
	return told
}

func TestBackPressure(t *testing.T) {
	bubble(t, func(r *rig) {
		told := r.crowd(context.Background())
		if err := r.Do(context.Background(), 1, record("x")); err != nil {
			t.Errorf("another shard: %v", err)
		}
		r.e.letGo()
		if err := <-told; err != nil {
			t.Errorf("Write: %v", err)
		}
	})
}

func TestBackPressureEndsWithContext(t *testing.T) {
	bubble(t, func(r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		told := r.crowd(ctx)
		cancel()
		if err := <-told; !errors.Is(err, context.Canceled) {
			t.Errorf("Write: %v", err)
		}
	})
}

func TestCloseWaitsForWhatWasAccepted(t *testing.T) {
	bubble(t, func(r *rig) {
		told := r.crowd(context.Background())
		closed := make(chan struct{})
		go func() {
			r.Close()
			close(closed)
		}()
		if err := <-told; !errors.Is(err, gatehouse.Unavailable) {
			t.Errorf("Write beside Close: %v", err)
		}
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close returned while commits are in flight")
		default:
		}
		if err := r.Write(context.Background(), 0, &engine.Op{}); !errors.Is(err, gatehouse.Unavailable) {
			t.Errorf("Write after Close: %v", err)
		}
		if err := r.Do(context.Background(), 1, &engine.Op{}); !errors.Is(err, gatehouse.Unavailable) {
			t.Errorf("Do after Close: %v", err)
		}
		r.e.letGo()
		<-closed
		if len(r.outcomes) != 36 || len(r.kinds) != 0 {
			t.Errorf("%d outcomes, failed: %v; want 36, none failed", len(r.outcomes), r.kinds)
		}
	})
}
