package channel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
)

// at returns a message accepted then.
func at(id string, when time.Time) *gatehouse.Message {
	m := msg(id)
	m.Enqueued = when
	return m
}

func TestRetryIsDropped(t *testing.T) {
	t.Parallel()
	r := start(t)
	targets := to(time.Hour, telemetry)
	if a := r.put(msg("m1"), targets); a.Duplicate || a.Offset == 0 {
		t.Errorf("the original: duplicate %v, offset %d", a.Duplicate, a.Offset)
	}
	if a := r.put(msg("m1"), targets); !a.Duplicate {
		t.Error("the retry was not recognised")
	}
	r.restart()
	if a := r.put(msg("m1"), targets); !a.Duplicate {
		t.Error("the retry after a restart was not recognised")
	}
	r.put(msg("M1"), targets)
	r.put(msg(strings.Repeat("long", 100)), targets)
	r.want(telemetry, "m1", "M1", strings.Repeat("long", 100))
	if n := r.Claims(); n != 0 {
		t.Errorf("%d ids are still in memory", n)
	}
}

func TestChannelsDetectOnTheirOwn(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.put(msg("m1"), to(time.Hour, telemetry))
	if a := r.put(msg("m1"), to(time.Hour, telemetry, alerts)); a.Duplicate || a.Offset == 0 {
		t.Errorf("new to one of two channels: duplicate %v, offset %d", a.Duplicate, a.Offset)
	}
	r.want(telemetry, "m1")
	r.want(alerts, "m1")
	mixed := append(to(0, telemetry), to(time.Hour, alerts)...)
	if a := r.put(msg("m1"), mixed); a.Duplicate {
		t.Error("a channel that does not detect took it for a duplicate")
	}
	r.want(telemetry, "m1", "m1")
	r.want(alerts, "m1")
}

func TestRetryWhileOriginalInFlight(t *testing.T) {
	t.Parallel()
	r := start(t)
	shard := r.Shard("acme", "")
	r.held.hold()
	original := r.send(msg("m1"), to(time.Hour, telemetry))
	r.held.await(shard, 1)
	retries := []<-chan outcome{r.send(msg("m1"), to(time.Hour, telemetry)), r.send(msg("m1"), to(time.Hour, telemetry, alerts))}
	r.held.await(shard, 2)
	r.held.release(shard)
	if o := <-original; o.err != nil || o.Duplicate {
		t.Errorf("original: duplicate %v, %v", o.Duplicate, o.err)
	}
	for i, want := range []bool{true, false} {
		if o := <-retries[i]; o.err != nil || o.Duplicate != want {
			t.Errorf("retry %d: duplicate %v, %v; want %v", i, o.Duplicate, o.err, want)
		}
	}
	r.want(telemetry, "m1")
	r.want(alerts, "m1")
}

// What repeats a message that could not be stored was not stored either, and
// is not taken for a duplicate later. This holds whether it shares the
// original's commit or is in a later one, which succeeds.
func TestRetryOfFailure(t *testing.T) {
	t.Parallel()
	r := start(t)
	shard := r.Shard("acme", "")
	r.held.hold()
	r.engine.Fail(errDisk)
	original := r.send(msg("m1"), to(time.Hour, telemetry))
	r.held.await(shard, 1)
	r.engine.Fail(nil)
	retry := r.send(msg("m1"), to(time.Hour, telemetry))
	r.held.await(shard, 2)
	other := r.send(msg("other"), to(0, telemetry))
	r.held.release(shard)
	for _, o := range []outcome{<-original, <-retry} {
		if !isDisk(o.err) {
			t.Errorf("outcome %v; want the engine's error", o.err)
		}
	}
	if o := <-other; o.err != nil {
		t.Errorf("another message: %v", o.err)
	}
	if n := r.Claims(); n != 0 {
		t.Errorf("%d ids are still in memory", n)
	}
	if a := r.put(msg("m1"), to(time.Hour, telemetry)); a.Duplicate {
		t.Error("taken for a duplicate of what was not stored")
	}
	r.want(telemetry, "other", "m1")
}

