package channel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
)

func TestAppendAndRead(t *testing.T) {
	t.Parallel()
	r := start(t)
	m := msg("m1")
	m.Key, m.Subject = "k", "s"
	a := r.put(m, to(0, telemetry))
	var got *gatehouse.Message
	next, err := r.Read(context.Background(), channel.ID{Account: "ACME", Channel: "TELEMETRY"}, a.Shard, 0, nil, func(m *gatehouse.Message) bool {
		got = m
		return true
	})
	if err != nil || got == nil {
		t.Fatalf("Read: %v, %v", got, err)
	}
	if got.ID != "m1" || got.Subject != "s" || string(got.Body) != "body of m1" || !got.Enqueued.Equal(m.Enqueued) {
		t.Errorf("read %+v", got)
	}
	if want := (gatehouse.Position{Partition: uint16(a.Shard), Offset: a.Offset}); got.Position != want || next != a.Offset+1 {
		t.Errorf("position %v, next %d; want %v", got.Position, next, want)
	}
}

func TestAppendToSeveralChannels(t *testing.T) {
	t.Parallel()
	r := start(t)
	a := r.put(msg("m1"), to(0, telemetry, alerts))
	r.want(telemetry, "m1")
	r.want(alerts, "m1")
	first, _, _, err := r.Bounds(context.Background(), telemetry, a.Shard)
	if err != nil || a.Offset != first {
		t.Errorf("offset %d is not that in the first channel, %d (%v)", a.Offset, first, err)
	}
}

// A message for several channels enters all of them or none, whatever a crash
// leaves of the commits in flight.
func TestAppendIsAtomic(t *testing.T) {
	t.Parallel()
	for kept := range 4 {
		r := start(t)
		shard := r.Shard("acme", "")
		r.held.hold()
		var pending []<-chan outcome
		for i := range 4 { // the first is stored; three are in flight
			pending = append(pending, r.send(msg(fmt.Sprint(i)), to(time.Minute, telemetry, alerts)))
			r.held.await(shard, i+1)
		}
		r.crash(kept)
		for i, p := range pending {
			if o := <-p; (o.err == nil) != (i == 0) {
				t.Errorf("message %d: %v", i, o.err)
			}
		}
		r.want(telemetry, numbered("%d", kept+1)...)
		r.want(alerts, numbered("%d", kept+1)...)
	}
}

func TestAppendFails(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.engine.Fail(errDisk)
	if o := <-r.send(msg("m1"), to(0, telemetry)); !isDisk(o.err) {
		t.Errorf("outcome %v; want the engine's error", o.err)
	}
	r.engine.Fail(nil)
	r.put(msg("m2"), to(0, telemetry))
	r.want(telemetry, "m2")

	big := msg("big")
	big.Body = make([]byte, engine.MaxRecord)
	err := r.Append(context.Background(), &channel.Append{Account: "acme", Message: big, Targets: to(0, telemetry)})
	if !errors.Is(err, gatehouse.TooLarge) {
		t.Errorf("a message too large to store: %v; want TooLarge", err)
	}
	r.commit.Close()
	err = r.Append(context.Background(), &channel.Append{Account: "acme", Message: msg("late"), Targets: to(0, telemetry)})
	if !isDisk(err) {
		t.Errorf("after Close: %v; want Unavailable", err)
	}
}

func TestOrderPerKey(t *testing.T) {
	t.Parallel()
	r := start(t)
	const keys, each = 10, 200
	var last []<-chan outcome
	for i := range each {
		last = last[:0]
		for k := range keys {
			m := msg(fmt.Sprintf("%d-%03d", k, i))
			m.Key = fmt.Sprint("key", k)
			last = append(last, r.send(m, to(0, telemetry)))
		}
	}
	for _, l := range last {
		if o := <-l; o.err != nil {
			t.Fatal(o.err)
		}
	}
	seen := make(map[string]string)
	for _, id := range r.ids(telemetry) {
		key, _, _ := strings.Cut(id, "-")
		if id <= seen[key] {
			t.Fatalf("%s came after %s", id, seen[key])
		}
		seen[key] = id
	}
	for k := range keys {
		if got, want := seen[fmt.Sprint(k)], fmt.Sprintf("%d-%03d", k, each-1); got != want {
			t.Errorf("the last of key %d is %s; want %s", k, got, want)
		}
	}
}

func TestReadPassesOverDamage(t *testing.T) {
	t.Parallel()
	r := start(t)
	var offsets []gatehouse.Offset
	for i := range 6 {
		offsets = append(offsets, r.put(msg(fmt.Sprint("m", i)), to(0, telemetry)).Offset)
	}
	shard := r.Shard("acme", "")
	for _, i := range []int{0, 2, 3} {
		if !r.engine.Damage(shard, telemetry.Stream(), false, offsets[i]) {
			t.Fatal("nothing to damage")
		}
	}
	// A record that is whole but no message is passed over as well.
	junk := &engine.Op{Records: []engine.Record{{Stream: telemetry.Stream(), Data: []byte("\xffjunk")}}}
	if err := r.commit.Do(context.Background(), shard, junk); err != nil {
		t.Fatal(err)
	}
	r.put(msg("m6"), to(0, telemetry))

	var got []string
	var lost []gatehouse.Offset
	next, err := r.Read(context.Background(), telemetry, shard, 0, func(err error) {
		bad, ok := errors.AsType[*engine.CorruptError](err)
		if !ok || !errors.Is(err, gatehouse.Internal) {
			t.Fatalf("damage reported as %v", err)
		}
		lost = append(lost, bad.Offset)
	}, func(m *gatehouse.Message) bool { got = append(got, m.ID); return true })
	if want := []string{"m1", "m4", "m5", "m6"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("read %q, %v; want %q", got, err, want)
	}
	if want := []gatehouse.Offset{offsets[0], offsets[2], offsets[3], junk.Records[0].Offset}; !slices.Equal(lost, want) {
		t.Errorf("damaged are %v; want %v", lost, want)
	}
	if _, end, _, _ := r.Bounds(context.Background(), telemetry, shard); next != end {
		t.Errorf("next is %d; want %d", next, end)
	}
	// Nobody need listen.
	if _, err := r.Read(context.Background(), telemetry, shard, 0, nil, func(*gatehouse.Message) bool { return true }); err != nil {
		t.Error(err)
	}
}

