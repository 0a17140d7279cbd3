package inbox_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse/inbox"
)

// TestMarksAreFound forgets inboxes that have marks: those that it has written
// since it began, and those that were there when it did, are found again.
func TestMarksAreFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer func() { r.stop() }()
		r.put(pump, "a", "b")
		r.settle(pump, inbox.DeadLetter, r.takeOne(pump))
		for count := range uint32(6) {
			if count%2 == 0 {
				r = r.restart(inbox.Options{})
			}
			synctest.Wait() // what there was is known
			for _, k := range []inbox.Key{pump, dead(pump)} {
				d := r.takeOne(k)
				if d.Count != count+1 {
					t.Errorf("%v: delivery %d, want %d", k, d.Count, count+1)
				}
				r.settle(k, inbox.Abandon, d)
			}
			time.Sleep(time.Minute)
			if n := r.Loaded(); n != 0 {
				t.Errorf("%d inboxes are not forgotten", n)
			}
		}
	})
}
