package channel_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
)

const pump = "/Acme/endpoints/pump-7"

// by has an append made by the endpoint of that number.
func by(incarnation uint32, how func(context.Context, *channel.Append) error) func(context.Context, *channel.Append) error {
	return func(ctx context.Context, a *channel.Append) error {
		a.Incarnation = incarnation
		return how(ctx, a)
	}
}

// TestDuplicatesOfFormerSender says that an id is that of one endpoint, and not of
// the next one of its name.
func TestDuplicatesOfFormerSender(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, incarnation := range []uint32{0, 1, 1 << 31} {
		for try := range 2 {
			o := <-r.submit(by(incarnation, r.Append), from(pump, "m-1", ""), to(time.Hour, telemetry))
			if o.err != nil || o.Duplicate != (try > 0) {
				t.Errorf("incarnation %d, try %d: duplicate is %v, %v", incarnation, try, o.Duplicate, o.err)
			}
		}
	}
	r.want(telemetry, "m-1", "m-1", "m-1")
}

// TestScheduledByFormerSender says that an endpoint neither sees nor cancels what
// a former one of its name has scheduled, and that release is told whose it is.
func TestScheduledByFormerSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		incarnations := []uint32{0, 7, 1 << 31}
		numbers := make(map[uint32]uint64)
		for _, incarnation := range incarnations {
			m := from(pump, "by", "")
			m.Channel, m.To, m.NotBefore = "Telemetry", []string{"channels/Telemetry", "channels/Alerts"}, time.Now().Add(time.Hour)
			o := <-r.submit(by(incarnation, r.Schedule), m, to(0, telemetry))
			r.must(o.err)
			numbers[incarnation] = o.Sequence
		}
		check := func() {
			t.Helper()
			for _, incarnation := range incarnations {
				me := channel.Sender{Source: pump, Incarnation: incarnation}
				waiting, err := r.ScheduledBy(me, 0, 9)
				if err != nil || len(waiting) != 1 || waiting[0].Sequence != numbers[incarnation] {
					t.Errorf("incarnation %d sees %v, %v", incarnation, waiting, err)
				}
				other := channel.Sender{Source: pump, Incarnation: incarnation + 1}
				if err := r.Cancel(t.Context(), other, numbers[incarnation]); !errors.Is(err, gatehouse.NotFound) {
					t.Errorf("another cancels that of incarnation %d: %v", incarnation, err)
				}
			}
		}
		check()
		r.must(r.Drop(t.Context(), alerts)) // which writes them anew
		check()
		r.restart()
		r.must(r.Cancel(t.Context(), channel.Sender{Source: pump, Incarnation: 7}, numbers[7]))
		var got []uint32
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- r.RunSchedule(ctx, r.Shard("acme", ""), func(d *channel.Due) []engine.Record {
				if d.Err != nil || d.Account != telemetry.Account || d.Message.Source != pump {
					t.Errorf("released is %+v", d)
				}
				got = append(got, d.Incarnation)
				return nil
			})
		}()
		pass(time.Hour)
		cancel()
		r.must(<-done)
		if !slices.Equal(got, []uint32{0, 1 << 31}) {
			t.Errorf("released are those of %v", got)
		}
		if n := r.NumberRows(r.Shard("acme", "")); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	})
}