func TestWaitAndSeek(t *testing.T) {
	t.Parallel()
	r := start(t)
	shard := r.Shard("acme", "")
	came := make(chan error, 1)
	go func() { came <- r.Wait(context.Background(), telemetry, shard, 1) }()
	a := r.put(msg("m1"), to(0, telemetry))
	if err := <-came; err != nil {
		t.Errorf("Wait: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Wait(ctx, telemetry, shard, a.Offset+1); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v; want the context's error", err)
	}
	o, err := r.Seek(context.Background(), telemetry, shard, time.Now().Add(-time.Hour))
	if err != nil || o > a.Offset {
		t.Errorf("Seek: %d, %v; want at most %d", o, err, a.Offset)
	}
}

func TestRetain(t *testing.T) {
	t.Parallel()
	r := start(t)
	body := make([]byte, 32<<10)
	for i := range 400 { // 12.5 MiB, all in one partition
		m := msg(fmt.Sprint(i))
		m.Body = body
		r.put(m, to(0, telemetry, alerts))
	}
	shard := r.Shard("acme", "")
	ctx := context.Background()
	if err := r.Retain(ctx, telemetry, 0, 0); err != nil {
		t.Fatal(err)
	}
	if n := len(r.ids(telemetry)); n != 400 {
		t.Errorf("without limits %d messages are left", n)
	}
	if err := r.Retain(ctx, telemetry, 0, 4*(2<<20)); err != nil { // 2 MiB per partition
		t.Fatal(err)
	}
	first, next, bytes, err := r.Bounds(ctx, telemetry, shard)
	if err != nil || bytes > 3<<20+64<<10 || bytes < 1<<20 {
		t.Errorf("%d bytes are kept (%v); want about 2 MiB", bytes, err)
	}
	got := r.partition(telemetry, shard)
	if len(got) == 0 || got[len(got)-1] != "399" || next <= first {
		t.Errorf("kept from %d to %d: %d messages, the last not the newest", first, next, len(got))
	}
	if n := len(r.ids(alerts)); n != 400 {
		t.Errorf("the other channel has %d messages left", n)
	}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	r := start(t)
	ctx := context.Background()
	m := msg("m1")
	m.Position = gatehouse.Position{Partition: 1, Offset: 5}
	dead := gatehouse.DeadLetter{Reason: "HandlerFailed", Description: "no luck", From: "channels/telemetry", Time: time.Unix(1e9, 0)}
	rec := channel.DeadRecord(telemetry, "Answers", m, dead)
	if m.Dead != nil {
		t.Error("the message was changed")
	}
	if err := r.commit.Do(ctx, 2, &engine.Op{Records: []engine.Record{rec}}); err != nil {
		t.Fatal(err)
	}
	r.restart()
	var got []*gatehouse.Message
	read := func(handler string) {
		t.Helper()
		got = nil
		_, err := r.ReadDead(ctx, telemetry, handler, 2, 0, nil, func(m *gatehouse.Message) bool { got = append(got, m); return true })
		if err != nil {
			t.Fatal(err)
		}
	}
	if read("ANSWERS"); len(got) != 1 || got[0].ID != "m1" || got[0].Dead == nil || got[0].Dead.Reason != dead.Reason ||
		got[0].Dead.Description != dead.Description || got[0].Dead.From != dead.From || !got[0].Dead.Time.Equal(dead.Time) {
		t.Errorf("dead letters: %+v", got)
	}
	if read("other"); len(got) != 0 {
		t.Errorf("another handler has %d dead letters", len(got))
	}
	r.want(telemetry)
	if _, next, bytes, err := r.BoundsDead(ctx, telemetry, "answers", 2); err != nil || next == 0 || bytes == 0 {
		t.Errorf("BoundsDead: %d, %d, %v", next, bytes, err)
	}
	if err := r.RetainDead(ctx, telemetry, "answers", 0); err != nil {
		t.Error(err)
	}
	if read("answers"); len(got) != 1 {
		t.Error("dead letters without an age limit were dropped")
	}
}

// However large a message is, its dead letter can be stored.
func TestDeadRecordFits(t *testing.T) {
	t.Parallel()
	m := msg("m1")
	dead := gatehouse.DeadLetter{Reason: "R", Description: strings.Repeat("x", 1000), From: "channels/telemetry", Time: time.Now()}
	overhead := len(channel.Records("a", m, "c")[0].Data) - len(m.Body)
	for _, spare := range []int{4000, 500, 16} {
		m.Body = make([]byte, engine.MaxRecord-overhead-spare)
		if n := len(channel.DeadRecord(telemetry, "h", m, dead).Data); n > engine.MaxRecord {
			t.Errorf("with %d bytes to spare the dead letter is %d bytes too long", spare, n-engine.MaxRecord)
		}
	}
}
