package dispatch_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/dispatch"
	"github.com/gatehouse/gatehouse/handler"
)

func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const broken, mended, away = 0, 1, 2
		var state atomic.Int32
		h := func(ctx context.Context, m *gatehouse.Message, out handler.Sender) error {
			if m.Dead != nil {
				t.Errorf("%s is given to the handler dead", m.ID)
			}
			switch {
			case state.Load() == broken, m.ID == "b":
				return errors.New("broken")
			case state.Load() == away:
				return handler.Transient(errors.New("away"), 0)
			}
			return forward(ctx, m, out)
		}
		s := spec("h", work(h))
		s.FromNow = true
		r := start(t, dispatch.Options{}, s)
		synctest.Wait()
		r.put("a", "b", "c")
		synctest.Wait()
		replay := func(want int, kind error) {
			t.Helper()
			n, err := r.Replay(t.Context(), telemetry, "H")
			if n != want || !errors.Is(err, kind) && (kind != nil || err != nil) {
				t.Errorf("Replay: %d, %v; want %d, %v", n, err, want, kind)
			}
		}
		if _, err := r.Replay(t.Context(), telemetry, "other"); !errors.Is(err, gatehouse.NotFound) {
			t.Errorf("of a handler that does not run: %v", err)
		}
		state.Store(away)
		if n, err := r.Replay(t.Context(), telemetry, "h"); n != 0 || err == nil {
			t.Errorf("while the handler cannot: %d, %v", n, err)
		}
		state.Store(mended)
		replay(3, nil)
		r.want("sent", r.out("e"), []string{"a", "c"})
		r.want("dead letters", r.deadIDs("h"), []string{"a:HandlerFailed", "b:HandlerFailed", "c:HandlerFailed", "b:HandlerFailed"})
		replay(1, nil) // b, which failed again
		r.restart()
		synctest.Wait()
		replay(1, nil)
		r.put("d")
		synctest.Wait()
		replay(1, nil)
		r.want("sent", r.out("e"), []string{"a", "c", "d"})
		r.checkBatches()
	})
}

func TestReplayOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := true
		h := func(ctx context.Context, m *gatehouse.Message, out handler.Sender) error {
			if failing {
				return errors.New("broken")
			}
			<-ctx.Done()
			return ctx.Err()
		}
		r := start(t, dispatch.Options{}, spec("h", work(h)))
		r.put("a")
		synctest.Wait()
		failing = false
		replay := make(chan error, 1)
		go func() {
			_, err := r.Replay(context.Background(), telemetry, "h")
			replay <- err
		}()
		synctest.Wait()
		if _, err := r.Replay(t.Context(), telemetry, "h"); !errors.Is(err, gatehouse.Conflict) {
			t.Errorf("a second replay: %v; want Conflict", err)
		}
		began := time.Now()
		r.Use(nil)
		if err := <-replay; !errors.Is(err, gatehouse.Unavailable) {
			t.Errorf("a replay whose handler was stopped: %v; want Unavailable", err)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("stopping took %v", d)
		}
		ctx, cancel := context.WithCancel(t.Context())
		r.Use([]dispatch.Spec{spec("h", work(h))})
		go func() {
			_, err := r.Replay(ctx, telemetry, "h")
			replay <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-replay; !errors.Is(err, context.Canceled) {
			t.Errorf("a replay that was called off: %v", err)
		}
	})
}
