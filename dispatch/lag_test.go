package dispatch_test

import (
	"testing"
	"testing/synctest"

	"github.com/gatehouse/gatehouse/dispatch"
)

func TestLagOfHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dispatch.Options{}, spec("Up", work(forward)))
		r.put("a", "b")
		synctest.Wait()
		cursors, err := r.set.Cursors(telemetry)
		if err != nil || len(cursors) != 1 || cursors[0].Group != dispatch.Group("up") {
			t.Fatalf("cursors %v, %v", cursors, err)
		}
		lag, err := r.set.Lag(t.Context(), telemetry, cursors[0].Partition, cursors[0].Next)
		if err != nil || lag.Offsets != 0 {
			t.Errorf("lag %+v, %v", lag, err)
		}
	})
}