// After a crash, what is there is known by its id, and what is not there is
// not.
func TestCrashKeepsIDsWithMessages(t *testing.T) {
	t.Parallel()
	for kept := range 4 {
		r := start(t)
		shard := r.Shard("acme", "")
		r.held.hold()
		for i := range 4 {
			r.send(msg(fmt.Sprint(i)), to(time.Hour, telemetry))
			r.held.await(shard, i+1)
		}
		r.crash(kept)
		for i := range 4 {
			if a := r.put(msg(fmt.Sprint(i)), to(time.Hour, telemetry)); a.Duplicate != (i <= kept) {
				t.Errorf("kept %d: the retry of message %d: duplicate %v", kept, i, a.Duplicate)
			}
		}
		r.want(telemetry, numbered("%d", 4)...)
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	const window = time.Hour
	origin := time.Unix(0, 0).Add(1000 * window) // where a generation begins
	for _, tt := range []struct {
		name            string
		original, retry time.Duration // after origin
		duplicate       bool
	}{
		{"at once", 0, 0, true},
		{"same generation", 0, window - 1, true},
		{"next generation", window - 1, window, true},
		{"last moment", window / 2, window/2 + window - 1, true},
		{"just past", window / 2, window/2 + window, false},
		{"long past", 0, 5 * window, false},
		{"two generations on", window - 1, 2*window + 1, false},
		{"a clock set back", window / 2, window/2 - time.Minute, true},
		{"overtaken at the turn of a generation", window, window - 1, true},
		{"overtaken by seconds", window + 10*time.Second, window - 10*time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			r.put(at("m1", origin.Add(tt.original)), to(window, telemetry))
			if a := r.put(at("m1", origin.Add(tt.retry)), to(window, telemetry)); a.Duplicate != tt.duplicate {
				t.Errorf("duplicate: %v; want %v", a.Duplicate, tt.duplicate)
			}
		})
	}
}

func TestForgetDuplicates(t *testing.T) {
	t.Parallel()
	r := start(t)
	ctx := context.Background()
	const window = time.Minute
	now := time.Unix(1e9, 0)
	shard := r.Shard("acme", "")
	for i := range 100 {
		r.put(at(fmt.Sprint(i), now), to(window, telemetry))
		if i%10 == 0 {
			r.put(at(fmt.Sprint(i), now), to(window, alerts))
		}
		now = now.Add(10 * time.Second)
		if err := r.ForgetDuplicates(ctx, telemetry, window, now); err != nil {
			t.Fatal(err)
		}
		// At most two whole windows of six messages, and the one beginning.
		if n := r.SeenRows(shard, telemetry); n > 18 {
			t.Fatalf("after %d messages %d ids are kept", i+1, n)
		}
		if a := r.put(at(fmt.Sprint(i), now), to(window, telemetry)); !a.Duplicate {
			t.Fatalf("message %d is forgotten already", i)
		}
	}
	if n := r.SeenRows(shard, alerts); n != 10 {
		t.Errorf("the other channel has %d ids; want all 10", n)
	}
	if err := r.ForgetDuplicates(ctx, telemetry, 0, now); err != nil {
		t.Fatal(err)
	}
	if n := r.SeenRows(shard, telemetry); n != 0 {
		t.Errorf("%d ids are left", n)
	}
}

func TestScheduledRetryIsDropped(t *testing.T) {
	t.Parallel()
	r := start(t)
	window := to(24*time.Hour, telemetry, alerts)
	if a := r.schedule(msg("m1"), time.Hour, window); a.Duplicate {
		t.Error("the original was taken for a duplicate")
	}
	if a := r.schedule(msg("m1"), time.Hour, window); !a.Duplicate {
		t.Error("the retry was not recognised")
	}
	if a := r.put(msg("m1"), window); !a.Duplicate {
		t.Error("the retry for at once was not recognised")
	}
	r.schedule(msg("m2"), time.Hour, to(0, telemetry))
	r.schedule(msg("m2"), time.Hour, to(0, telemetry))
	if n, err := r.Scheduled(r.Shard("acme", "")); n != 3 || err != nil {
		t.Errorf("%d are scheduled, %v; want 3", n, err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, window := range map[string]time.Duration{"plain": 0, "duplicates": time.Hour} {
		b.Run(name, func(b *testing.B) {
			r := start(b)
			targets := to(window, telemetry)
			done := make(chan struct{}, b.N)
			m := msg("")
			m.Body = make([]byte, 256)
			b.ReportAllocs()
			for i := range b.N {
				m := *m
				m.ID = fmt.Sprint(i)
				a := &channel.Append{Account: "acme", Shard: r.Shard("acme", m.ID), Message: &m, Targets: targets, Done: func(*channel.Append, error) { done <- struct{}{} }}
				if err := r.Append(context.Background(), a); err != nil {
					b.Fatal(err)
				}
			}
			for range b.N {
				<-done
			}
		})
	}
}
